//! The rows of the table: how each obtains scores for a target's test users.

pub mod language_model;
pub mod next_id;
pub mod popularity;
pub mod previous_id;
pub mod random;

use weaverec_model::weave::Recipe;

use crate::report::input::Family;

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// A random order.
    Random,
    /// The most popular candidate first.
    Popularity,
    /// The next id after that of the last item.
    NextId,
    /// The one before it: the placebo of the former.
    PreviousId,
    /// The language model without an adapter.
    ZeroShot,
    /// The language model with adapters, merged as the recipe says.
    Adapters(Recipe),
}

impl Method {
    /// All rows, in the order of the table.
    pub fn all() -> impl Iterator<Item = Method> {
        [
            Method::Random,
            Method::Popularity,
            Method::NextId,
            Method::PreviousId,
            Method::ZeroShot,
        ]
        .into_iter()
        .chain(Recipe::ALL.map(Method::Adapters))
    }

    /// The identifier used in records and files.
    pub fn id(self) -> &'static str {
        match self {
            Method::Random => "random",
            Method::Popularity => "popularity",
            Method::NextId => "next-id",
            Method::PreviousId => "previous-id",
            Method::ZeroShot => "zero-shot",
            Method::Adapters(Recipe::SourceOnly) => "source-only",
            Method::Adapters(Recipe::TargetOnly) => "target-only",
            Method::Adapters(Recipe::Joint) => "joint",
            Method::Adapters(Recipe::NaiveMerge) => "naive-merge",
            Method::Adapters(Recipe::Weave) => "weaverec",
        }
    }

    /// The name that people read.
    pub fn label(self) -> &'static str {
        match self {
            Method::Random => "random",
            Method::Popularity => "popularity",
            Method::NextId => "next id (probe)",
            Method::PreviousId => "previous id (probe)",
            Method::ZeroShot => "zero-shot",
            Method::Adapters(Recipe::SourceOnly) => "source-only",
            Method::Adapters(Recipe::TargetOnly) => "target-only",
            Method::Adapters(Recipe::Joint) => "joint training",
            Method::Adapters(Recipe::NaiveMerge) => "naive merge",
            Method::Adapters(Recipe::Weave) => "WeaveRec",
        }
    }

    /// What the row has been given.
    pub fn family(self) -> Family {
        match self {
            Method::Random | Method::Popularity => Family::Floor,
            Method::NextId | Method::PreviousId => Family::Probe,
            Method::ZeroShot => Family::Untuned,
            Method::Adapters(Recipe::SourceOnly | Recipe::TargetOnly) => Family::Single,
            Method::Adapters(Recipe::Joint) => Family::Joint,
            Method::Adapters(Recipe::NaiveMerge) => Family::NaiveMerging,
            Method::Adapters(Recipe::Weave) => Family::Woven,
        }
    }
}
