//! How rows are fitted, where a profile has it otherwise than the rows by their own settings.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toml::Table;
use weaverec_model::recommender::{Schedule, System};

use super::extend::over;
use crate::method::{self, How, Method, settings};

/// What fitted rows have otherwise than by their own settings:
///
/// ```toml
/// [fitted]
/// schedule = { epochs = 200, patience = 10 }    # of every row whose epoch users choose
///
/// [fitted.rows.sasrec-text]
/// schedule.epochs = 30                          # of this one, over all that is said before
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FittedRows {
    /// Keys of a [`Schedule`], which all rows alike are fitted by, whatever their own settings; but for rows of which nobody chooses an
    /// epoch, which would go through all.
    #[serde(skip_serializing_if = "Table::is_empty")]
    pub schedule: Table,
    /// By row, settings of its system.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rows: BTreeMap<String, Table>,
}

impl FittedRows {
    /// Whether nothing is said of it.
    pub fn is_default(&self) -> bool {
        *self == FittedRows::default()
    }

    /// These keys over those of others.
    pub(super) fn over(&self, below: &FittedRows) -> FittedRows {
        let mut rows = below.rows.clone();
        for (row, own) in &self.rows {
            let known = rows.remove(row).unwrap_or_default();
            rows.insert(row.clone(), over(known, own.clone()));
        }
        FittedRows {
            schedule: over(below.schedule.clone(), self.schedule.clone()),
            rows,
        }
    }

    /// The system of a row that is `own` by its own settings: with the common schedule, and over that with the row's table.
    ///
    /// # Errors
    /// A key that the system does not have, or a value that it cannot take.
    pub fn system(&self, row: &str, own: System) -> Result<System> {
        let common = settings::with_schedule(&own, &json(&self.schedule)?)
            .with_context(|| format!("schedule, of the row {row}"))?;
        match self.rows.get(row) {
            None => Ok(common),
            Some(table) => {
                settings::with_table(&common, &json(table)?).with_context(|| format!("rows.{row}"))
            }
        }
    }

    /// Fails where something is said of what is none of these rows, or is no key of a schedule.
    ///
    /// # Errors
    /// The key.
    pub(super) fn check(&self, rows: &[&dyn Method]) -> Result<()> {
        let schedule: Schedule = self.schedule.clone().try_into().context("schedule")?;
        if schedule.epochs == 0 {
            bail!("schedule: `epochs` is 0: give at least 1, or leave it out");
        }
        let chosen =
            |row: &&dyn Method| matches!(row.how(), How::Fitted { system } if !system().is_zero_shot());
        if !self.schedule.is_empty() && !rows.iter().any(chosen) {
            bail!(
                "schedule has no effect: no row of `methods` or `also` is fitted until users choose an epoch"
            );
        }
        for row in self.rows.keys() {
            let known = method::chosen([row.as_str()]).with_context(|| format!("rows.{row}"))?;
            if !known.iter().any(|row| matches!(row.how(), How::Fitted { .. })) {
                bail!("rows.{row}: {row} is not fitted, so that it has no settings: leave it out");
            }
            if !rows.iter().any(|known| known.id() == row) {
                bail!("rows.{row} has no effect: {row} is no row of `methods` or `also`");
            }
        }
        Ok(())
    }

    /// Fails where a system of these rows would have settings that it cannot have.
    ///
    /// # Errors
    /// Those of [`system`](Self::system).
    pub(super) fn check_systems(&self, rows: &[&dyn Method]) -> Result<()> {
        for row in rows {
            if let How::Fitted { system } = row.how() {
                self.system(row.id(), system())?;
            }
        }
        Ok(())
    }

    /// What a reader must know of how these rows were fitted, in sentences; none where nothing is said.
    pub fn notes(&self, rows: &[&dyn Method]) -> Vec<String> {
        let mut notes = Vec::new();
        let zero_shot =
            |row: &&dyn Method| matches!(row.how(), How::Fitted { system } if system().is_zero_shot());
        if !self.schedule.is_empty() {
            let except = match rows.iter().any(zero_shot) {
                true => "; zero-shot rows, of which nobody chooses an epoch, as ever",
                false => "",
            };
            notes.push(format!(
                "fitted rows: {}{except}",
                said(&self.schedule, "").join(", ")
            ));
        }
        for (row, table) in &self.rows {
            if let Some(row) = rows.iter().find(|known| known.id() == row) {
                notes.push(format!("{}, fitted: {}", row.label(), said(table, "").join(", ")));
            }
        }
        notes
    }
}

/// A table as systems have their settings.
fn json(table: &Table) -> Result<Map<String, Value>> {
    match serde_json::to_value(table)? {
        Value::Object(map) => Ok(map),
        other => bail!("{other} is no table"),
    }
}

/// The settings of a table, in words.
fn said(table: &Table, within: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (key, value) in table {
        let name = format!("{within}{key}");
        match value {
            toml::Value::Table(own) => all.extend(said(own, &format!("{name}."))),
            epochs if name == "epochs" || name.ends_with(".epochs") => {
                let of = name.trim_end_matches("epochs").trim_end_matches('.');
                let of = match of {
                    "" | "schedule" | "train" => String::new(),
                    stage => format!(" of {stage}"),
                };
                all.push(format!("at most {epochs} epochs{of}"));
            }
            toml::Value::String(text) => all.push(format!("{name} {text}")),
            other => all.push(format!("{name} {other}")),
        }
    }
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{Data, Profile};
    use super::*;

    fn fitted(text: &str) -> FittedRows {
        toml::from_str(text).unwrap()
    }

    fn own(row: &str) -> System {
        let How::Fitted { system } = method::named(row).unwrap().how() else {
            panic!("{row} is fitted")
        };
        system()
    }

    /// Epochs and patience of a row.
    fn bounds(fitted: &FittedRows, row: &str) -> (u64, u64) {
        let json = serde_json::to_value(fitted.system(row, own(row)).unwrap()).unwrap();
        let place = if json["train"].is_object() {
            "train"
        } else {
            "schedule"
        };
        let of = |key: &str| json[place][key].as_u64().unwrap();
        (of("epochs"), of("patience"))
    }

    /// The profile of rivals with this in place of what it says of fitted rows.
    fn profile(more: &str) -> Result<Profile> {
        let mut json = serde_json::to_value(Profile::load("rivals").unwrap()).unwrap();
        let table: Table = toml::from_str(more).unwrap();
        let mut own = serde_json::to_value(table).unwrap();
        json["fitted"] = match own["fitted"].take() {
            Value::Null => serde_json::json!({}),
            fitted => fitted,
        };
        for study in json["study"].as_array_mut().unwrap() {
            study.as_object_mut().unwrap().remove("fitted");
        }
        let profile: Profile = serde_json::from_value(json)?;
        profile.check()?;
        Ok(profile)
    }

    #[test]
    fn one_schedule_is_of_all_rows_and_a_row_may_have_its_own() {
        let of = fitted(
            "schedule = { epochs = 200, patience = 10 }\n[rows.sasrec-text]\nschedule.epochs = 30\n[rows.bert4rec]\npatience = 20",
        );
        for row in [
            "sasrec",
            "sasrec-bce",
            "gru4rec",
            "unisrec",
            "tiger",
            "item-decoder",
            "gencdr",
        ] {
            assert_eq!(bounds(&of, row), (200, 10), "{row}");
        }
        assert_eq!(bounds(&of, "sasrec-text"), (30, 10));
        assert_eq!(bounds(&of, "bert4rec"), (200, 20));
        for row in ["recbase", "unisrec-zero-shot"] {
            assert_eq!(of.system(row, own(row)).unwrap(), own(row));
        }
        // Nothing said is nothing changed.
        for row in method::METHODS {
            if let How::Fitted { system } = row.how() {
                assert_eq!(
                    FittedRows::default().system(row.id(), system()).unwrap(),
                    system()
                );
            }
        }
    }

    #[test]
    fn a_study_has_its_own_keys_over_those_of_the_profile() {
        let below =
            fitted("schedule = { epochs = 200, patience = 10 }\n[rows.sasrec]\nwidth = 32\ndropout = 0.5");
        let both = fitted("schedule = { epochs = 9 }\n[rows.sasrec]\nwidth = 16").over(&below);
        let same =
            fitted("schedule = { epochs = 9, patience = 10 }\n[rows.sasrec]\nwidth = 16\ndropout = 0.5");
        assert_eq!(both, same);
        assert_eq!(below.over(&FittedRows::default()), below);

        let plain = profile("").unwrap();
        let data = Data::parse(Some("logs"));
        let more = profile("fitted = { schedule = { epochs = 50 } }").unwrap();
        for (study, with) in plain
            .studies(&data)
            .unwrap()
            .into_iter()
            .zip(more.studies(&data).unwrap())
        {
            let (before, after) = (plain.identity(study).unwrap(), more.identity(with).unwrap());
            // Absent keys are in no name.
            assert!(before.get("fitted").is_none(), "{before}");
            assert_eq!(after["fitted"]["schedule"]["epochs"], 50);
            let again: Profile = serde_json::from_value(after.clone()).unwrap();
            assert_eq!(again.identity(&again.studies[0]).unwrap(), after);
        }
        let mut own = more.clone();
        own.studies[0].fitted = Some(fitted("schedule = { patience = 4 }"));
        let identity = own.identity(&own.studies[0]).unwrap();
        assert_eq!(
            identity["fitted"]["schedule"],
            serde_json::json!({ "epochs": 50, "patience": 4 })
        );
        assert_eq!(
            own.identity(&own.studies[1]).unwrap(),
            more.identity(&more.studies[1]).unwrap()
        );
        let again: Profile = serde_json::from_value(identity.clone()).unwrap();
        assert_eq!(again.identity(&again.studies[0]).unwrap(), identity);
    }

    #[test]
    fn what_is_no_row_or_no_key_is_named() {
        let error = |text: &str| format!("{:#}", profile(text).unwrap_err());
        let said = error("fitted = { schedule = { epohcs = 3 } }");
        assert!(said.contains("[fitted]") && said.contains("epohcs"), "{said}");
        let said = error("fitted = { shedule = { epochs = 3 } }");
        assert!(said.contains("shedule"), "{said}");
        assert!(error("fitted = { schedule = { epochs = 0 } }").contains("`epochs` is 0"));
        let said = error("[fitted.rows.sasreck]\nwidth = 3");
        assert!(said.contains("sasreck is no row"), "{said}");
        let said = error("[fitted.rows.popularity]\nwidth = 3");
        assert!(said.contains("popularity is not fitted"), "{said}");
        let said = error("[fitted.rows.sasrec]\nwidht = 3");
        assert!(
            said.contains("rows.sasrec") && said.contains("nearest is width"),
            "{said}"
        );
        let said = error("[fitted.rows.sasrec]\nschedule.epochs = \"many\"");
        assert!(said.contains("schedule.epochs cannot be many"), "{said}");
        // A row of one study alone is none of another's.
        profile("[fitted.rows.tiger]\nwidth = 32").unwrap();
        let mut of = Profile::load("rivals").unwrap();
        of.studies[0].fitted = Some(fitted("[rows.tiger]\nwidth = 32"));
        let said = format!("{:#}", of.check().unwrap_err());
        assert!(
            said.contains("[study.fitted]") && said.contains("tiger is no row of `methods`"),
            "{said}"
        );
        // What is fitted goes through all its epochs, or nothing is.
        for row in ["popularity", "recbase"] {
            let rows = method::chosen([row]).unwrap();
            let error = fitted("schedule = { epochs = 3 }").check(&rows).unwrap_err();
            assert!(error.to_string().contains("schedule has no effect"), "{error}");
        }
    }

    #[test]
    fn a_reader_is_told_of_all_that_is_not_as_rows_have_it() {
        let of = fitted(
            "schedule = { epochs = 200, patience = 10 }\n[rows.sasrec-text]\nschedule.epochs = 30\n[rows.unisrec]\npretraining.epochs = 5\nadapter = \"mlp\"\n[rows.tiger]\ntrain.epochs = 2",
        );
        let rows = |names: &[&str]| method::chosen(names.iter().copied()).unwrap();
        assert_eq!(
            of.notes(&rows(&["sasrec", "sasrec-text", "unisrec"])),
            [
                "fitted rows: at most 200 epochs, patience 10",
                "SASRecText, fitted: at most 30 epochs",
                "UniSRec, fitted: adapter mlp, at most 5 epochs of pretraining",
            ]
        );
        let said = of.notes(&rows(&["sasrec", "recbase"]));
        assert!(said.len() == 1 && said[0].contains("zero-shot rows"), "{said:?}");
        assert!(FittedRows::default().notes(&rows(&["sasrec"])).is_empty());
    }
}
