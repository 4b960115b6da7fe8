//! What running needs and planning and reporting do not: prepared domains and language models.

mod distance;
mod notes;

use std::sync::OnceLock;

use anyhow::{Context, Result};
use weaverec_model::device::Compute;

use super::backbone::{self, LanguageModel};
use super::cell::Record;
use super::cost::Cost;
use super::domain::{self, DomainData, Domains};
use super::item_vectors::ItemVectors;
use super::item_vectors::study::{self, Space};
use super::library::Library;
use super::plan::{Plan, Unit};
use super::pretraining;
use super::profile::{Backbone, Data, Profile, Study};
use super::study_record::StudyRecord;
use super::words::Words;
use super::workshop::Workshop;
use crate::progress::say;

/// A study's domains, and the language model where it is fetched.
pub struct Materials {
    /// Its prepared domains.
    pub domains: Domains,
    /// The model; none where replicates pre-train theirs, or none takes part.
    pub model: Option<LanguageModel>,
    /// What the models read that replicates pre-train; none where the model is fetched, or none takes part.
    pub words: Option<Words>,
    /// How the vectors are made that recommenders read, and on what.
    made: (ItemVectors, Compute),
    /// The vectors, from when they are needed on.
    vectors: OnceLock<Space>,
}

impl Materials {
    /// Prepares a study's domains and loads the model that its profile names, fetching what is missing.
    ///
    /// # Errors
    /// Raw logs that cannot be had or read, or a model that cannot be had or loaded.
    pub fn gather(profile: &Profile, study: &Study, data: &Data, workshop: &Workshop) -> Result<Self> {
        let count = study.domains.len();
        say(format!("{}: preparing {count} domains", study.title));
        let domains = domain::prepare_study(profile, study, data, &workshop.work, workshop.threads)?;
        let most = profile.prepare.most_tokens();
        let model = match &profile.backbone {
            Backbone::Pretrained { model, precision } => {
                let mut fetched = backbone::pretrained(model, *precision, workshop.compute)?;
                fetched.words = fetched.words.held_to(most, &domains)?;
                Some(fetched)
            }
            Backbone::Nano(_) | Backbone::Codes(_) | Backbone::None => None,
        };
        let vectors = (&profile.vectors, workshop.compute);
        let words = profile
            .backbone
            .own()
            .map(|own| pretraining::words(own, &domains, vectors)?.held_to(most, &domains));
        let words = words.transpose()?;
        if let Some(Words::Codes(book)) = &words {
            say(format!("  {}", book.describe()));
        }
        Ok(Materials {
            domains,
            model,
            words,
            made: (profile.vectors.clone(), workshop.compute),
            vectors: OnceLock::new(),
        })
    }

    /// What is kept of the study.
    fn study(&self, profile: &Profile, study: &Study) -> Result<StudyRecord> {
        let mut record = self.record(profile, study)?;
        let fetched = self.model.as_ref().map(|model| &model.words);
        let (words, prepare) = (fetched.or(self.words.as_ref()), profile.prepare_of(study));
        for (name, facts) in &mut record.facts.domains {
            facts
                .notes
                .extend(notes::of(self.domain(name)?, words, &prepare)?);
        }
        if words.is_some() {
            for (target, source) in distance::pairs(study) {
                let (of, from) = (self.domain(target)?, self.domain(source)?);
                let found = distance::apart((target, of.items.as_slice()), (source, from.items.as_slice()));
                let facts = record.facts.domains.get_mut(target);
                if let Some((apart, facts)) = found.zip(facts) {
                    facts.notes.push(notes::of_distance(source, apart));
                }
            }
        }
        Ok(record)
    }

    fn record(&self, profile: &Profile, study: &Study) -> Result<StudyRecord> {
        let domains = &self.domains;
        if let Some(model) = &self.model {
            let fingerprint = Some(model.fingerprint.as_str());
            let sizes = Some((&model.words, model.decoder.config()));
            return StudyRecord::new(profile, study, domains, sizes, fingerprint);
        }
        if let Backbone::Pretrained { model, .. } = &profile.backbone {
            anyhow::bail!("the model {model} was not loaded");
        }
        match profile.backbone.own().zip(self.words.as_ref()) {
            Some((own, words)) => {
                let config = pretraining::decoder_config(own, words)?;
                StudyRecord::new(profile, study, domains, Some((words, &config)), None)
            }
            None => StudyRecord::new(profile, study, domains, None, None),
        }
    }

    /// The vectors of the items of all domains that recommenders read; they are made when they are asked for first, which takes seconds
    /// where no model reads the titles.
    ///
    /// # Errors
    /// Those of [`study::of_study`].
    pub fn vectors(&self) -> Result<&Space> {
        if let Some(known) = self.vectors.get() {
            return Ok(known);
        }
        let made = study::of_study(&self.domains, &self.made.0, self.made.1)?;
        // Whoever makes them at the same time makes the same.
        Ok(self.vectors.get_or_init(|| made))
    }

    /// A domain by name; scenarios were checked against the study's domains.
    ///
    /// # Errors
    /// One that was not prepared.
    pub fn domain(&self, name: &str) -> Result<&DomainData> {
        let found = self.domains.get(name);
        found.with_context(|| format!("the domain {name} was not prepared"))
    }
}

/// A study on the bench: its record and plan, and its materials from when they are needed on.
pub struct Bench {
    /// The study.
    pub study: StudyRecord,
    /// Its cells.
    pub plan: Plan,
    materials: Option<Materials>,
}

impl Bench {
    /// Takes a study from its record; where there is none its domains are prepared, and it is kept.
    ///
    /// # Errors
    /// Those of [`Materials::gather`], and a record that cannot be read or written.
    pub fn open(
        profile: &Profile,
        study: &Study,
        data: &Data,
        library: &Library,
        workshop: &Workshop,
    ) -> Result<Self> {
        let cell = StudyRecord::cell(profile, study)?;
        if library.has(&cell) {
            return Self::of_record(&library.load(&cell)?);
        }
        let started = std::time::Instant::now();
        let materials = Materials::gather(profile, study, data, workshop)?;
        let study = materials.study(profile, study)?;
        let cost = Cost {
            wall_seconds: started.elapsed().as_secs_f64(),
            ..Cost::default()
        };
        let mut record = Record::new(&study.cell, workshop.environment.clone(), cost);
        record.study = Some(serde_json::to_value(&study.facts)?);
        library.own.keep(&study.cell, &record, |_| Ok(()))?;
        Ok(Bench {
            materials: Some(materials),
            ..Self::of_record(&record)?
        })
    }

    /// A study of which there is a record.
    ///
    /// # Errors
    /// A record of something else.
    pub fn of_record(record: &Record) -> Result<Self> {
        let study = StudyRecord::from_record(record)?;
        Ok(Bench {
            plan: Plan::new(&study)?,
            study,
            materials: None,
        })
    }

    /// A unit as people call it.
    pub fn name(&self, unit: &Unit) -> String {
        let study = self.study.study();
        format!(
            "{}: {}, replicate {}",
            study.name,
            study.scenarios[unit.scenario].name(),
            unit.replicate
        )
    }

    /// Sees to it that the materials are there.
    ///
    /// # Errors
    /// Those of [`Materials::gather`], and domains or a model that are other than those of the record.
    pub fn gather(&mut self, data: &Data, workshop: &Workshop) -> Result<()> {
        if self.materials.is_none() {
            let (profile, study) = (&self.study.profile, self.study.study());
            let materials = Materials::gather(profile, study, data, workshop)?;
            self.study.check_same(&materials.study(profile, study)?)?;
            self.materials = Some(materials);
        }
        Ok(())
    }

    /// The materials.
    ///
    /// # Errors
    /// Where nobody has [gathered](Self::gather) them.
    pub fn materials(&self) -> Result<&Materials> {
        self.materials
            .as_ref()
            .context("the domains of this study were not prepared")
    }
}
