//! The records of a study, each read once for as long as it is needed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail};

use super::read::Setting;
use crate::cut::Cut;
use crate::experiment::cell::{Cell, Choice, Kind, Ranking, Record, ScoredCase, Training};
use crate::experiment::environment::Environment;
use crate::experiment::library::Library;
use crate::experiment::outside::Source;
use crate::experiment::plan::{Plan, RankingKey, Unit};
use crate::experiment::ranking::scored_hash;
use crate::experiment::replicate::Replicate;
use crate::experiment::study_record::{DomainFacts, StudyRecord};
use crate::weight_curve::WeightCurve;

/// The records of a study, and what they were made by.
pub struct Records<'a> {
    /// The study.
    pub study: &'a StudyRecord,
    /// Its plan.
    pub plan: &'a Plan,
    library: &'a Library,
    /// By key: where each record that was read comes from, and its numerics version.
    pub seen: RefCell<BTreeMap<String, (Environment, u32)>>,
    /// Records of trainings by key: several rows merge the same adapters.
    trained: RefCell<BTreeMap<String, Rc<Record>>>,
    /// Rankings of the replicate at hand: a row may be a part of others.
    ranked: RefCell<BTreeMap<RankingKey, Rc<Ranked>>>,
}

/// A ranking, as it is recorded.
pub struct Ranked {
    /// What was ranked, and how.
    pub key: RankingKey,
    /// Its record, without the scores.
    pub ranking: Ranking,
    /// The scores.
    pub cases: Vec<ScoredCase>,
    /// How they are read.
    pub setting: Setting,
    /// What was chosen before they were made.
    pub choices: Vec<Choice>,
    /// What was found along the weights that its merge was tried with.
    pub weights: Option<WeightCurve>,
    /// Highest memory of the ranking, or of its tensors on a GPU.
    pub peak_memory_bytes: Option<u64>,
}

impl<'a> Records<'a> {
    /// The records of a study, none of which has been read.
    pub fn new(study: &'a StudyRecord, plan: &'a Plan, library: &'a Library) -> Self {
        Self {
            study,
            plan,
            library,
            seen: RefCell::default(),
            trained: RefCell::default(),
            ranked: RefCell::default(),
        }
    }

    /// The users that are reported on.
    pub fn on(&self) -> Cut {
        self.study.profile.report_on
    }

    /// The replicates of a scenario of which every record is there.
    pub fn finished(&self, scenario: usize) -> Vec<Replicate> {
        let is_finished = |unit: &&Unit| {
            self.plan
                .cells(unit)
                .into_iter()
                .all(|cell| self.library.has(cell))
        };
        let units = self.plan.units.iter().filter(|unit| unit.scenario == scenario);
        units.filter(is_finished).map(|unit| unit.replicate).collect()
    }

    fn load(&self, cell: &Cell) -> Result<Record> {
        let record = self.library.load(cell)?;
        let from = (record.environment.clone(), record.numerics);
        self.seen.borrow_mut().insert(cell.key.clone(), from);
        Ok(record)
    }

    /// The record of a training.
    ///
    /// # Errors
    /// One that cannot be read.
    pub fn training(&self, cell: &Cell) -> Result<Rc<Record>> {
        if let Some(known) = self.trained_before(cell) {
            return Ok(known);
        }
        let record = Rc::new(self.load(cell)?);
        self.trained
            .borrow_mut()
            .insert(cell.key.clone(), Rc::clone(&record));
        Ok(record)
    }

    /// The record of a training that has been read already.
    pub fn trained_before(&self, cell: &Cell) -> Option<Rc<Record>> {
        self.trained.borrow().get(&cell.key).map(Rc::clone)
    }

    /// Forgets the rankings of a replicate: their scores are most of what is read.
    pub fn forget_rankings(&self) {
        self.ranked.borrow_mut().clear();
    }

    /// A ranking.
    ///
    /// # Errors
    /// One that is not planned, cannot be read, or whose files do not belong together.
    pub fn ranked(&self, key: RankingKey) -> Result<Rc<Ranked>> {
        if let Some(known) = self.ranked.borrow().get(&key) {
            return Ok(Rc::clone(known));
        }
        let cell = &self.plan.ranking(&key)?.cell;
        let named = || format!("{} ({})", cell.label, cell.key);
        let record = self.load(cell)?;
        let mut ranking = record
            .ranking
            .with_context(|| format!("the record of {} holds no ranking", named()))?;
        let cases = std::mem::take(&mut ranking.cases);
        let scored = scored_hash(&cases, self.on());
        if scored != ranking.candidate_hash {
            bail!(
                "the scores of {} are of the candidates {scored}, its record says {}: one of the two files is of another run; delete the \
                 folder to run it again",
                named(),
                ranking.candidate_hash
            );
        }
        let setting = Setting::of(&cases, self.on()).with_context(named)?;
        let recorded = record.choices.iter().find(|choice| choice.what == "scale");
        if let Some(scale) = recorded.and_then(|choice| choice.value.as_f64())
            && (scale as f32) != setting.scale.value
        {
            bail!(
                "{}: the record says that calibration users chose the scale {scale}, their scores say {}: delete its folder to run the \
                 cell again",
                named(),
                setting.scale.value
            );
        }
        let ranked = Rc::new(Ranked {
            key: key.clone(),
            ranking,
            cases,
            setting,
            choices: record.choices,
            weights: record.weights,
            // Where a GPU works, its memory is what runs short.
            peak_memory_bytes: record
                .cost
                .peak_gpu_memory_bytes
                .or(record.cost.peak_memory_bytes),
        });
        self.ranked.borrow_mut().insert(key, Rc::clone(&ranked));
        Ok(ranked)
    }

    /// The records of imported rows that are about these cases, with their scores.
    ///
    /// # Errors
    /// One that cannot be read, or whose files do not belong together.
    pub fn outside(&self, target: &DomainFacts) -> Result<Vec<(Source, Record)>> {
        let mut found = Vec::new();
        for listed in self.library.list(Kind::Outside)? {
            let named = || format!("the record of {} ({})", listed.label, listed.key);
            let source: Source = serde_json::from_value(listed.configuration.clone()).with_context(named)?;
            let about = &source.target;
            if about.fingerprint != target.fingerprint
                || about.candidates != target.candidate_hash
                || about.cut != self.on()
            {
                continue;
            }
            let record = self.library.load_listed(&listed).with_context(named)?;
            let ranking = record.ranking.as_ref();
            let ranking = ranking.with_context(|| format!("{} holds no ranking", named()))?;
            if scored_hash(&ranking.cases, self.on()) != target.candidate_hash {
                bail!(
                    "the scores of {} are of other candidates than its record says: one of the two files is of another import; remove the \
                     folder to import it again",
                    named()
                );
            }
            let from = (record.environment.clone(), record.numerics);
            self.seen.borrow_mut().insert(record.key.clone(), from);
            found.push((source, record));
        }
        Ok(found)
    }

    /// The folders of a ranking's cell and of those of the adapters that it merges, or of its recommender's, among the records.
    ///
    /// # Errors
    /// A ranking that is not planned.
    pub fn cells(&self, key: &RankingKey) -> Result<Vec<String>> {
        let place = |cell: &Cell| format!("{}/{}", cell.kind.folder(), cell.key);
        let mut cells = vec![place(&self.plan.ranking(key)?.cell)];
        for member in key.1.members() {
            cells.push(place(&self.plan.adapter(member)?.cell));
        }
        let recommender = self.plan.recommender(key);
        cells.extend(recommender.map(|recommender| place(&recommender.cell)));
        Ok(cells)
    }

    /// The trainings that a ranking merges, or the one that its recommender was fitted by.
    ///
    /// # Errors
    /// A record that cannot be read or holds no training.
    pub fn trainings(&self, ranked: &Ranked) -> Result<Vec<Training>> {
        let of = |cell: Result<&Cell>| {
            let record = self.training(cell?)?;
            let missing = || {
                format!(
                    "the record of {} ({}) holds no training",
                    record.label, record.key
                )
            };
            record.training.clone().with_context(missing)
        };
        let adapter = |member| Ok(&self.plan.adapter(member)?.cell);
        let adapters = ranked.key.1.members().iter().map(adapter);
        let recommender = self.plan.recommender(&ranked.key);
        let recommender = recommender.map(|recommender| Ok(&recommender.cell));
        adapters.chain(recommender).map(of).collect()
    }
}
