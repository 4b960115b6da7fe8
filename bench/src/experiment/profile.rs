//! Profiles: everything that decides an experiment, as TOML.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use weaverec_model::backbone::Precision;
use weaverec_model::backbone::nano::NanoConfig;
use weaverec_model::device::Compute;
use weaverec_model::rank::Normalisation;
use weaverec_model::train::TrainConfig;
use weaverec_pipeline::schema::PromptFormat;
use weaverec_pipeline::stage::window::parse_duration;
use weaverec_pipeline::stage::{Cut as TimeCut, Repeats};

use super::cut::Cut;
use super::replicate::Replicate;
use crate::claim::Claims;
use crate::method::Method;
use crate::report::input::ScenarioKind;

/// The profiles that come with the program.
const BUILTIN: [(&str, &str); 2] = [
    ("quick", include_str!("../../profiles/quick.toml")),
    ("small", include_str!("../../profiles/small.toml")),
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
}

/// Left out of what identifies a run, so that records made before there was a choice stay valid.
fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What is held out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Of every user the last item that is new for the test, and the one before it for validation.
    #[default]
    LeaveOneOut,
    /// What follows a moment, which is one for all domains.
    GlobalTime,
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

/// How domains are prepared; see `weaverec prepare --help` for each.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prepare {
    /// Seed of sampling and candidates.
    pub seed: u64,
    /// Wording of the prompts.
    pub format: PromptFormat,
    /// Fewest interactions a user has.
    pub user_core: usize,
    /// Fewest interactions an item has.
    pub item_core: usize,
    /// Titles of a history shown.
    pub max_history: usize,
    /// Characters of a title shown.
    pub max_title_chars: usize,
    /// Candidates a test user, the target included.
    pub candidates: usize,
    /// Most test users that are ranked in a domain.
    pub users: usize,
    /// Most training prompts written a domain.
    pub max_train: usize,
    /// What is held out: everyone's last new items, or all that follows a moment.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub split: Split,
    /// Where a global-time split begins the test, one moment for all domains of a study: a date, or the share of the interactions of
    /// the studied domains that lie before it, such as `0.9`. Of those before it the newest tenth is validation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<String>,
    /// Events that follow each other within this time, such as `60s`, are one moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tie_window: Option<String>,
    /// What becomes of targets that their users had before.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub repeats: Repeats,
    /// Whether an item file may describe fewer than half of a domain's items.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_missing_items: bool,
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
    /// The other domains.
    pub sources: Vec<String>,
}

impl Prepare {
    /// The cut of a global-time split; none of leave-one-out.
    ///
    /// # Errors
    /// A cut that is missing, is none, or has no effect.
    pub fn cut(&self) -> Result<Option<TimeCut>> {
        match (self.split, &self.cut) {
            (Split::LeaveOneOut, None) => Ok(None),
            (Split::LeaveOneOut, Some(cut)) => bail!(
                "[prepare] `cut = \"{cut}\"` has no effect on a leave-one-out split; write `split = \"global-time\"` as well, or leave it out"
            ),
            (Split::GlobalTime, None) => bail!(
                "[prepare] `split = \"global-time\"` needs a cut: write `cut = \"0.9\"`, the share of the interactions before the test, or a date"
            ),
            (Split::GlobalTime, Some(cut)) => Ok(Some(
                cut.parse()
                    .with_context(|| format!("[prepare] cut = \"{cut}\""))?,
            )),
        }
    }

    /// Milliseconds within which events that follow each other are one moment.
    ///
    /// # Errors
    /// What is no duration.
    pub fn tie_window_ms(&self) -> Result<i64> {
        let window = self.tie_window.as_deref().unwrap_or("0");
        parse_duration(window).with_context(|| format!("[prepare] tie_window = \"{window}\""))
    }
}

impl Scenario {
    /// `sources → target`, as the reports show it.
    pub fn name(&self) -> String {
        format!("{} → {}", self.sources.join(" + "), self.target)
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
        let rows: Vec<&str> = Method::all().map(Method::id).collect();
        if !rows.contains(&self.claims.woven.as_str()) {
            bail!(
                "[claims] woven is {}, which is no row of the table: {}",
                self.claims.woven,
                rows.join(", ")
            );
        }
        for study in &self.studies {
            without_effect(study)?;
            let scenarios: Vec<String> = study.scenarios.iter().map(Scenario::name).collect();
            if !scenarios.iter().any(|name| self.claims.concerns(name)) {
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
                if scenario.sources.is_empty() || scenario.sources.contains(&scenario.target) {
                    bail!(
                        "study {}: scenario {} needs sources other than its target",
                        study.name,
                        scenario.name()
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

/// Which logs an experiment is run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// What the profile fetches and generates.
    Default,
    /// Generated logs only; needs no download.
    Synthetic,
    /// Raw logs below this folder.
    Folder(PathBuf),
}

impl Data {
    /// Reads the command line's `--data`.
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            None | Some("") => Data::Default,
            Some("synthetic") => Data::Synthetic,
            Some(path) => Data::Folder(PathBuf::from(path)),
        }
    }

    /// The folder of local logs.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Data::Folder(path) => Some(path),
            _ => None,
        }
    }
}

impl std::fmt::Display for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Data::Default => f.write_str("fetched or generated logs"),
            Data::Synthetic => f.write_str("generated logs"),
            Data::Folder(path) => write!(f, "the folder {}", path.display()),
        }
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use weaverec_model::device::{Arithmetic, DeviceName};

    #[test]
    fn the_profiles_that_come_along_are_valid() {
        for (name, _) in BUILTIN {
            let profile = Profile::load(name).unwrap();
            assert_eq!(profile.name, name);
            assert!(!profile.studies(&Data::Default).unwrap().is_empty());
        }
    }

    #[test]
    fn an_unknown_key_or_domain_is_named() {
        let text = BUILTIN[0].1.replacen("replicates =", "replicas =", 1);
        let error = toml::from_str::<Profile>(&text).unwrap_err().to_string();
        assert!(error.contains("replicas"), "{error}");
        let mut profile = Profile::load("quick").unwrap();
        profile.studies[0].scenarios[0].target = "nowhere".into();
        assert!(profile.check().unwrap_err().to_string().contains("nowhere"));
    }

    #[test]
    fn keys_of_earlier_versions_say_what_to_write() {
        let with = |from: &str, to: &str| {
            let text = BUILTIN[0].1.replacen(from, to, 1);
            assert_ne!(text, BUILTIN[0].1, "{from}");
            Profile::parse(&text).unwrap_err().to_string()
        };
        let error = with("replicates = 3", "seeds = [1, 2, 3, 4]");
        assert!(error.contains("`replicates = 4`"), "{error}");
        let error = with("kind = \"nano\"", "kind = \"nano\"\nseed = 1");
        assert!(error.contains("one_backbone"), "{error}");
    }

    #[test]
    fn what_nothing_could_be_reported_on_is_refused() {
        let of = |change: &dyn Fn(&mut Profile)| {
            let mut profile = Profile::load("quick").unwrap();
            change(&mut profile);
            profile.check().unwrap_err().to_string()
        };
        assert!(of(&|profile| profile.replicates = 0).contains("`replicates`"));
        assert!(of(&|profile| profile.report_on = Cut::Calibration).contains("\"dev\" or \"final\""));
        assert!(of(&|profile| profile.prepare.users = 0).contains("`users`"));
        assert!(of(&|profile| profile.prepare.split = Split::GlobalTime).contains("cut = \"0.9\""));
        assert!(of(&|profile| profile.prepare.cut = Some("0.9".into())).contains("no effect"));
        assert!(of(&|profile| profile.prepare.tie_window = Some("soon".into())).contains("tie_window"));
        assert!(of(&|profile| profile.claims.woven = "spun".into()).contains("weaverec"));
        assert!(of(&|profile| profile.claims.scenarios = vec!["nowhere".into()]).contains("comedy → drama"));
    }

    #[test]
    fn a_study_is_known_by_all_that_decides_it_and_by_nothing_else() {
        let profile = Profile::load("quick").unwrap();
        let identity = |change: &dyn Fn(&mut Profile)| {
            let mut profile = profile.clone();
            change(&mut profile);
            profile.identity(&profile.studies[0]).unwrap()
        };
        let as_it_is = identity(&|_| ());
        assert_eq!(as_it_is, identity(&|profile| profile.description = "else".into()));
        assert_eq!(
            as_it_is,
            identity(&|profile| profile.compute.device = DeviceName::Cuda(0))
        );
        assert_eq!(as_it_is, identity(&|profile| profile.studies.truncate(1)));
        for change in [
            &(|profile: &mut Profile| profile.replicates += 1) as &dyn Fn(&mut Profile),
            &|profile| profile.report_on = Cut::Final,
            &|profile| profile.cut_seed = 1,
            &|profile| profile.claims.margin = 0.05,
            &|profile| profile.adapter.train.learning_rate = 1.0,
            &|profile| profile.compute.arithmetic = Arithmetic::Bf16,
            &|profile| profile.studies[0].scenarios.truncate(1),
        ] {
            assert_ne!(as_it_is, identity(change));
        }
        // What was named after it can be made from it again.
        let again: Profile = serde_json::from_value(as_it_is.clone()).unwrap();
        assert_eq!(again.identity(&again.studies[0]).unwrap(), as_it_is);
    }

    #[test]
    fn a_key_without_an_effect_is_named() {
        let of = |change: &dyn Fn(&mut Study)| {
            let mut profile = Profile::load("quick").unwrap();
            change(&mut profile.studies[0]);
            profile.check().unwrap_err().to_string()
        };
        assert!(of(&|study| study.synthetic = Some(toml::Table::new())).contains("[study.synthetic]"));
        assert!(of(&|study| study.domains[0].raw = Some("logs".into())).contains("`raw`"));
        assert!(of(&|study| study.domains[0].exclude = vec!["War".into()]).contains("`exclude`"));
        // A backbone that is pre-trained here has keys of its own, and no other.
        let text = BUILTIN[0]
            .1
            .replacen("kind = \"nano\"", "kind = \"nano\"\nprecision = \"q8\"", 1);
        let error = toml::from_str::<Profile>(&text).unwrap_err().to_string();
        assert!(error.contains("precision"), "{error}");
    }

    #[test]
    fn a_profile_says_what_to_compute_with_and_else_it_is_the_cpu() {
        let table = "[compute]\ndevice = \"cuda:1\"\narithmetic = \"bf16\"\n\n[prepare]";
        let text = BUILTIN[1].1.replacen("[prepare]", table, 1);
        let compute = toml::from_str::<Profile>(&text).unwrap().compute;
        assert_eq!(
            (compute.device, compute.arithmetic),
            (DeviceName::Cuda(1), Arithmetic::Bf16)
        );
        assert_eq!(Profile::load("small").unwrap().compute, Compute::default());
        let wrong = toml::from_str::<Profile>(&text.replacen("cuda:1", "gpu", 1)).unwrap_err();
        assert!(wrong.to_string().contains("cuda:1"), "{wrong}");
    }

    #[test]
    fn data_chooses_the_studies() {
        let profile = Profile::load("quick").unwrap();
        let synthetic = profile.studies(&Data::Synthetic).unwrap();
        assert!(synthetic.iter().all(|s| s.source == Source::Synthetic) && !synthetic.is_empty());
        let error = profile
            .studies(&Data::parse(Some("somewhere")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("--data"), "{error}");
    }
}
