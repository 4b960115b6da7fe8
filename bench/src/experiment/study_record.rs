//! What is kept of a study itself: all that its plan and its report need and that is not in the record of a cell, so that neither raw
//! logs nor a model are needed to plan or to report.

mod notes;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use weaverec_model::backbone::DecoderConfig;
use weaverec_model::train::Example;
use weaverec_pipeline::schema::{PromptFormat, Split};

use self::notes::notes;
use super::cell::{Cell, Kind, Record};
use super::domain::{DomainData, Domains};
use super::encoder::Encoder;
use super::pretraining;
use super::profile::{Profile, Study};
use super::replicate::Replicate;
use super::training_set;
use super::words::Words;
use super::work::{OpCounts, Text};
use crate::cut::Sizes;
use crate::protocol::union;

/// Prompts of a split that are encoded to learn how long they are.
const SAMPLE: usize = 100;

/// A study with what was found when its domains were prepared.
#[derive(Clone, Debug)]
pub struct StudyRecord {
    /// Its cell.
    pub cell: Cell,
    /// The profile, with this study alone.
    pub profile: Profile,
    /// What was found.
    pub facts: Facts,
}

/// What is known of a study once its domains are prepared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Its domains by name.
    pub domains: BTreeMap<String, DomainFacts>,
    /// What tells the language model from others: one for all replicates, or one for each. Of a backbone that is pre-trained here, the
    /// key of its cell, which is known before it is trained.
    pub bases: Vec<String>,
    /// What a backbone is pre-trained on.
    pub pretraining: Option<Text>,
    /// What tells the vectors of items from others; none where they are the usual ones, of their titles' words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vectors: Option<serde_json::Value>,
    /// The model's arithmetic.
    pub operations: OpCounts,
    /// The model's sizes, by which memory is estimated; none in records of versions that did not keep them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoder: Option<DecoderConfig>,
}

/// What is known of a prepared domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainFacts {
    /// Hash of what was prepared.
    pub fingerprint: String,
    /// Hash of the users that are ranked and of their candidates.
    pub candidate_hash: String,
    /// The split, as the manifest says it.
    pub split: String,
    /// What a reader must know of the order of events.
    pub order: String,
    /// What else a reader must know.
    pub notes: Vec<String>,
    /// Items.
    pub items: usize,
    /// Interactions of the training part; 0 in records of versions that did not count them.
    #[serde(default)]
    pub interactions: usize,
    /// Users in each part.
    pub users: Sizes,
    /// Users that are ranked.
    pub ranked: usize,
    /// Users on whom rows are compared that are the better of several.
    pub selection: usize,
    /// Users that choose whatever is chosen after training.
    pub calibration: usize,
    /// Candidates that a user has under all protocols, on average.
    pub distinct: usize,
    /// Titles, each after another one.
    pub titles: Text,
    /// Training prompts.
    pub training: Text,
    /// Test prompts with all of their candidates.
    pub queries: Text,
}

impl Facts {
    /// What tells the preparations of the domains from others, by the domains' names.
    pub fn fingerprints(&self) -> Vec<&str> {
        let domains = self.domains.values();
        domains.map(|domain| domain.fingerprint.as_str()).collect()
    }
}

impl StudyRecord {
    /// The cell of a study.
    ///
    /// # Errors
    /// None that a profile which was read could cause.
    pub fn cell(profile: &Profile, study: &Study) -> Result<Cell> {
        let label = format!("{}, profile {}", study.name, profile.name);
        Ok(Cell::new(Kind::Study, label, profile.identity(study)?))
    }

    /// A study whose domains have been prepared. `model` is what the language model reads and its sizes, if one takes part;
    /// `fingerprint` tells one that was fetched from others.
    ///
    /// # Errors
    /// Prompts that cannot be encoded.
    pub fn new(
        profile: &Profile,
        study: &Study,
        domains: &Domains,
        model: Option<(&Words, &DecoderConfig)>,
        fingerprint: Option<&str>,
    ) -> Result<Self> {
        let format = profile.prepare.format;
        let mut facts = Facts {
            domains: domains
                .values()
                .map(|domain| {
                    let encoder = model.map(|(words, _)| words.encoder(&domain.name, format));
                    let facts = DomainFacts::of(domain, encoder.transpose()?.as_ref(), format)?;
                    Ok((domain.name.clone(), facts))
                })
                .collect::<Result<_>>()?,
            bases: fingerprint.map(str::to_string).into_iter().collect(),
            pretraining: None,
            vectors: match profile.vectors.is_default() {
                true => None,
                false => Some(profile.vectors.identity().context("[vectors]")?),
            },
            operations: model.map_or_else(OpCounts::default, |(_, config)| OpCounts::of(config)),
            decoder: model.map(|(_, config)| config.clone()),
        };
        if let (Some(own), Some((words, _))) = (profile.backbone.own(), model) {
            let count = if own.is_shared() { 1 } else { profile.replicates };
            let of = (&facts.fingerprints()[..], facts.vectors.as_ref());
            let cells = (0..count).map(|r| pretraining::cell(own, profile, study, of, r));
            facts.bases = cells.map(|cell| cell.key).collect();
            let auxiliary = pretraining::auxiliary(study);
            let (examples, _) = pretraining::auxiliary_text(words, format, &auxiliary, domains)?;
            facts.pretraining = Some(Text::of(&examples, examples.len()));
        }
        let mut of = Self::named(profile, study)?;
        of.facts = facts;
        Ok(of)
    }

    /// A study of which nothing is known but its profile.
    pub(super) fn named(profile: &Profile, study: &Study) -> Result<Self> {
        let cell = Self::cell(profile, study)?;
        Ok(StudyRecord {
            // The profile as the record has it, so that what is planned now is what is planned from the record.
            profile: serde_json::from_value(cell.configuration.clone())?,
            cell,
            facts: Facts {
                domains: BTreeMap::new(),
                bases: Vec::new(),
                pretraining: None,
                vectors: None,
                operations: OpCounts::default(),
                decoder: None,
            },
        })
    }

    /// The study of a record.
    ///
    /// # Errors
    /// A record of something else, or of a profile that this version cannot read.
    pub fn from_record(record: &Record) -> Result<Self> {
        let unreadable = || format!("the record of the study {} ({})", record.label, record.key);
        let profile: Profile =
            serde_json::from_value(record.configuration.clone()).with_context(unreadable)?;
        let Some(facts) = &record.study else {
            bail!(
                "{} holds no study: delete it to prepare the study again",
                unreadable()
            );
        };
        let [_] = profile.studies.as_slice() else {
            bail!("{} names other than one study: delete it", unreadable());
        };
        Ok(StudyRecord {
            cell: Cell {
                kind: record.kind,
                label: record.label.clone(),
                key: record.key.clone(),
                configuration: record.configuration.clone(),
            },
            facts: serde_json::from_value(facts.clone()).with_context(unreadable)?,
            profile,
        })
    }

    /// The study as the profile has it.
    pub fn study(&self) -> &Study {
        // There is one: whatever makes this value has looked.
        &self.profile.studies[0]
    }

    /// A domain; scenarios were checked against the study's domains.
    ///
    /// # Errors
    /// A domain that the record lacks.
    pub fn domain(&self, name: &str) -> Result<&DomainFacts> {
        let found = self.facts.domains.get(name);
        found.with_context(|| {
            format!(
                "the record of the study {} lacks the domain {name}",
                self.cell.label
            )
        })
    }

    /// The replicate whose language model a replicate uses: its own, or the one that all share.
    pub fn base(&self, replicate: Replicate) -> Replicate {
        if self.facts.bases.len() > 1 { replicate } else { 0 }
    }

    /// What tells the language model of a replicate from others.
    ///
    /// # Errors
    /// A record that lacks it.
    pub fn base_key(&self, replicate: Replicate) -> Result<&str> {
        let found = self.facts.bases.get(self.base(replicate) as usize);
        let found = found.with_context(|| format!("the record of {} names no model", self.cell.label))?;
        Ok(found)
    }

    /// Fails where the domains as they are prepared now are other than those of the record.
    ///
    /// # Errors
    /// The first difference, and what to do.
    pub fn check_same(&self, now: &StudyRecord) -> Result<()> {
        let (then, now) = (&self.facts, &now.facts);
        let differs = |(name, domain): (&String, &DomainFacts)| -> Option<String> {
            let now = now.domains.get(name)?;
            let what = if domain.fingerprint != now.fingerprint {
                format!(
                    "was prepared as {:.12} and is {:.12} now",
                    domain.fingerprint, now.fingerprint
                )
            } else if domain.candidate_hash != now.candidate_hash {
                format!(
                    "had the candidates {} and has {} now",
                    domain.candidate_hash, now.candidate_hash
                )
            } else {
                return None;
            };
            Some(format!("the domain {name} {what}"))
        };
        let what = then.domains.iter().find_map(differs).or_else(|| {
            let names = |facts: &Facts| facts.bases.join(", ");
            (then.bases != now.bases)
                .then(|| format!("the language model was {} and is {} now", names(then), names(now)))
        });
        let what = what.or_else(|| {
            (then.vectors != now.vectors)
                .then(|| "what makes its vectors of items ([vectors]) is another model or file now".into())
        });
        match what {
            None => Ok(()),
            Some(what) => bail!(
                "the study {} is not what its record says: {what}; records of the two must not meet. Name another --work and --out, or \
                 remove the folders of the earlier records",
                self.cell.label
            ),
        }
    }
}

impl DomainFacts {
    /// Of a prepared domain. Without a language model nothing has a length in tokens.
    fn of(domain: &DomainData, encoder: Option<&Encoder>, format: PromptFormat) -> Result<Self> {
        let manifest = domain.folder.manifest();
        let lengths = encoder.map_or_else(
            || Ok(Lengths::default()),
            |encoder| Lengths::of(domain, encoder, format),
        )?;
        let distinct: usize = domain
            .ranked
            .iter()
            .map(|prompt| union(prompt, format).0.len())
            .sum();
        let training = training_set::supply(&domain.folder)?;
        Ok(DomainFacts {
            fingerprint: domain.fingerprint.clone(),
            candidate_hash: domain.candidate_hash.clone(),
            split: manifest.split.clone(),
            order: manifest.order(),
            notes: notes(manifest),
            items: domain.items.len(),
            interactions: domain.log.sequences().iter().map(Vec::len).sum(),
            users: domain.users,
            ranked: domain.ranked.len(),
            selection: domain.selection.len(),
            calibration: domain.calibration.len(),
            distinct: distinct.div_ceil(domain.ranked.len().max(1)),
            titles: Text::of(&lengths.titles, domain.items.len()),
            training: Text::of(&lengths.training, usize::try_from(training)?),
            queries: Text::of(&lengths.queries, domain.ranked.len()),
        })
    }
}

/// A sample of each kind of text of a domain, as a language model reads it; empty without one.
#[derive(Default)]
struct Lengths {
    titles: Vec<Example>,
    training: Vec<Example>,
    queries: Vec<Example>,
}

impl Lengths {
    fn of(domain: &DomainData, encoder: &Encoder, format: PromptFormat) -> Result<Self> {
        let prompts = domain.folder.first_prompts(Split::Train, SAMPLE)?;
        let queries = domain.ranked.iter().take(SAMPLE).map(|prompt| {
            let query = encoder.query(prompt, &union(prompt, format).0, &domain.items)?;
            let before = query.prompt.len();
            // A candidate goes through the model behind a prompt that all of a user's share.
            let tokens: Vec<u32> = query
                .prompt
                .into_iter()
                .chain(query.candidates.concat())
                .collect();
            Ok(Example {
                tokens,
                loss_from: before,
            })
        });
        let titles = domain.items.iter().take(SAMPLE).map(|item| {
            let tokens = encoder.title(item)?;
            Ok(Example { loss_from: 0, tokens })
        });
        Ok(Lengths {
            queries: queries.collect::<Result<_>>()?,
            titles: titles.collect::<Result<_>>()?,
            training: encoder.examples(&prompts)?,
        })
    }
}
