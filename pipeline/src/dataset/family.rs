//! Families: one description for data sets that differ in a word, such as the categories of a shop.
//!
//! A family is a description with a `[family]` table. In all its texts `{member}` stands for a member as the publisher spells it,
//! `{slug}` for the same fit for a folder name, `{words}` for the same in words.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{DatasetDescription, Expected};
use crate::error::{Error, Result};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Name of all members together, for people.
    title: String,
    /// The members, as the publisher spells them.
    members: Vec<String>,
    /// Counts known beforehand, by member.
    #[serde(default)]
    expected: BTreeMap<String, Expected>,
}

/// A description with a blank, and what may be filled in.
pub(super) struct Family {
    file: String,
    table: Table,
    template: toml::Table,
}

impl Family {
    /// The family that a TOML text describes, or `None` where it describes a single data set. `file` is only named in errors.
    pub fn parse(text: &str, file: &str) -> Result<Option<Self>> {
        let wrong = |message: String| Error::Description {
            file: file.to_string(),
            message,
        };
        let trimmed = |error: toml::de::Error| wrong(error.to_string().trim_end().to_string());
        let mut template: toml::Table = toml::from_str(text).map_err(trimmed)?;
        let Some(table) = template.remove("family") else {
            return Ok(None);
        };
        let table: Table = table.try_into().map_err(trimmed)?;
        if template.contains_key("expected") {
            return Err(wrong(
                "key `expected` has no effect beside [family], whose members have their own counts; write [family.expected]"
                    .to_owned(),
            ));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if let Some(member) = table
            .members
            .iter()
            .find(|m| m.is_empty() || !m.chars().all(plain))
        {
            return Err(wrong(format!(
                "key `family.members`: `{member}`; use letters, digits, hyphens and underscores, since files are named after it"
            )));
        }
        if let Some(member) = table.expected.keys().find(|key| !table.members.contains(key)) {
            return Err(wrong(format!(
                "key `family.expected.{member}` is no member; add it to `family.members` or mend the name"
            )));
        }
        Ok(Some(Family {
            file: file.to_string(),
            table,
            template,
        }))
    }

    pub fn title(&self) -> &str {
        &self.table.title
    }

    pub fn members(&self) -> &[String] {
        &self.table.members
    }

    /// The description of a member; capitals do not matter.
    pub fn member(&self, asked: &str) -> Result<DatasetDescription> {
        let Some(member) = self
            .table
            .members
            .iter()
            .find(|member| member.eq_ignore_ascii_case(asked))
        else {
            return Err(Error::Usage(format!(
                "{} has no {asked}; name one of {}",
                self.file,
                self.table.members.join(", ")
            )));
        };
        let mut filled = toml::Value::Table(self.template.clone());
        fill(&mut filled, member);
        let mut found: Result<DatasetDescription, String> = filled
            .try_into()
            .map_err(|error: toml::de::Error| super::misplaced(&error));
        if let Ok(found) = &mut found {
            found.expected = self.table.expected.get(member).cloned();
        }
        DatasetDescription::checked(found, &self.file)
    }

    /// The member whose description has this name.
    pub fn named(&self, name: &str) -> Option<&str> {
        let pattern = self.template.get("name")?.as_str()?;
        let found = self
            .table
            .members
            .iter()
            .find(|member| blanks(pattern, member) == name);
        found.map(String::as_str)
    }
}

/// Fills the blanks of every text below `value`.
fn fill(value: &mut toml::Value, member: &str) {
    match value {
        toml::Value::String(text) => *text = blanks(text, member),
        toml::Value::Array(values) => values.iter_mut().for_each(|value| fill(value, member)),
        toml::Value::Table(values) => values.iter_mut().for_each(|(_, value)| fill(value, member)),
        _ => {}
    }
}

fn blanks(text: &str, member: &str) -> String {
    text.replace("{member}", member)
        .replace("{slug}", &member.to_ascii_lowercase().replace('_', "-"))
        .replace("{words}", &member.replace('_', " "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SHOPS: &str = "name = \"shop-{slug}\"\ntitle = \"The shop in {words}\"\nplatform = \"shop\"\nformat = \"amazon-2018\"\n\
                         interactions = [\"{member}_5.json\"]\nlicence = \"own\"\n[family]\ntitle = \"Shops\"\n\
                         members = [\"New_York\", \"Ulm\"]\nexpected.Ulm = { interactions = 3, users = 2, items = 1 }\n";

    #[test]
    fn a_member_fills_every_blank_and_brings_its_counts() {
        let family = Family::parse(SHOPS, "shops.toml").unwrap().unwrap();
        let found = family.member("new_york").unwrap();
        assert_eq!(found.name, "shop-new-york");
        assert_eq!(found.title, "The shop in New York");
        assert_eq!(found.interactions, ["New_York_5.json"]);
        assert_eq!(found.expected, None);
        assert_eq!(family.member("Ulm").unwrap().expected.unwrap().interactions, 3);
        assert_eq!(family.named("shop-ulm"), Some("Ulm"));
        assert_eq!(family.named("shop-rome"), None);
    }

    #[test]
    fn an_unknown_member_lists_the_known_ones() {
        let family = Family::parse(SHOPS, "shops.toml").unwrap().unwrap();
        let error = family.member("Rome").unwrap_err().to_string();
        assert!(
            error.contains("Rome") && error.contains("New_York, Ulm"),
            "{error}"
        );
    }

    #[test]
    fn a_family_that_cannot_be_filled_is_refused() {
        for (from, to, word) in [
            ("\"Ulm\"]", "\"../Ulm\"]", "../Ulm"),
            ("expected.Ulm", "expected.Bonn", "Bonn"),
            ("members = [", "colour = 3\nmembers = [", "colour"),
            (
                "licence = \"own\"\n",
                "licence = \"own\"\nexpected = { interactions = 1, users = 1, items = 1 }\n",
                "[family.expected]",
            ),
        ] {
            let error = Family::parse(&SHOPS.replace(from, to), "shops.toml")
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains("shops.toml") && error.contains(word), "{error}");
        }
        let broken = SHOPS.replace("amazon-2018", "amazon-1918");
        let error = Family::parse(&broken, "shops.toml")
            .unwrap()
            .unwrap()
            .member("Ulm")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("shops.toml") && error.contains("amazon-1918"),
            "{error}"
        );
        assert!(Family::parse("name = \"one\"\n", "one.toml").unwrap().is_none());
    }
}
