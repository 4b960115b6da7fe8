//! Scores by a language model: of the candidates after a user's history and after neutral ones, at every scale of the merged update that
//! is asked for.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use weaverec_model::backbone::Decoder;
use weaverec_model::lora::Adapter;
use weaverec_model::rank::{Catalogue, Mass, Query, Ranker, Sought, catalogue_place, neutral};
use weaverec_model::train::mean_loss;
use weaverec_pipeline::schema::{Prompt, PromptFormat, Split};
use weaverec_pipeline::seed;

use super::backbone::LanguageModel;
use super::cell::Choice;
use super::contamination;
use super::domain::DomainData;
use super::encoder::{CodeEncoder, Encoder};
use super::materials::Bench;
use super::merged::Merged;
use super::plan::AdapterKey;
use super::profile::Profile;
use super::ranking::{Scored, Scores, Subject, catalogue};
use super::replicate::{self, Replicate};
use super::workshop::Workshop;
use crate::cut::Cut;
use crate::experiment::answers;
use crate::experiment::calibration::neutral_items;
use crate::metric::Place;
use crate::progress::Meter;
use crate::scoring;

/// Where a target's place in a catalogue of codes is no longer looked for: no metric tells a thousandth place from those behind it.
const FARTHEST: usize = 1000;

/// The adapters of a ranking, which were trained here.
pub(super) fn adapters(bench: &Bench, members: &[AdapterKey], workshop: &Workshop) -> Result<Vec<Adapter>> {
    let load = |key: &AdapterKey| {
        let cell = &bench.plan.adapter(key)?.cell;
        let folder = workshop.adapter(cell);
        let missing = || format!("the weights of {} are not in the store", cell.label);
        Ok(Adapter::load(&folder.with_context(missing)?)?)
    };
    members.iter().map(load).collect()
}

/// A language model that scores the users of a domain.
pub(super) struct Likelihood<'a> {
    pub profile: &'a Profile,
    /// What is added to it.
    pub merged: Merged<'a>,
    pub model: &'a LanguageModel,
    pub encoder: &'a Encoder<'a>,
    pub target: &'a DomainData,
    pub meter: &'a Meter,
    /// The replicate that gives every user another one's history.
    pub stranger: Option<Replicate>,
}

impl Likelihood<'_> {
    /// Scores all subjects: those that choose at every scale, the reported ones at 1 and at the chosen one.
    pub fn score(&self, subjects: &[Subject]) -> Result<Scored> {
        let (config, target) = (&self.profile.rank, self.target);
        let queries = self.queries(subjects)?;
        let (reported, choosing): (Vec<usize>, Vec<usize>) =
            (0..subjects.len()).partition(|number| subjects[*number].cut == self.profile.report_on);
        let mut scored = Scored::default();
        let plain = self.decoder(1.0)?;
        let loss = |prompts: &[Prompt]| -> Result<Option<f64>> {
            Ok(mean_loss(
                &plain,
                &self.encoder.examples(prompts)?,
                config.batch_tokens,
            )?)
        };
        // With another one's history the model is the one that was measured with the own.
        if self.stranger.is_none() {
            scored.validation_loss = loss(&target.diagnosis)?;
            scored.selection_loss = loss(&target.selection)?;
            scored.invalid_output_rate = answers::invalid_output_rate(
                &plain,
                self.encoder,
                &target.ranked,
                &target.items,
                config,
                self.profile.prepare.format,
            )?;
        }
        if self.merged.is_none() && config.contamination > 0 && self.encoder.codes().is_none() {
            let found = contamination::recall(self.model, &plain, target, config.contamination, self.meter)?;
            scored.recall = Some(found);
        }
        let scoring = Instant::now();
        let mut own = self.at(&plain, 1.0, &reported, subjects, &queries)?;
        scored.seconds = scoring.elapsed().as_secs_f64();
        if target.items.len() <= config.catalogue {
            self.rank_catalogue(&plain, &mut own, subjects, &queries)?;
        }
        scored.scores = own;
        if choosing.is_empty() {
            return Ok(scored);
        }
        let mut by_scale = vec![(1.0, self.at(&plain, 1.0, &choosing, subjects, &queries)?)];
        drop(plain);
        if !self.merged.is_none() {
            for scale in config.scales.iter().filter(|scale| **scale != 1.0) {
                let decoder = self.decoder(*scale)?;
                by_scale.push((*scale, self.at(&decoder, *scale, &choosing, subjects, &queries)?));
            }
        }
        if by_scale.len() > 1 {
            let cases = by_scale.iter().map(|(scale, scores)| {
                let cases = scores.iter().map(|scores| {
                    let subject = &subjects[scores.subject];
                    let at = subject
                        .candidates
                        .iter()
                        .position(|item| *item == subject.prompt.target);
                    scoring::Case {
                        target: at.unwrap_or(0),
                        protocols: &subject.protocols,
                        scores: &scores.scores,
                        neutral: &scores.neutral,
                    }
                });
                (*scale, cases.collect())
            });
            let chosen = scoring::choose_scale(&cases.collect::<Vec<(f64, Vec<scoring::Case>)>>());
            scored.choices.push(Choice {
                what: "scale".into(),
                value: chosen.into(),
                cut: Cut::Calibration,
                users: choosing.len(),
            });
            if chosen != 1.0 {
                let decoder = self.decoder(chosen)?;
                scored
                    .scores
                    .extend(self.at(&decoder, chosen, &reported, subjects, &queries)?);
            }
        }
        scored
            .scores
            .extend(by_scale.into_iter().flat_map(|(_, scores)| scores));
        Ok(scored)
    }

    /// The model with so much of the merged update.
    fn decoder(&self, scale: f64) -> Result<Decoder> {
        Ok(match self.merged.times(scale)? {
            None => self.model.decoder.clone(),
            Some(merged) => self.model.decoder.folded(&merged)?,
        })
    }

    /// What the model reads of every subject, or of the stranger whose history the subject is given, and the candidates.
    fn queries(&self, subjects: &[Subject]) -> Result<Vec<Query>> {
        let items = &self.target.items;
        let Some(replicate) = self.stranger else {
            let query = |subject: &Subject| self.encoder.query(subject.prompt, &subject.candidates, items);
            return subjects.iter().map(query).collect();
        };
        let style = self.target.folder.style(items)?;
        let given = strangers(subjects, replicate)?;
        let query = |(subject, stranger): (&Subject, usize)| {
            let split = match subject.cut.is_reported() {
                true => Split::Test,
                false => Split::Validation,
            };
            let mut prompt = subject.prompt.clone();
            prompt.history = subjects[stranger].prompt.history.clone();
            prompt.messages = style.messages(split, &prompt)?;
            self.encoder.query(&prompt, &subject.candidates, items)
        };
        subjects.iter().zip(given).map(query).collect()
    }

    /// Scores some of the subjects with a decoder.
    fn at(
        &self,
        decoder: &Decoder,
        scale: f64,
        some: &[usize],
        subjects: &[Subject],
        queries: &[Query],
    ) -> Result<Vec<Scores>> {
        let asked: Vec<Query> = some.iter().map(|number| queries[*number].clone()).collect();
        let scores = answers::scores(decoder, &asked, &self.profile.rank, self.meter)?;
        let neutral = self.neutral(decoder, some, subjects, queries)?;
        let length = |candidate: &Vec<u32>| candidate.len() as u32;
        let all = some.iter().zip(asked).zip(scores);
        Ok(all
            .map(|((number, query), scores)| Scores {
                subject: *number,
                scale: scale as f32,
                scores,
                neutral: match &neutral {
                    None => Vec::new(),
                    Some(known) => subjects[*number]
                        .candidates
                        .iter()
                        .map(|item| known[item])
                        .collect(),
                },
                tokens: query.candidates.iter().map(length).collect(),
                catalogue: None,
            })
            .collect())
    }

    /// log p(title | neutral) of every item that is some subject's candidate; none where the profile or the format has no such thing.
    fn neutral(
        &self,
        decoder: &Decoder,
        some: &[usize],
        subjects: &[Subject],
        queries: &[Query],
    ) -> Result<Option<HashMap<u32, f32>>> {
        let config = &self.profile.rank;
        if config.neutral_histories == 0 || self.profile.prepare.format != PromptFormat::Sequence {
            return Ok(None);
        }
        let mut titles: BTreeMap<u32, &Vec<u32>> = BTreeMap::new();
        for number in some {
            titles.extend(
                subjects[*number]
                    .candidates
                    .iter()
                    .copied()
                    .zip(&queries[*number].candidates),
            );
        }
        let items = &self.target.items;
        let neutral_items = neutral_items(items, &self.target.fingerprint, config.neutral_histories);
        let histories = neutral_items
            .iter()
            .map(|item| self.encoder.had(&[item.item], items));
        let histories = histories.collect::<Result<Vec<_>>>()?;
        let tokens: Vec<Vec<u32>> = titles.values().map(|title| (*title).clone()).collect();
        let all = (tokens.len() * histories.len()) as u64;
        let mut progress = |done: usize| {
            self.meter
                .update(done as u64, all, || "titles after neutral histories".into())
        };
        let found = neutral(decoder, &histories, &tokens, config.normalisation, &mut progress)?;
        Ok(Some(titles.into_keys().zip(found).collect()))
    }

    /// Where each target stands in the whole catalogue, by likelihood.
    fn rank_catalogue(
        &self,
        decoder: &Decoder,
        scores: &mut [Scores],
        subjects: &[Subject],
        queries: &[Query],
    ) -> Result<()> {
        if let Some(codes) = self.encoder.codes() {
            return self.rank_codes(decoder, codes, scores, subjects, queries);
        }
        let items = &self.target.items;
        let all: Vec<u32> = (1..=items.len() as u32).collect();
        let Some(first) = subjects.first() else {
            return Ok(());
        };
        let titles = self.encoder.query(first.prompt, &all, items)?.candidates;
        let count = scores.len() as u64;
        for (done, scores) in scores.iter_mut().enumerate() {
            let subject = &subjects[scores.subject];
            let kept = catalogue(subject, items.len());
            let excluded: Vec<usize> = all
                .iter()
                .filter(|item| kept.binary_search(item).is_err())
                .map(|item| *item as usize - 1)
                .collect();
            let (above, tied) = catalogue_place(
                decoder,
                &queries[scores.subject].prompt,
                &titles,
                subject.prompt.target as usize - 1,
                &excluded,
                self.profile.rank.normalisation,
                &mut |_| {},
            )?;
            scores.catalogue = Some(Place {
                above: u32::try_from(above)?,
                tied: u32::try_from(tied)?,
            });
            self.meter.update(done as u64, count, || {
                "users ranked in the whole catalogue".into()
            });
        }
        Ok(())
    }

    /// The same for items as codes, whose tree is read once for many users.
    fn rank_codes(
        &self,
        decoder: &Decoder,
        codes: &CodeEncoder,
        scores: &mut [Scores],
        subjects: &[Subject],
        queries: &[Query],
    ) -> Result<()> {
        let catalogue = Catalogue::new(&codes.layout.items(codes.codes))?;
        let ranker = Ranker {
            decoder,
            catalogue: &catalogue,
            // As candidates are scored.
            mass: Mass::Vocabulary,
        };
        let excluded: Vec<Vec<usize>> = scores
            .iter()
            .map(|scores| {
                let subject = &subjects[scores.subject];
                let mut known: Vec<u32> = subject.history.to_vec();
                known.sort_unstable();
                known.dedup();
                known.retain(|item| *item != subject.prompt.target);
                known.into_iter().map(|item| item as usize - 1).collect()
            })
            .collect();
        let sought: Vec<Sought> = scores
            .iter()
            .zip(&excluded)
            .map(|(scores, excluded)| Sought {
                prompt: &queries[scores.subject].prompt,
                target: subjects[scores.subject].prompt.target as usize - 1,
                excluded,
            })
            .collect();
        let count = sought.len() as u64;
        let places = ranker.places(&sought, FARTHEST, &mut |done| {
            self.meter.update(done as u64, count, || {
                "users ranked in the whole catalogue".into()
            });
        })?;
        for (scores, (above, tied)) in scores.iter_mut().zip(places) {
            scores.catalogue = Some(Place {
                above: u32::try_from(above)?,
                tied: u32::try_from(tied)?,
            });
        }
        Ok(())
    }
}

/// For every subject another of the same part, in a cycle drawn by the replicate: everyone gets a history, and nobody the own one.
fn strangers(subjects: &[Subject], replicate: Replicate) -> Result<Vec<usize>> {
    let mut given = vec![0; subjects.len()];
    for cut in Cut::ALL {
        let mut order: Vec<usize> = (0..subjects.len())
            .filter(|number| subjects[*number].cut == cut)
            .collect();
        ensure!(
            order.len() != 1,
            "there is one {} user, and nobody else's history to give: rank more",
            cut.name()
        );
        seed::shuffle(
            &mut seed::rng(replicate::stranger_seed(replicate), cut.name(), "", 0),
            &mut order,
        );
        for (place, number) in order.iter().enumerate() {
            given[*number] = order[(place + 1) % order.len()];
        }
    }
    Ok(given)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn everyone_is_given_a_history_of_somebody_else_of_the_same_part() {
        let prompt = Prompt {
            key: 0,
            user_id: String::new(),
            position: 0,
            history: Vec::new(),
            target: 1,
            ties: false,
            candidates: vec![1],
            binned: Vec::new(),
            messages: Vec::new(),
        };
        let subject = |cut| Subject {
            prompt: &prompt,
            cut,
            history: &[],
            candidates: vec![1],
            protocols: vec![1],
        };
        let mut subjects: Vec<Subject> = (0..40).map(|_| subject(Cut::Dev)).collect();
        subjects.extend((0..7).map(|_| subject(Cut::Calibration)));
        let given = strangers(&subjects, 0).unwrap();
        let mut all = given.clone();
        all.sort_unstable();
        assert_eq!(all, (0..47).collect::<Vec<_>>());
        assert!(given.iter().enumerate().all(|(own, other)| own != *other));
        assert!(given[..40].iter().all(|other| *other < 40));
        assert_ne!(given, strangers(&subjects, 1).unwrap());
        assert_eq!(given, strangers(&subjects, 0).unwrap());
        subjects.truncate(41);
        assert!(strangers(&subjects, 0).is_err());
    }
}
