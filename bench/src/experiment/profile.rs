//! Profiles: everything that decides an experiment, as TOML.

mod data;
mod prepare;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use weaverec_model::backbone::Precision;
use weaverec_model::backbone::nano::NanoConfig;
use weaverec_model::device::Compute;
use weaverec_model::rank::Normalisation;
use weaverec_model::train::{Keep, TrainConfig};

pub use data::Data;
pub use prepare::{Order, Prepare, Split};

use super::cut::Cut;
use super::replicate::Replicate;
use crate::claim::Claims;
use crate::method::{self, How, Method};
use crate::report::input::{ScenarioKind, direction};
use crate::scoring::LEAST;

/// The profiles that come with the program.
const BUILTIN: [(&str, &str); 4] = [
    ("quick", include_str!("../../profiles/quick.toml")),
    ("order", include_str!("../../profiles/order.toml")),
    ("small", include_str!("../../profiles/small.toml")),
    ("outside", include_str!("../../profiles/outside.toml")),
];

/// An experiment: what is compared, on what, at which budget.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Short name; names the folders of its records and reports.
    pub name: String,
    /// What it is for, in a sentence.
    #[serde(default)]
    pub description: String,
    /// What its results are good for, where that needs saying: reports say it before anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// How many times everything that is drawn by chance is drawn: training subsets, initial values, orders, dropout, and a nano
    /// backbone.
    pub replicates: Replicate,
    /// The part of the test users that is ranked and reported.
    pub report_on: Cut,
    /// Key of the cut of users into those that choose and those that are reported.
    #[serde(default)]
    pub cut_seed: u64,
    /// The rows of every scenario; `weaverec methods` lists them.
    #[serde(default = "plain_rows")]
    pub methods: Vec<String>,
    /// What is to be shown.
    #[serde(default)]
    pub claims: Claims,
    /// The language model.
    pub backbone: Backbone,
    /// What it computes with.
    #[serde(default)]
    pub compute: Compute,
    /// How domains are prepared.
    pub prepare: Prepare,
    /// How adapters are trained.
    #[serde(default)]
    pub adapter: Adapter,
    /// How candidates are ranked.
    pub rank: Rank,
    /// The comparisons.
    #[serde(rename = "study")]
    pub studies: Vec<Study>,
}

/// Where the language model comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Backbone {
    /// Pre-trained by the harness on each study's auxiliary text.
    Nano(NanoSizes),
    /// A known model, fetched into the cache, or the path of a local folder or GGUF file.
    Pretrained {
        /// `smollm2-135m`, `gemma3-270m`, or a path.
        model: String,
        /// What its projections are kept in.
        #[serde(default, skip_serializing_if = "is_usual")]
        precision: Precision,
    },
    /// None: all rows count, or come from outside.
    None,
}

/// Left out of what identifies a run, so that records made before there was a choice stay valid.
fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Sizes of a nano backbone and how it is pre-trained.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NanoSizes {
    /// The decoder.
    pub decoder: NanoConfig,
    /// Its pre-training.
    pub pretrain: TrainConfig,
    /// Whether all replicates share the first one's, which is cheaper, and of which nothing may be concluded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_backbone: bool,
}

/// How adapters are trained.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// Rank of the factors.
    pub rank: usize,
    /// Scale times rank.
    pub alpha: f64,
    /// Dropout before A.
    pub dropout: f64,
    /// Most training prompts of a domain that an adapter sees.
    pub prompts_per_domain: usize,
    /// Validation prompts a domain that choose the best step, of users on whom nothing is reported; and as many of users that are reported,
    /// which choose nothing, for the loss that a diagnosis shows.
    pub held_out: usize,
    /// Length and speed.
    pub train: TrainConfig,
}

impl Default for Adapter {
    /// What a small language model on two cores is trained by.
    fn default() -> Self {
        Adapter {
            rank: 16,
            alpha: 32.0,
            dropout: 0.0,
            prompts_per_domain: 320,
            held_out: 24,
            train: TrainConfig {
                learning_rate: 1e-3,
                epochs: 1,
                batch_size: 8,
                micro_batch_tokens: 1024,
                activation_memory: 0,
                warmup: 0.05,
                weight_decay: 0.0,
                clip: 1.0,
                evaluate_every: 0,
                patience: 0,
                keep: Keep::Last,
                checkpoint_every: 0,
            },
        }
    }
}

/// The floors, and what is made of the adapters that the method itself is about.
fn plain_rows() -> Vec<String> {
    [
        "random",
        "popularity",
        "next-id",
        "previous-id",
        "item-knn",
        "next-item",
        "counting",
        "text-knn",
        "zero-shot",
        "source-only",
        "target-only",
        "joint",
        "naive-merge",
        "weaverec",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// How candidates are ranked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rank {
    /// What log-likelihoods are divided by.
    pub normalisation: Normalisation,
    /// Prompt tokens that go through the decoder at one time.
    pub batch_tokens: usize,
    /// Users for whom an answer is decoded freely, to measure the invalid-output rate; 0 decodes none.
    pub free_decoding_users: usize,
    /// Most tokens of such an answer.
    pub free_decoding_tokens: usize,
    /// Histories of one title over which log p(title) is averaged, for the content score; 0: none, and titles are ranked by likelihood alone.
    #[serde(default = "four")]
    pub neutral_histories: usize,
    /// Most calibration users that rows of language models are scored on, to choose α, scales and weights. A domain with fewer than
    /// [300](crate::scoring::LEAST) of them, or a profile that asks for fewer, chooses nothing: α and the scale are 1 then, and no floor is added.
    #[serde(default)]
    pub calibration: usize,
    /// What merged updates are multiplied by, one of which calibration users choose.
    #[serde(default = "one_scale")]
    pub scales: Vec<f64>,
    /// Language models rank the whole catalogue of domains of at most so many items, by likelihood; 0: of none. Rows that count always do.
    #[serde(default)]
    pub catalogue: usize,
    /// Training sequences whose next title the untuned model is asked to recall to the letter.
    #[serde(default)]
    pub contamination: usize,
}

fn four() -> usize {
    4
}

fn one_scale() -> Vec<f64> {
    vec![1.0]
}

impl Default for Rank {
    /// Likelihoods alone, by the size of pass that commands use.
    fn default() -> Self {
        Rank {
            normalisation: Normalisation::default(),
            batch_tokens: 4096,
            free_decoding_users: 0,
            free_decoding_tokens: 0,
            neutral_histories: 0,
            calibration: 0,
            scales: one_scale(),
            catalogue: 0,
            contamination: 0,
        }
    }
}

impl Rank {
    fn check(&self) -> Result<()> {
        if !self.scales.contains(&1.0) {
            bail!(
                "[rank] scales = {:?}: 1 must be one of them, since every row is shown as it is, too",
                self.scales
            );
        }
        for (place, scale) in self.scales.iter().enumerate() {
            if !(scale.is_finite() && *scale > 0.0) {
                bail!("[rank] scales: {scale} is no scale: give numbers above 0");
            }
            if self.scales[..place].contains(scale) {
                bail!("[rank] scales: {scale} is there twice");
            }
        }
        if (1..LEAST).contains(&self.calibration) {
            bail!(
                "[rank] calibration = {}: fewer than {LEAST} users choose nothing; write 0, or at least that many",
                self.calibration
            );
        }
        if self.scales.len() > 1 && self.calibration == 0 {
            bail!(
                "[rank] `scales` has no effect without calibration users, who choose among them: set `calibration`, or leave it out"
            );
        }
        Ok(())
    }
}

/// Which runs a study belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Real logs that are fetched from a package.
    Package,
    /// Logs that the program generates.
    Synthetic,
    /// Real logs in a folder that the user names (`DATA=…`).
    Local,
}

/// Scenarios that share a backbone and a set of domains.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// Short name.
    pub name: String,
    /// Heading of its part of the report.
    pub title: String,
    /// Where its logs come from.
    pub source: Source,
    /// Things a reader must know about its data.
    #[serde(default)]
    pub notes: Vec<String>,
    /// How the order of events is seen here, where it is otherwise than in the profile's other studies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<Order>,
    /// What is to be shown here, where it is something else than in the profile's other studies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Claims>,
    /// The logs to generate, where `source` is `synthetic`.
    #[serde(default)]
    pub synthetic: Option<toml::Table>,
    /// Its domains.
    #[serde(rename = "domain")]
    pub domains: Vec<Domain>,
    /// Its comparisons.
    #[serde(rename = "scenario")]
    pub scenarios: Vec<Scenario>,
}

/// A domain: a data set, or a part of one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// Name in the study.
    pub name: String,
    /// Name of a data-set description, or the path of one.
    pub dataset: String,
    /// Value of the description's domain column that selects the part; `other` is what `exclude` leaves.
    #[serde(default)]
    pub select: Option<String>,
    /// Values that `other` leaves out.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Folder of the raw files below the folder of local data.
    #[serde(default)]
    pub raw: Option<PathBuf>,
    /// Whether this domain is only text for pre-training, in no scenario.
    #[serde(default)]
    pub auxiliary: bool,
}

/// One comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What kind of transfer it is.
    pub kind: ScenarioKind,
    /// Domain recommended in.
    pub target: String,
    /// The other domains; none of them in a single-domain scenario.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Rows of this scenario besides those of the profile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
}

impl Scenario {
    /// `sources → target`, as the reports show it.
    pub fn name(&self) -> String {
        direction(&self.sources, &self.target)
    }

    /// The rows of its table, in order.
    ///
    /// # Errors
    /// A name that is no row's, or that the profile has already.
    pub fn rows(&self, profile: &Profile) -> Result<Vec<&'static dyn Method>> {
        let names = profile.methods.iter().chain(&self.also);
        method::chosen(names.map(String::as_str)).context("`methods` and `also`")
    }

    /// The scenario as the method sees it.
    pub fn weave(&self) -> weaverec_model::weave::Scenario {
        weaverec_model::weave::Scenario {
            target: self.target.clone(),
            sources: self.sources.clone(),
        }
    }
}

impl Profile {
    /// Loads a profile by name, or from the path of a TOML file.
    pub fn load(name: &str) -> Result<Self> {
        let (origin, text) = match BUILTIN.iter().find(|(builtin, _)| *builtin == name) {
            Some((_, text)) => (format!("profile {name}"), text.to_string()),
            None => {
                let known: Vec<&str> = BUILTIN.iter().map(|(n, _)| *n).collect();
                let text = std::fs::read_to_string(name).with_context(|| {
                    format!(
                        "{name} is neither a profile ({}) nor a readable file",
                        known.join(", ")
                    )
                })?;
                (name.to_string(), text)
            }
        };
        let profile = Profile::parse(&text).with_context(|| origin.clone())?;
        profile.check().with_context(|| origin)?;
        Ok(profile)
    }

    fn parse(text: &str) -> Result<Self> {
        let table: toml::Table = toml::from_str(text)?;
        if table.contains_key("seeds") {
            let count = table["seeds"].as_array().map_or(3, Vec::len);
            bail!(
                "`seeds` is no key any more: write `replicates = {count}`; each replicate draws its training subset, initial values, order, \
                 dropout and nano backbone from its number"
            );
        }
        if table
            .get("backbone")
            .is_some_and(|backbone| backbone.get("seed").is_some())
        {
            bail!(
                "`seed` is no key of [backbone] any more: leave it out, and each replicate pre-trains a backbone of its own; \
                 `one_backbone = true` lets all share the first one's"
            );
        }
        Ok(toml::from_str(text)?)
    }

    /// All that decides a study of this profile, as the study's record is named after it: the profile with no other study, and without
    /// what changes nothing, such as the device.
    ///
    /// # Errors
    /// None that a profile which was read could cause.
    pub fn identity(&self, study: &Study) -> Result<serde_json::Value> {
        let alone = Profile {
            description: String::new(),
            compute: Compute {
                arithmetic: self.compute.arithmetic,
                ..Compute::default()
            },
            studies: vec![study.clone()],
            ..self.clone()
        };
        Ok(serde_json::to_value(alone)?)
    }

    /// What is to be shown in a study.
    pub fn claims_of<'a>(&'a self, study: &'a Study) -> &'a Claims {
        study.claims.as_ref().unwrap_or(&self.claims)
    }

    /// How a study's domains are prepared.
    pub fn prepare_of(&self, study: &Study) -> Prepare {
        match &study.prepare {
            Some(order) => self.prepare.with(order),
            None => self.prepare.clone(),
        }
    }

    fn check(&self) -> Result<()> {
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
        self.claims.check()?;
        for study in &self.studies {
            let of = || format!("study {}", study.name);
            self.claims_of(study).check().with_context(of)?;
            let prepare = self.prepare_of(study);
            prepare.cut().with_context(of)?;
            prepare.tie_window_ms().with_context(of)?;
        }
        self.rank.check()?;
        if self.adapter.train.keep != Keep::Last {
            bail!(
                "[adapter] train: every row uses the last step of its schedule, or those whose held-out users happen to agree with the test \
                 would win: write `keep = \"last\"`, and leave `patience` out"
            );
        }
        method::chosen(self.methods.iter().map(String::as_str)).context("`methods`")?;
        for study in &self.studies {
            without_effect(study)?;
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
            if matches!(self.backbone, Backbone::Nano(_)) && !study.domains.iter().any(|d| d.auxiliary) {
                bail!(
                    "study {}: a nano backbone is pre-trained on auxiliary domains, and there is none",
                    study.name
                );
            }
        }
        Ok(())
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
        let without_sources = lacking(scenario.sources.is_empty(), method::needs_sources);
        if !without_sources.is_empty() {
            bail!("rows that need sources, where the scenario has none: {without_sources}");
        }
        for row in rows {
            if let How::Adapters { rule: Some(rule), .. } = row.how() {
                rule.read(1 + scenario.sources.len())
                    .with_context(|| format!("row {}", row.id()))?;
            }
        }
        Ok(())
    }

    /// The studies that a choice of data selects.
    ///
    /// Without a choice: fetched and generated logs. `synthetic`: generated logs alone. A folder: the local logs in it.
    pub fn studies(&self, data: &Data) -> Result<Vec<&Study>> {
        let wanted = |source: Source| match data {
            Data::Default => source != Source::Local,
            Data::Synthetic => source == Source::Synthetic,
            Data::Folder(_) => source == Source::Local,
        };
        let studies: Vec<&Study> = self.studies.iter().filter(|s| wanted(s.source)).collect();
        if studies.is_empty() {
            bail!(
                "profile {} has no study for {data}; its studies are {}",
                self.name,
                self.describe_studies()
            );
        }
        Ok(studies)
    }

    fn describe_studies(&self) -> String {
        let one = |s: &Study| {
            let source = match s.source {
                Source::Package => "fetched",
                Source::Synthetic => "--data synthetic",
                Source::Local => "--data <folder>",
            };
            format!("{} ({source})", s.name)
        };
        self.studies.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// An error for a key of a study that would have no effect: whoever wrote it meant something by it.
fn without_effect(study: &Study) -> Result<()> {
    if study.synthetic.is_some() && study.source != Source::Synthetic {
        bail!(
            "study {}: [study.synthetic] has no effect, since `source` is not \"synthetic\"; leave one of them out",
            study.name
        );
    }
    for domain in &study.domains {
        if domain.raw.is_some() && study.source != Source::Local {
            bail!(
                "study {}, domain {}: key `raw` has no effect, since `source` is not \"local\"; leave one of them out",
                study.name,
                domain.name
            );
        }
        if !domain.exclude.is_empty() && domain.select.as_deref() != Some("other") {
            bail!(
                "study {}, domain {}: key `exclude` has no effect without select = \"other\"; add that, or leave it out",
                study.name,
                domain.name
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
