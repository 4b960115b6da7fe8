//! A backbone that reads items as codes, and what it has in common with one that reads text.

use serde::{Deserialize, Serialize};
use weaverec_model::backbone::nano::NanoConfig;
use weaverec_model::recommender::codes::{CodeSettings, Layout};
use weaverec_model::recommender::vectors::TextVectors;
use weaverec_model::train::TrainConfig;

use super::{Backbone, NanoSizes};

/// Sizes of a decoder over item codes, how it is pre-trained, and how items become codes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeSizes {
    /// The decoder; its vocabulary follows from the codes.
    pub decoder: CodeDecoder,
    /// Its pre-training, on the sequences of the auxiliary domains.
    pub pretrain: TrainConfig,
    /// Whether all replicates share the first one's, which is cheaper, and of which nothing may be concluded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_backbone: bool,
    /// What of an item its vector is made of.
    #[serde(default)]
    pub text: ItemText,
    /// How vectors are made of it, where it is text.
    #[serde(default)]
    pub vectors: TextVectors,
    /// How codes are made of vectors.
    #[serde(default)]
    pub codes: CodeSettings,
}

/// Sizes of a decoder whose vocabulary is not chosen.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeDecoder {
    /// Width of the hidden states.
    pub width: usize,
    /// Width of the feed-forward.
    pub inner: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key/value heads.
    pub key_value_heads: usize,
}

/// What of an item its vector is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemText {
    /// Its title, as other rows read it.
    #[default]
    Titles,
    /// Its title and its categories: codes group items more by their kind, and more items share theirs.
    TitlesAndCategories,
    /// What `[vectors]` says, whatever makes them: the vectors that other rows read.
    Vectors,
}

impl CodeSizes {
    /// Which token says what.
    pub fn layout(&self) -> Layout {
        Layout {
            size: self.codes.size,
        }
    }

    /// The decoder with its vocabulary.
    pub fn nano(&self) -> NanoConfig {
        NanoConfig {
            vocabulary: self.layout().vocabulary(),
            width: self.decoder.width,
            inner: self.decoder.inner,
            layers: self.decoder.layers,
            heads: self.decoder.heads,
            key_value_heads: self.decoder.key_value_heads,
        }
    }
}

/// A backbone that replicates pre-train.
#[derive(Clone, Copy, Debug)]
pub enum Own<'a> {
    /// On text.
    Nano(&'a NanoSizes),
    /// On item codes.
    Codes(&'a CodeSizes),
}

impl Backbone {
    /// The backbone, if replicates pre-train it.
    pub fn own(&self) -> Option<Own<'_>> {
        match self {
            Backbone::Nano(sizes) => Some(Own::Nano(sizes)),
            Backbone::Codes(sizes) => Some(Own::Codes(sizes)),
            Backbone::Pretrained { .. } | Backbone::None => None,
        }
    }
}

impl<'a> Own<'a> {
    /// Its pre-training.
    pub fn pretrain(self) -> &'a TrainConfig {
        match self {
            Own::Nano(sizes) => &sizes.pretrain,
            Own::Codes(sizes) => &sizes.pretrain,
        }
    }

    /// Whether all replicates share the first one's.
    pub fn is_shared(self) -> bool {
        match self {
            Own::Nano(sizes) => sizes.one_backbone,
            Own::Codes(sizes) => sizes.one_backbone,
        }
    }
}
