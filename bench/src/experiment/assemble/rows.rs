//! The rows of a scenario, each with a run a replicate.

use std::rc::Rc;

use anyhow::{Context, Result, ensure};

use super::choices::{calibrated, recorded};
use super::drafts::{Draft, Source, drafts, part, shown_as};
use super::notes::Lacking;
use super::outside::imported;
use super::read::{self, Places};
use super::records::{Ranked, Records};
use crate::choice::LAMBDA;
use crate::cut::Cut;
use crate::experiment::cell;
use crate::experiment::plan::{self, Scorer, alone};
use crate::experiment::profile::Scenario;
use crate::experiment::replicate::Replicate;
use crate::method::{How, MergeBy, Method};
use crate::protocol::Protocol;
use crate::report::input::{self, Case, Choice, Contamination, Family, Reading, Row, Run};
use crate::report::learned::is_stranger;
use crate::scoring::{Scoring, lowest, users};
use crate::statistics::mean;

/// The merge that needs no choice.
const NAIVE_MERGE: &str = "naive-merge";

/// The row that is added to others as the logarithm of its counts.
pub(super) const POPULARITY: &str = "popularity";

/// A scenario with what must be said beside it.
pub struct Made {
    /// The scenario.
    pub scenario: input::Scenario,
    /// Sentences that a reader must know.
    pub notes: Vec<String>,
    /// What was chosen for its rows.
    pub choices: Vec<Choice>,
    /// Whether a merge has a scale that nobody chose.
    pub merges_as_they_are: bool,
}

/// Makes the rows of a scenario from the records of these replicates.
///
/// # Errors
/// A record that cannot be read, or records that do not belong together.
pub fn scenario(records: &Records, scenario: &Scenario, replicates: &[Replicate]) -> Result<Made> {
    let mut drafts = drafts(records, scenario)?;
    let mut making = Making::new(records, scenario);
    for (place, replicate) in replicates.iter().enumerate() {
        for draft in &mut drafts {
            if place > 0 && draft.row.deterministic {
                continue;
            }
            let made = match &draft.source {
                Source::Method(method) => making.run(*method, *replicate),
                Source::Member(diet) => {
                    let scorer = alone(diet.clone(), records.study, *replicate);
                    let ranked = records.ranked((scenario.target.clone(), scorer))?;
                    making.member(&draft.row.method, *replicate, &ranked).map(Some)
                }
            };
            let made = made.with_context(|| format!("row {}", draft.row.method))?;
            if let Some((run, calibration)) = made {
                draft.row.runs.push(run);
                draft.calibration.push(calibration);
            }
        }
        records.forget_rankings();
    }
    // A row that could be made in some replicates and not in others would be a choice among replicates.
    let whole = |draft: &Draft| {
        draft.row.runs.len()
            == if draft.row.deterministic {
                1
            } else {
                replicates.len()
            }
    };
    drafts.retain(whole);
    for (row, why) in plan::inapplicable(records.study, scenario)? {
        making.lacking.inapplicable.push((row.label(), why));
    }
    making.made(drafts)
}

/// What is gathered while rows are made.
struct Making<'a> {
    records: &'a Records<'a>,
    scenario: &'a Scenario,
    name: String,
    cases: Vec<Case>,
    protocol: Option<Protocol>,
    content: bool,
    choices: Vec<Choice>,
    contamination: Option<Contamination>,
    lacking: Lacking,
    /// Whether the scale of a merge stands without a choice.
    scale_stands: bool,
}

impl<'a> Making<'a> {
    fn new(records: &'a Records<'a>, scenario: &'a Scenario) -> Self {
        Self {
            records,
            scenario,
            name: scenario.name(),
            cases: Vec::new(),
            protocol: None,
            content: false,
            choices: Vec::new(),
            contamination: None,
            lacking: Lacking::default(),
            scale_stands: false,
        }
    }

    /// A run of a row of the registry, and what calibration users find of it; none where it cannot be made.
    fn run(
        &mut self,
        method: &'static dyn Method,
        replicate: Replicate,
    ) -> Result<Option<(Run, Option<f64>)>> {
        match method.how() {
            How::Fusion { of, with } => self.fusion(method, of, with, replicate),
            How::Best(parts) => {
                let Some(ranked) = self.best(method, parts, replicate)? else {
                    return Ok(None);
                };
                let places = self.places(method.id(), replicate, &ranked)?;
                self.finished(replicate, &ranked, places).map(Some)
            }
            _ => {
                let ranked = self.ranked(method, replicate)?;
                self.recall(&ranked);
                let chosen = |choice: &cell::Choice| choice.what == LAMBDA;
                let by = match method.how() {
                    How::Adapters { by, .. } => by,
                    _ => None,
                };
                if matches!(by, Some(MergeBy::Weights(_))) && !ranked.choices.iter().any(chosen) {
                    note(&mut self.lacking.equal_weights, method.label());
                }
                let places = self.places(method.id(), replicate, &ranked)?;
                self.finished(replicate, &ranked, places).map(Some)
            }
        }
    }

    fn member(&mut self, id: &str, replicate: Replicate, ranked: &Ranked) -> Result<(Run, Option<f64>)> {
        let places = self.places(id, replicate, ranked)?;
        self.finished(replicate, ranked, places)
    }

    /// The ranking that a row shows.
    fn ranked(&mut self, method: &dyn Method, replicate: Replicate) -> Result<Rc<Ranked>> {
        let scorer = plan::scorer(method, self.records.study, self.scenario, replicate)?;
        let scorer = scorer.with_context(|| format!("{} is made of others' records", method.id()))?;
        self.records.ranked((self.scenario.target.clone(), scorer))
    }

    /// That one of several rows which selection users find best.
    fn best(
        &mut self,
        method: &'static dyn Method,
        parts: &'static [&'static str],
        replicate: Replicate,
    ) -> Result<Option<Rc<Ranked>>> {
        let all: Vec<Rc<Ranked>> = parts
            .iter()
            .map(|id| self.ranked(part(id)?, replicate))
            .collect::<Result<_>>()?;
        let losses: Vec<Option<f64>> = all.iter().map(|ranked| ranked.ranking.selection_loss).collect();
        let Some(place) = lowest(&losses) else {
            note(&mut self.lacking.unmeasured, method.label());
            return Ok(None);
        };
        self.choices.push(Choice {
            scenario: Some(self.name.clone()),
            row: method.id().to_owned(),
            replicate,
            what: "which row".to_owned(),
            value: parts[place].to_owned(),
            users: format!(
                "S ({} users)",
                self.records.study.domain(&self.scenario.target)?.selection
            ),
        });
        Ok(Some(Rc::clone(&all[place])))
    }

    fn fusion(
        &mut self,
        method: &'static dyn Method,
        of: &'static str,
        with: &'static str,
        replicate: Replicate,
    ) -> Result<Option<(Run, Option<f64>)>> {
        let ours = self.ranked(part(of)?, replicate)?;
        let other = match with {
            POPULARITY => None,
            row => Some(self.ranked(part(row)?, replicate)?),
        };
        let theirs = other.as_ref().map(|other| other.cases.as_slice());
        let Some(fused) = read::fused(&ours.cases, theirs, self.records.on(), &ours.setting)? else {
            note(&mut self.lacking.fusions, method.label());
            return Ok(None);
        };
        self.note(method.id(), replicate, &ours)?;
        for (reading, weight) in read::readings(ours.setting.protocol).zip(&fused.weights) {
            let what = match reading == ours.setting.primary() {
                true => "w".to_owned(),
                false => format!("w ({})", reading.label()),
            };
            self.choices
                .extend(calibrated(&self.name, method.id(), replicate, what, weight));
        }
        let (mut run, calibration) = self.finished(replicate, &ours, fused.places)?;
        // Neither of its parts' places in the catalogue, of which no sum was scored.
        run.catalogue = None;
        if let Some(other) = other {
            run.cells.extend(self.records.cells(&other.key)?);
        }
        Ok(Some((run, calibration)))
    }

    /// How much of its training sequences an untuned model knows, added up over the models of the replicates.
    fn recall(&mut self, ranked: &Ranked) {
        if let Some(recall) = ranked.ranking.recall {
            let sum = self.contamination.get_or_insert(Contamination {
                asked: 0,
                recalled: 0,
            });
            sum.asked += recall.asked;
            sum.recalled += recall.recalled;
        }
    }

    /// The places of a row that is its own, which is noted with its choices.
    fn places(&mut self, row: &str, replicate: Replicate, ranked: &Ranked) -> Result<Places> {
        self.note(row, replicate, ranked)?;
        Ok(read::own(&ranked.cases, self.records.on(), &ranked.setting))
    }

    /// Notes how a row is read, and what was chosen for it.
    fn note(&mut self, row: &str, replicate: Replicate, ranked: &Ranked) -> Result<()> {
        let setting = &ranked.setting;
        let protocol = *self.protocol.get_or_insert(setting.protocol);
        ensure!(
            protocol == setting.protocol,
            "its candidates are drawn by other protocols than those of the rows before it: delete the folders of its rankings to run them again"
        );
        if self.cases.is_empty() {
            self.cases = cases(ranked, self.records.on());
        }
        self.content |= setting.content;
        self.lacking.likelihoods |= matches!(ranked.key.1, Scorer::LanguageModel { .. });
        let merged = ranked.key.1.members().len() > 1;
        if merged && !setting.scale.chosen {
            self.scale_stands = true;
        }
        if setting.content && !setting.alpha.chosen {
            self.lacking.alpha_stands = Some(setting.alpha.users);
        }
        let name = &self.name;
        let before = ranked.choices.iter().filter(|choice| choice.what != "scale");
        let mut chosen: Vec<Choice> = before
            .map(|choice| recorded(Some(name), row, replicate, choice))
            .collect();
        chosen.extend(calibrated(name, row, replicate, "c", &setting.scale));
        chosen.extend(calibrated(name, row, replicate, "α", &setting.alpha));
        if setting.scale.value != 1.0 {
            chosen.extend(calibrated(
                name,
                row,
                replicate,
                "α at c = 1",
                &setting.alpha_at_one,
            ));
        }
        self.choices.extend(chosen);
        Ok(())
    }

    /// A run with these places and all that the records say of it.
    fn finished(
        &mut self,
        replicate: Replicate,
        ranked: &Ranked,
        places: Places,
    ) -> Result<(Run, Option<f64>)> {
        let trainings = self.records.trainings(ranked)?;
        if let Scorer::Fitted { method, .. } = ranked.key.1 {
            let fits = trainings.iter().filter_map(|one| one.epochs.as_ref());
            self.lacking.fitted(part(method)?.label(), fits);
        }
        let members = ranked.key.1.members();
        let (loss_curve, held_out_curve) = match trainings.as_slice() {
            [one] => (one.outcome.curve.clone(), one.outcome.held_out_curve.clone()),
            _ => Default::default(),
        };
        let mut by_reading = places.by_reading.into_iter();
        let catalogue = users(&ranked.cases, self.records.on(), 1.0)
            .into_iter()
            .map(|case| case.catalogue);
        let run = Run {
            replicate,
            candidate_hash: ranked.ranking.candidate_hash.clone(),
            cells: self.records.cells(&ranked.key)?,
            import: None,
            places: by_reading.next().unwrap_or_default(),
            readings: by_reading.collect(),
            at_one: places.at_one,
            catalogue: catalogue.collect(),
            top: places.top,
            scale: (!members.is_empty()).then_some(ranked.setting.scale.value),
            // An empty sum of floats is −0, which a report would show.
            train_seconds: trainings.iter().map(|t| t.outcome.seconds).sum::<f64>() + 0.0,
            train_tokens: trainings.iter().map(|t| t.outcome.tokens).sum(),
            train_steps: trainings.iter().map(|t| t.outcome.steps as u64).sum(),
            train_flops: trainings.iter().map(|t| t.flops).sum::<f64>() + 0.0,
            rank_seconds: Some(ranked.ranking.rank_seconds),
            peak_memory_bytes: ranked.peak_memory_bytes,
            invalid_output_rate: ranked.ranking.invalid_output_rate,
            validation_loss: ranked.ranking.validation_loss,
            loss_curve,
            held_out_curve,
            // What a member weighs in a merge by a rule differs from module to module, or from entry to entry.
            members: members
                .iter()
                .filter(|_| members.len() > 1 && ranked.key.1.merged_by().is_none())
                .map(|(diet, _)| {
                    Ok((
                        shown_as(diet, self.records, self.scenario)?,
                        1.0 / members.len() as f64,
                    ))
                })
                .collect::<Result<_>>()?,
            weights: ranked.weights.clone(),
            listed: false,
        };
        Ok((run, places.calibration))
    }

    fn made(mut self, mut drafts: Vec<Draft>) -> Result<Made> {
        let best = |wanted: &dyn Fn(&Row) -> bool| best_on_calibration(&drafts, wanted);
        let floor = best(&|row: &Row| row.family == Family::Floor && !is_stranger(&row.method));
        let merge = match best(&|row: &Row| row.family == Family::NaiveMerging) {
            Some(chosen) => Some(chosen),
            // Nobody chose: the plainest one stands for all, as equal weights do.
            None => {
                let merges = || {
                    drafts
                        .iter()
                        .filter(|draft| draft.row.family == Family::NaiveMerging)
                };
                let plainest = merges().find(|draft| draft.row.method == NAIVE_MERGE);
                self.lacking.merge_stands = plainest.is_some() && merges().count() > 1;
                plainest.map(|draft| draft.row.method.clone())
            }
        };
        // What is read as content without neutral scores is the likelihood, and is called so.
        let protocol = self.protocol.unwrap_or(Protocol::Uniform);
        let held: Vec<Reading> = read::readings(protocol).collect();
        let shown = |reading: &Reading| self.content || reading.scoring == Scoring::Likelihood;
        let domain = self.records.study.domain(&self.scenario.target)?;
        let mut outside = imported(self.records, domain, protocol, &self.cases)?;
        let theirs = outside.rows.iter_mut().chain(&mut outside.lists);
        let runs = drafts.iter_mut().flat_map(|draft| &mut draft.row.runs);
        for run in runs.chain(theirs.flat_map(|row| &mut row.runs)) {
            let all =
                std::iter::once(std::mem::take(&mut run.places)).chain(std::mem::take(&mut run.readings));
            let mut kept = held
                .iter()
                .zip(all)
                .filter(|(reading, _)| shown(reading))
                .map(|(_, places)| places);
            run.places = kept.next().unwrap_or_default();
            run.readings = kept.collect();
        }
        let mut readings = held.into_iter().filter(|reading| shown(reading));
        let reading = readings.next().context("its records hold no candidates")?;
        let mut rows: Vec<Row> = drafts.into_iter().map(|draft| draft.row).collect();
        rows.extend(outside.rows);
        let ranked_all = rows
            .iter()
            .chain(&outside.lists)
            .flat_map(|row| &row.runs)
            .any(|run| run.catalogue.is_some());
        let mut notes = self.lacking.notes(reading);
        notes.extend(outside.notes);
        Ok(Made {
            notes,
            merges_as_they_are: self.scale_stands,
            choices: self.choices,
            scenario: input::Scenario {
                name: self.name,
                kind: self.scenario.kind,
                units: Vec::new(),
                target: self.scenario.target.clone(),
                sources: self.scenario.sources.clone(),
                candidate_hash: domain.candidate_hash.clone(),
                split: domain.split.clone(),
                order: domain.order.clone(),
                candidates: self.records.study.profile.prepare.candidates,
                reading,
                readings: readings.collect(),
                catalogue: ranked_all.then_some(domain.items),
                contamination: self.contamination,
                best_floor: floor,
                best_naive_merge: merge,
                caveats: self.lacking.stopped().into_iter().collect(),
                cases: self.cases,
                rows,
                lists: outside.lists,
            },
        })
    }
}

/// That row of some which calibration users find best, on average over replicates; none where they are too few to say so of each.
fn best_on_calibration(drafts: &[Draft], wanted: &dyn Fn(&Row) -> bool) -> Option<String> {
    let mut best: Option<(f64, &str)> = None;
    for draft in drafts.iter().filter(|draft| wanted(&draft.row)) {
        let levels: Vec<f64> = draft.calibration.iter().copied().collect::<Option<_>>()?;
        let level = mean(&levels);
        if best.is_none_or(|(known, _)| level > known) {
            best = Some((level, &draft.row.method));
        }
    }
    best.map(|(_, method)| method.to_owned())
}

fn cases(ranked: &Ranked, on: Cut) -> Vec<Case> {
    let of = |case: &cell::ScoredCase| Case {
        user_id: case.user_id.clone(),
        descends: case.descends,
        ties: case.ties,
        popularity: case.popularity.get(case.target as usize).copied(),
        history: Some(case.history),
    };
    users(&ranked.cases, on, 1.0).into_iter().map(of).collect()
}

fn note(known: &mut Vec<&'static str>, label: &'static str) {
    if !known.contains(&label) {
        known.push(label);
    }
}
