//! What makes a profile one that can be run: keys that fit together, and something to show for them.

use anyhow::{Context, Result, bail};
use weaverec_model::recommender::vectors::TextVectors;
use weaverec_model::train::Keep;
use weaverec_pipeline::schema::PromptFormat;

use super::{Backbone, ItemText, Profile, Scenario};
use crate::direction::ScenarioKind;
use crate::method::{self, How, Method};

impl Profile {
    /// Fails where nothing could come of it, or something else than whoever wrote it meant.
    ///
    /// # Errors
    /// The first key that does not fit, and what to write.
    pub(super) fn check(&self) -> Result<()> {
        if self.replicates == 0 {
            bail!("`replicates` is 0: give at least 1, and 5 where something is to be claimed");
        }
        if !self.report_on.is_reported() {
            bail!(
                "`report_on` is \"{}\", but nothing is reported on users that choose: write \"dev\" or \"final\"",
                self.report_on.name()
            );
        }
        if self.prepare.users == 0 {
            bail!("[prepare] `users` is 0: nobody would be ranked");
        }
        self.prepare.cut()?;
        self.prepare.tie_window_ms()?;
        self.prepare.check_tokens(&self.backbone)?;
        self.claims.check()?;
        for study in &self.studies {
            let of = || format!("study {}", study.name);
            self.claims_of(study).check().with_context(of)?;
            let prepare = self.prepare_of(study);
            prepare.cut().with_context(of)?;
            prepare.tie_window_ms().with_context(of)?;
            if study.rank.is_some() {
                self.rank_of(study).check().with_context(of)?;
            }
            if study.adapter.is_some_and(|training| training.epochs == 0) {
                bail!(
                    "study {}: [study.adapter] `epochs` is 0: give at least 1, or leave the table out",
                    study.name
                );
            }
        }
        self.rank.check()?;
        self.check_vectors()?;
        self.check_fitted()?;
        if self.stated.is_some() && !matches!(self.backbone, Backbone::Pretrained { .. }) {
            bail!(
                "[stated] is about a model that has to be fetched, and this profile fetches none: leave the table out, `--dry-run` prepares the \
                 data"
            );
        }
        if let Backbone::Codes(sizes) = &self.backbone {
            if sizes.text == ItemText::Vectors && sizes.vectors != TextVectors::default() {
                bail!(
                    "[backbone] vectors has no effect where `text = \"vectors\"`: the study's own are read, which [vectors] says how to make"
                );
            }
            if self.prepare.format != PromptFormat::Sequence {
                bail!(
                    "[backbone] kind = \"codes\" reads the items of a history and no question: write `format = \"sequence\"` in [prepare], \
                     where it is \"{}\"",
                    self.prepare.format.name()
                );
            }
            if self.rank.contamination > 0 {
                bail!(
                    "[rank] contamination asks for titles, which a model with [backbone] kind = \"codes\" does not write: leave it out"
                );
            }
        }
        if self.adapter.train.keep != Keep::Last {
            bail!(
                "[adapter] train: every row uses the last step of its schedule, or those whose held-out users happen to agree with the test \
                 would win: write `keep = \"last\"`, and leave `patience` out"
            );
        }
        method::chosen(self.methods.iter().map(String::as_str)).context("`methods`")?;
        for study in &self.studies {
            study.check_keys()?;
            let scenarios: Vec<String> = study.scenarios.iter().map(Scenario::name).collect();
            let claims = self.claims_of(study);
            if !scenarios.iter().any(|name| claims.concerns(name)) {
                bail!(
                    "study {}: [claims] names none of its scenarios, which are {}",
                    study.name,
                    scenarios.join(", ")
                );
            }
            let studied: Vec<&str> = study
                .domains
                .iter()
                .filter(|d| !d.auxiliary)
                .map(|d| d.name.as_str())
                .collect();
            for scenario in &study.scenarios {
                let rows = scenario
                    .rows(self)
                    .with_context(|| format!("study {}: scenario {}", study.name, scenario.name()))?;
                self.check_rows(scenario, &rows)
                    .with_context(|| format!("study {}: scenario {}", study.name, scenario.name()))?;
                if !claims.kinds.is_empty() && !rows.iter().any(|row| row.id() == claims.woven) {
                    let names: Vec<&str> = rows.iter().map(|row| row.id()).collect();
                    bail!(
                        "[claims] woven is {}, which is no row of {}: {}",
                        claims.woven,
                        scenario.name(),
                        names.join(", ")
                    );
                }
                let fitted = rows
                    .iter()
                    .find(|row| matches!(row.how(), How::Fitted { .. }) && row.id() == claims.woven);
                if let Some(row) = fitted.filter(|_| !claims.kinds.is_empty()) {
                    bail!(
                        "[claims] woven is {}, a {}: claims are about what is made of a language model's adapters; name such a row, or write \
                         `kinds = []`",
                        row.id(),
                        row.family().label()
                    );
                }
                for domain in scenario.sources.iter().chain([&scenario.target]) {
                    if !studied.contains(&domain.as_str()) {
                        bail!(
                            "study {}: scenario {} names the domain {domain}, which is not one of {}",
                            study.name,
                            scenario.name(),
                            studied.join(", ")
                        );
                    }
                }
                let alone = scenario.kind == ScenarioKind::SingleDomain;
                if scenario.sources.is_empty() != alone || scenario.sources.contains(&scenario.target) {
                    bail!(
                        "study {}: scenario {} needs {}",
                        study.name,
                        scenario.name(),
                        match alone {
                            true => "no sources: it is single-domain",
                            false => "sources other than its target",
                        }
                    );
                }
            }
            if let Some(stated) = &self.stated {
                stated.check(study)?;
            }
            if self.backbone.own().is_some() && !study.domains.iter().any(|d| d.auxiliary) {
                bail!(
                    "study {}: a {} backbone is pre-trained on auxiliary domains, and there is none",
                    study.name,
                    match self.backbone {
                        Backbone::Codes(_) => "codes",
                        _ => "nano",
                    }
                );
            }
        }
        Ok(())
    }

    fn check_vectors(&self) -> Result<()> {
        if self.vectors.is_default() {
            return Ok(());
        }
        if matches!(&self.backbone, Backbone::Codes(sizes) if sizes.text == ItemText::Vectors) {
            return Ok(());
        }
        let reads = |row: &&dyn Method| method::reads_vectors(*row);
        for study in &self.studies {
            for scenario in &study.scenarios {
                if scenario.rows(self)?.iter().any(&reads) {
                    return Ok(());
                }
            }
        }
        let readers: Vec<&str> = method::METHODS
            .iter()
            .copied()
            .filter(|row| reads(row))
            .map(Method::id)
            .collect();
        bail!(
            "[vectors] has no effect: no row of `methods` or `also` reads vectors of items, nor does a backbone over codes with `text = \
             \"vectors\"`. Name one of {}, or leave the table out",
            readers.join(", ")
        )
    }

    fn check_fitted(&self) -> Result<()> {
        let mut all: Vec<&'static dyn Method> = Vec::new();
        for study in &self.studies {
            let rows = study
                .rows(self)
                .with_context(|| format!("study {}", study.name))?;
            if let Some(own) = &study.fitted {
                own.check(&rows)
                    .with_context(|| format!("study {}: [study.fitted]", study.name))?;
            }
            // Both together come to systems that there are.
            self.fitted_of(study)
                .check_systems(&rows)
                .with_context(|| format!("study {}: [fitted]", study.name))?;
            all.extend(rows);
        }
        self.fitted.check(&all).context("[fitted]")
    }

    /// Fails where a row needs what the scenario or the profile lacks.
    fn check_rows(&self, scenario: &Scenario, rows: &[&dyn Method]) -> Result<()> {
        let lacking = |lacks: bool, needs: fn(&dyn Method) -> bool| {
            rows.iter()
                .filter(|row| lacks && needs(**row))
                .map(|row| row.id())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let without_model = lacking(matches!(self.backbone, Backbone::None), method::needs_model);
        if !without_model.is_empty() {
            bail!("rows that need a language model, where [backbone] kind is \"none\": {without_model}");
        }
        if let [first, ..] = rows
            && rows.iter().all(|row| scenario.lacks(*row).is_some())
        {
            bail!(
                "no row is left: {} and whatever else is named learn from sources, and the scenario has none",
                first.id()
            );
        }
        let without_sources = lacking(scenario.sources.is_empty(), method::needs_sources);
        if !without_sources.is_empty() {
            bail!("rows that need sources, where the scenario has none: {without_sources}");
        }
        for row in rows {
            if let How::Adapters { by: Some(by), .. } = row.how() {
                by.check(1 + scenario.sources.len())
                    .with_context(|| format!("row {}", row.id()))?;
            }
        }
        Ok(())
    }
}
