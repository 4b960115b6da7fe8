//! The descriptions shipped with the program, and which one a name means.

use std::path::Path;

use super::DatasetDescription;
use super::family::Family;
use crate::error::{Error, Result};

/// Embeds `datasets/<name>.toml`.
macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../datasets/", $name, ".toml")))),+]
    };
}

/// The descriptions of single data sets, by file stem.
const SINGLE: [(&str, &str); 12] = shipped![
    "amazon-2014-beauty",
    "amazon-2014-sports",
    "amazon-2018-prime-pantry",
    "amazon-2018-magazine-subscriptions",
    "amazon-2018-all-beauty",
    "movielens-latest-small",
    "movielens-100k",
    "movielens-100k-grouplens",
    "movielens-1m",
    "movielens-10m",
    "steam",
    "steam-library",
];

/// The descriptions of families, by file stem.
const FAMILIES: [(&str, &str); 8] = shipped![
    "amazon-2014",
    "amazon-2014-ratings",
    "amazon-2018",
    "amazon-2018-ratings",
    "amazon-2023",
    "amazon-2023-full",
    "movielens",
    "goodreads",
];

/// A line of the list of data sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What to call it by; of a family `<family>:<member>` with `<member>` to be filled in.
    pub name: String,
    /// What it is.
    pub title: String,
    /// What `<member>` may be; empty for a single data set.
    pub members: Vec<String>,
}

/// The shipped data sets and families.
///
/// # Errors
/// [`Error::Description`] if a shipped file does not parse.
pub fn listed() -> Result<Vec<Listed>> {
    let mut all = Vec::new();
    for (name, text) in SINGLE {
        all.push(Listed {
            name: name.to_string(),
            title: DatasetDescription::parse(text, &file(name))?.title,
            members: Vec::new(),
        });
    }
    for (name, text) in FAMILIES {
        let family = family(name, text)?;
        all.push(Listed {
            name: format!("{name}:<member>"),
            title: family.title().to_string(),
            members: family.members().to_vec(),
        });
    }
    Ok(all)
}

/// Every shipped description, those of all members of families included.
///
/// # Errors
/// [`Error::Description`] if a shipped file does not parse.
pub fn builtin() -> Result<Vec<DatasetDescription>> {
    let mut all = Vec::new();
    for (name, text) in SINGLE {
        all.push(DatasetDescription::parse(text, &file(name))?);
    }
    for (name, text) in FAMILIES {
        let family = family(name, text)?;
        for member in family.members() {
            all.push(family.member(member)?);
        }
    }
    Ok(all)
}

/// What [`DatasetDescription::load`] does.
pub(super) fn load(asked: &str) -> Result<DatasetDescription> {
    if let Some((name, text)) = SINGLE.iter().find(|(name, _)| *name == asked) {
        return DatasetDescription::parse(text, &file(name));
    }
    if let Some((name, member)) = asked.split_once(':')
        && let Some((name, text)) = FAMILIES.iter().find(|(known, _)| *known == name)
    {
        return family(name, text)?.member(member);
    }
    for (name, text) in FAMILIES {
        let family = family(name, text)?;
        if let Some(member) = family.named(asked) {
            return family.member(member);
        }
        if name == asked {
            return Err(needs_member(name, &family));
        }
    }
    if let Some((path, member)) = asked.rsplit_once(':')
        && is_description(path)
        && !Path::new(asked).exists()
    {
        let described = Family::parse(&read(path)?, path)?;
        let not_one = || {
            Error::Usage(format!(
                "{path} describes a single data set; leave `:{member}` out"
            ))
        };
        return described.ok_or_else(not_one)?.member(member);
    }
    if !is_description(asked) {
        return Err(unknown(asked));
    }
    let text = read(asked)?;
    match Family::parse(&text, asked)? {
        Some(family) => Err(needs_member(asked, &family)),
        None => DatasetDescription::parse(&text, asked),
    }
}

fn file(name: &str) -> String {
    format!("datasets/{name}.toml")
}

fn family(name: &str, text: &str) -> Result<Family> {
    Family::parse(text, &file(name))?.ok_or_else(|| Error::Description {
        file: file(name),
        message: "a table [family] is missing".to_string(),
    })
}

fn is_description(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::io(path, "read", source))
}

fn needs_member(name: &str, family: &Family) -> Error {
    Error::Usage(format!(
        "{name} describes several data sets; name one as {name}:{}, or another of {}",
        family.members().first().map_or("", String::as_str),
        family.members().join(", ")
    ))
}

fn unknown(asked: &str) -> Error {
    let single = SINGLE.iter().map(|(name, _)| (*name).to_string());
    let families = FAMILIES.iter().map(|(name, _)| format!("{name}:<member>"));
    let names: Vec<String> = single.chain(families).collect();
    Error::Usage(format!(
        "no data set is called {asked}; name one of {}, or give the path of a description ending in .toml",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_shipped_description_says_where_the_data_is_and_what_may_be_done_with_it() {
        let all = builtin().unwrap();
        assert!(all.len() > 100);
        for description in &all {
            let name = &description.name;
            assert!(description.source.url.is_some(), "{name} has no page");
            assert!(
                !description.licence.is_empty() && !description.citation.is_empty(),
                "{name}"
            );
            let reloaded =
                DatasetDescription::parse(&toml::to_string(description).unwrap(), "again.toml").unwrap();
            assert_eq!(&reloaded, description);
        }
    }

    #[test]
    fn every_file_of_a_shipped_description_has_an_address_or_a_package() {
        for description in builtin().unwrap() {
            let source = &description.source;
            if source.files.is_empty() {
                continue;
            }
            let mut offered = HashSet::new();
            for remote in &source.files {
                let names: Vec<&str> = match remote.members.as_slice() {
                    [] => vec![remote.name()],
                    members => members
                        .iter()
                        .filter_map(|member| member.rsplit('/').next())
                        .collect(),
                };
                offered.extend(
                    names
                        .into_iter()
                        .map(|name| name.trim_end_matches(".gz").to_string()),
                );
            }
            let wanted = description
                .interactions
                .iter()
                .chain(&description.items)
                .cloned()
                .collect();
            assert_eq!(offered, wanted, "{}", description.name);
        }
    }

    #[test]
    fn a_member_of_a_family_is_found_under_both_its_names() {
        let found = DatasetDescription::load("amazon-2023:Toys_and_Games").unwrap();
        assert_eq!(found.interactions, ["Toys_and_Games.csv"]);
        assert_eq!(
            DatasetDescription::load("amazon-2023-toys-and-games").unwrap(),
            found
        );
        assert_eq!(
            DatasetDescription::load("movielens-25m")
                .unwrap()
                .expected
                .unwrap()
                .users,
            162_541
        );
        let ratings = DatasetDescription::load("amazon-2014-ratings-beauty").unwrap();
        assert_eq!(ratings.interactions, ["ratings_Beauty.csv"]);
        assert_eq!(
            DatasetDescription::load("amazon-2014-ratings:Beauty").unwrap(),
            ratings
        );
        for (name, _) in SINGLE {
            assert_eq!(DatasetDescription::load(name).unwrap().name, name);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = DatasetDescription::load("netflix").unwrap_err().to_string();
        assert!(
            error.contains("movielens-100k") && error.contains(".toml"),
            "{error}"
        );
        let error = DatasetDescription::load("goodreads").unwrap_err().to_string();
        assert!(
            error.contains("goodreads:children") && error.contains("poetry"),
            "{error}"
        );
        let error = DatasetDescription::load("goodreads:cookery")
            .unwrap_err()
            .to_string();
        assert!(error.contains("cookery") && error.contains("poetry"), "{error}");
    }

    #[test]
    fn a_file_of_one_s_own_may_describe_a_family() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shops.toml");
        let text = "name = \"shop-{slug}\"\ntitle = \"{words}\"\nplatform = \"shop\"\nformat = \"generic\"\nlicence = \"own\"\n\
                    interactions = [\"{member}.csv\"]\n[family]\ntitle = \"Shops\"\nmembers = [\"Ulm\"]\n";
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(
            DatasetDescription::load(&format!("{path}:ulm")).unwrap().name,
            "shop-ulm"
        );
        assert!(
            DatasetDescription::load(path)
                .unwrap_err()
                .to_string()
                .contains(":Ulm")
        );
        std::fs::write(
            path,
            text.split("[family]").next().unwrap().replace("{slug}", "x"),
        )
        .unwrap();
        let error = DatasetDescription::load(&format!("{path}:ulm"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("single"), "{error}");
    }

    #[test]
    fn the_example_of_the_readme_is_a_description() {
        let readme = include_str!("../../../README.md");
        let (_, example) = readme.split_once("```toml\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let found = DatasetDescription::parse(example, "README.md").unwrap();
        assert_eq!(
            (found.name.as_str(), found.columns.user.as_str()),
            ("my-shop", "customer")
        );
    }
}
