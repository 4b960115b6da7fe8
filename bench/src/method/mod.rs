//! The rows of the table, one file each, and the registry that profiles choose from.
//!
//! A row says who it is and [how](How) it comes to scores. To add one, write a file beside these and put a line into [`METHODS`]
//! (`docs/methods.md` shows one).

pub mod adapters;
pub mod best;
pub mod code_recommenders;
pub mod counting;
pub mod fusion;
pub mod item_knn;
mod links;
pub mod log;
mod merge_by;
pub mod merges;
#[cfg(test)]
mod newest;
pub mod next_id;
pub mod next_item;
pub mod popularity;
pub mod previous_id;
pub mod random;
pub mod recommenders;
pub mod settings;
pub mod text_knn;
pub mod text_recommenders;

use anyhow::{Result, bail};
use weaverec_model::recommender::{System, Vectors};
use weaverec_model::weave::Recipe;
use weaverec_pipeline::schema::Item;

pub use self::merge_by::{MEASURED_PROMPTS, MergeBy, MergeRule, TARGET, weights};
use crate::choice::Choice;
use crate::family::Family;

/// A row of the table.
pub trait Method: Sync {
    /// The identifier in profiles, records and files.
    fn id(&self) -> &'static str;
    /// The name that people read.
    fn label(&self) -> &'static str;
    /// What the row has been given.
    fn family(&self) -> Family;
    /// Where it is described, or what it is in a few words.
    fn reference(&self) -> &'static str;
    /// How it comes to scores.
    fn how(&self) -> How;
    /// What it cannot do without, in a few words.
    fn needs(&self) -> String {
        match self.how() {
            How::Counted(_) => "training interactions".into(),
            How::Fitted { system } => {
                let needs = system().needs();
                let (titles, sources) = (
                    if needs.vectors { ", titles" } else { "" },
                    if needs.sources { ", sources" } else { "" },
                );
                match system().is_zero_shot() {
                    true => format!("sources{titles}"),
                    false => format!("training interactions{titles}{sources}; selection users"),
                }
            }
            How::Adapters { recipe, stranger, .. } => {
                let what = recipe(1).map_or("a language model", |_| "a language model, adapters");
                match stranger {
                    true => format!("{what}, two users"),
                    false => what.into(),
                }
            }
            How::Best(parts) => format!("{}; selection users", parts.join(", ")),
            How::Fusion { of, with } => format!("{of}, {with}; calibration users"),
        }
    }
}

/// How a row comes to scores.
#[derive(Clone, Copy)]
pub enum How {
    /// It scores items by the target's training part; no language model takes part.
    Counted(&'static dyn Counted),
    /// By a recommender that is fitted to the target's training part by gradients, the epoch being chosen by selection users; no language model
    /// takes part. Where the system [needs](System::needs) them, it is given text vectors of the titles of all domains, and the training parts
    /// of the scenario's sources; of a scenario without sources such a row is left out.
    Fitted {
        /// The system with its settings.
        system: fn() -> System,
    },
    /// The language model with a merge of a recipe's adapters.
    Adapters {
        /// The recipe in a scenario of so many sources; none: the model as it is.
        recipe: fn(usize) -> Option<Recipe>,
        /// What merges them; none: the uniform mean.
        by: Option<MergeBy>,
        /// Whether every user is given another one's history.
        stranger: bool,
    },
    /// That one of these rows which has the lowest loss on the target's selection users, replicate by replicate.
    Best(&'static [&'static str]),
    /// The score of one row and a weight times what another gives, the weight being chosen on calibration users; it is made of the records of
    /// both.
    Fusion {
        /// The row whose content score it is.
        of: &'static str,
        /// What is added.
        with: &'static str,
    },
}

/// A row that scores items by what it counted.
pub trait Counted: Sync {
    /// Whether chance takes part, so that replicates differ.
    fn is_drawn(&self) -> bool {
        false
    }

    /// Whether it reads vectors of the items where a profile says how they are made.
    fn reads_vectors(&self) -> bool {
        false
    }

    /// Fits the row to a domain.
    ///
    /// # Errors
    /// A domain that it cannot be fitted to.
    fn fit<'a>(&self, data: &Fitting<'a>) -> Result<Fitted<'a>>;
}

/// What a counted row is fitted to.
#[derive(Clone, Copy)]
pub struct Fitting<'a> {
    /// The domain's items by dense id, the first being item 1.
    pub items: &'a [Item],
    /// Its interactions that are trained on.
    pub log: &'a log::Log,
    /// One vector an item, for rows that [read them](Counted::reads_vectors), where the profile says how they are made; else none.
    pub vectors: Option<&'a Vectors>,
    /// Users that choose whatever is chosen after fitting.
    pub calibration: &'a [Asked],
    /// Of the replicate, for rows that are [drawn](Counted::is_drawn).
    pub seed: u64,
}

/// A user who is asked, with everything that came before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The user.
    pub user: String,
    /// All that came before, oldest first.
    pub history: Vec<u32>,
    /// What came next.
    pub target: u32,
    /// Among what it is to be found.
    pub candidates: Vec<u32>,
}

/// A fitted row.
pub struct Fitted<'a> {
    /// Scores for whoever is asked.
    pub scores: Box<dyn CaseScores + 'a>,
    /// What was chosen on calibration users.
    pub choices: Vec<Choice>,
}

/// Scores of items for one user.
pub trait CaseScores: Send + Sync {
    /// A score for each of `items`, higher is better, for the user with this history (oldest first, whole).
    fn scores(&self, user: &str, history: &[u32], items: &[u32]) -> Vec<f32>;
}

/// Scores of candidates by a row that scores every item.
pub struct Everything<S> {
    scores: S,
    items: usize,
}

impl<S: log::ItemScores> Everything<S> {
    /// Over a domain of so many items.
    pub fn new(scores: S, items: usize) -> Self {
        Self { scores, items }
    }
}

impl<S: log::ItemScores> CaseScores for Everything<S> {
    fn scores(&self, _: &str, history: &[u32], items: &[u32]) -> Vec<f32> {
        let mut all = vec![0.0; self.items];
        self.scores.scores(history, &mut all);
        let of = |item: &u32| all.get(*item as usize - 1).copied().unwrap_or(f32::NEG_INFINITY);
        items.iter().map(of).collect()
    }
}

/// All rows, in the order of the table.
pub static METHODS: &[&dyn Method] = &[
    &random::Random,
    &popularity::Popularity,
    &next_id::NextId,
    &previous_id::PreviousId,
    &item_knn::ItemKnn,
    &next_item::NextItem,
    &counting::CountingRow,
    &text_knn::TextKnnRow,
    #[cfg(test)]
    &newest::Newest,
    &recommenders::SASREC,
    &recommenders::SASREC_SS,
    &recommenders::SASREC_GBCE,
    &recommenders::SASREC_BCE,
    &recommenders::GRU4REC,
    &recommenders::BERT4REC,
    &recommenders::TIGER,
    &code_recommenders::ITEM_DECODER,
    &code_recommenders::RECBASE,
    &code_recommenders::GENCDR,
    &text_recommenders::SASREC_TEXT,
    &text_recommenders::UNISREC,
    &text_recommenders::UNISREC_ZERO_SHOT,
    &adapters::ZERO_SHOT,
    &adapters::SOURCE_ONLY,
    &adapters::TARGET_ONLY,
    &adapters::STRANGER,
    &adapters::JOINT,
    &adapters::NAIVE_MERGE,
    &merges::TASK_ARITHMETIC,
    &merges::SVD,
    &merges::TIES,
    &merges::DARE_LINEAR,
    &merges::DARE_TIES,
    &merges::MAGNITUDE_PRUNE,
    &merges::BREADCRUMBS,
    &merges::DELLA,
    &merges::SLERP,
    &merges::MODEL_STOCK,
    &merges::PCB,
    &merges::LOCALIZE_AND_STITCH,
    &merges::LOCALIZE_AND_STITCH_TRAINED,
    &merges::TALL_MASKS,
    &merges::LORA_LEGO,
    &merges::KNOTS_TIES,
    &merges::CORE_TIES,
    &merges::TSV_M,
    &merges::ISO_C,
    &merges::ISO_CTS,
    &merges::BREADCRUMBS_TIES,
    &merges::DELLA_LINEAR,
    &merges::EMR,
    &merges::FISHER,
    &merges::REGMEAN,
    &merges::PSA,
    &merges::PSA_SCALAR,
    &merges::NAIVE_ENTROPY,
    &merges::FEDECIDER,
    &merges::LEARNED_SUM,
    &merges::MERGEREC,
    &adapters::WEAVEREC,
    &merges::WEAVEREC_GRID,
    &merges::WEAVEREC_ENTROPY,
    &merges::WEAVEREC_ENTROPY_MODULES,
    &adapters::SOUP,
    &adapters::LONGER_TWICE,
    &adapters::LONGER_MOST,
    &best::LONGER,
    &adapters::MORE_TARGET,
    &adapters::JOINT_LONGER,
    &adapters::JOINT_SOUP,
    &best::JOINT_MATCHED,
    &adapters::PLACEBO,
    &fusion::WEAVEREC_POPULARITY,
    &fusion::WEAVEREC_COUNTING,
    &fusion::TARGET_ONLY_COUNTING,
    &fusion::ZERO_SHOT_COUNTING,
    &fusion::TEXT_KNN_COUNTING,
    &fusion::STRANGER_COUNTING,
];

/// The row of a name.
pub fn named(id: &str) -> Option<&'static dyn Method> {
    METHODS.iter().copied().find(|method| method.id() == id)
}

/// The rows of these names, in the order of the table.
///
/// # Errors
/// A name that is no row's, or that stands there twice.
pub fn chosen<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Vec<&'static dyn Method>> {
    let mut rows: Vec<&'static dyn Method> = Vec::new();
    for name in names {
        let Some(row) = named(name) else {
            let known: Vec<&str> = METHODS.iter().map(|method| method.id()).collect();
            bail!(
                "{name} is no row: `weaverec methods` lists them ({})",
                known.join(", ")
            );
        };
        if rows.iter().any(|other| other.id() == name) {
            bail!("{name} is named twice: leave one of them out");
        }
        rows.push(row);
    }
    rows.sort_by_key(|row| METHODS.iter().position(|method| method.id() == row.id()));
    Ok(rows)
}

/// The rows that this one is made of or chosen among.
pub fn parts(method: &dyn Method) -> Vec<&'static str> {
    match method.how() {
        How::Counted(_) | How::Fitted { .. } | How::Adapters { .. } => Vec::new(),
        How::Best(parts) => parts.to_vec(),
        How::Fusion { of, with } => vec![of, with],
    }
}

/// Whether a row, or something that it is made of, uses the language model.
pub fn needs_model(method: &dyn Method) -> bool {
    match method.how() {
        How::Adapters { .. } => true,
        How::Counted(_) | How::Fitted { .. } => false,
        How::Best(_) | How::Fusion { .. } => any_part(method, needs_model),
    }
}

/// Whether a row, or something that it is made of, is an adapter that is trained on other domains than the target, or set beside one that is.
/// Of fitted rows [`System::needs`] says it.
pub fn needs_sources(method: &dyn Method) -> bool {
    match method.how() {
        How::Adapters { recipe, .. } => !matches!(recipe(0), None | Some(Recipe::TargetOnly)),
        How::Counted(_) | How::Fitted { .. } => false,
        How::Best(_) | How::Fusion { .. } => any_part(method, needs_sources),
    }
}

/// Whether a row, or something that it is made of, reads vectors of the items that a profile says how to make.
pub fn reads_vectors(method: &dyn Method) -> bool {
    match method.how() {
        How::Counted(row) => row.reads_vectors(),
        How::Fitted { system } => system().needs().vectors,
        How::Adapters { .. } => false,
        How::Best(_) | How::Fusion { .. } => any_part(method, reads_vectors),
    }
}

fn any_part(method: &dyn Method, is: fn(&dyn Method) -> bool) -> bool {
    parts(method).into_iter().filter_map(named).any(is)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use anyhow::Context;
    use weaverec_model::merge::rule::NAMES;

    use super::*;

    #[test]
    fn rows_know_whether_they_need_a_model_and_sources() {
        let of = |id: &str| (needs_model(named(id).unwrap()), needs_sources(named(id).unwrap()));
        assert_eq!(of("counting"), (false, false));
        assert_eq!(of("sasrec"), (false, false));
        assert_eq!(of("tiger"), (false, false));
        assert_eq!(of("zero-shot"), (true, false));
        assert_eq!(of("stranger"), (true, false));
        assert_eq!(of("target-only+counting"), (true, false));
        assert_eq!(of("text-knn+counting"), (false, false));
        assert_eq!(of("weaverec"), (true, true));
        assert_eq!(of("joint-matched"), (true, true));
        assert_eq!(of("weaverec+popularity"), (true, true));
    }

    #[test]
    fn rows_know_whether_they_read_vectors() {
        let of = |id: &str| reads_vectors(named(id).unwrap());
        for row in ["text-knn", "text-knn+counting", "sasrec-text", "tiger"] {
            assert!(of(row), "{row}");
        }
        for row in ["counting", "sasrec", "weaverec+counting", "longer"] {
            assert!(!of(row), "{row}");
        }
    }

    #[test]
    fn a_fitted_row_says_what_it_reads() {
        let of = |id: &str| named(id).unwrap().needs();
        assert_eq!(of("sasrec"), "training interactions; selection users");
        assert_eq!(of("tiger"), "training interactions, titles; selection users");
        for row in METHODS {
            if let How::Fitted { system } = row.how() {
                assert_eq!(
                    row.needs().contains("sources"),
                    system().needs().sources,
                    "{}",
                    row.id()
                );
            }
        }
    }

    #[test]
    fn every_row_has_a_name_of_its_own_and_parts_that_are_rows_with_rankings() {
        let mut names: Vec<&str> = METHODS.iter().map(|method| method.id()).collect();
        assert_eq!(chosen(names.clone()).unwrap().len(), names.len());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), METHODS.len());
        for method in METHODS {
            assert!(!method.label().is_empty() && !method.reference().is_empty());
            for part in parts(*method) {
                let part = named(part).unwrap();
                assert!(
                    matches!(part.how(), How::Counted(_) | How::Adapters { .. }),
                    "{}",
                    part.id()
                );
            }
        }
    }

    #[test]
    fn every_rule_of_a_row_is_one_with_settings_that_it_has() {
        let mut rules = 0;
        for method in METHODS {
            if let How::Adapters { by: Some(by), .. } = method.how() {
                by.check(2).with_context(|| method.id()).unwrap();
                rules += 1;
            }
        }
        assert_eq!(rules, 34);
        // The mean and the sum are rows that need no rule, and FeDecider's learns its weights.
        let has_row = |rule: &&&str| {
            METHODS.iter().any(|method| match method.how() {
                How::Adapters { by: Some(by), .. } => by.name() == **rule,
                _ => false,
            })
        };
        let without: Vec<&&str> = NAMES.iter().filter(|rule| !has_row(rule)).collect();
        assert_eq!(without, [&"linear", &"cat", &"fedecider"]);
        let How::Adapters { by, .. } = named("slerp").unwrap().how() else {
            panic!("it merges adapters");
        };
        assert!(by.unwrap().check(3).is_err());
    }

    #[test]
    fn the_row_that_the_guide_adds_is_a_row() {
        let (guide, file) = (
            include_str!("../../../docs/methods.md"),
            include_str!("newest.rs"),
        );
        assert!(
            guide.contains(file),
            "docs/methods.md shows another file than bench/src/method/newest.rs"
        );
        let How::Counted(row) = named("newest").unwrap().how() else {
            panic!("it counts");
        };
        let log = log::Log::new(vec![vec![1, 2, 3], vec![1, 3], vec![2, 3, 1, 2]], 3).unwrap();
        let fitted = row
            .fit(&Fitting {
                items: &[],
                log: &log,
                vectors: None,
                calibration: &[],
                seed: 0,
            })
            .unwrap();
        assert_eq!(fitted.scores.scores("u", &[3, 1], &[2, 3, 1]), [2.0, 1.0, 0.0]);
    }

    #[test]
    fn names_that_are_no_rows_are_refused_and_rows_come_in_the_order_of_the_table() {
        let names = |rows: Vec<&dyn Method>| rows.iter().map(|row| row.id()).collect::<Vec<_>>();
        assert_eq!(
            names(chosen(["weaverec", "random"]).unwrap()),
            ["random", "weaverec"]
        );
        let error = |names: &[&str]| match chosen(names.iter().copied()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        assert!(error(&["weave"]).contains("weave is no row") && error(&["weave"]).contains("weaverec"));
        assert!(error(&["random", "random"]).contains("twice"));
    }
}
