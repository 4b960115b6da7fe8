//! How much memory a study takes at the most, before anything is loaded: by a formula of the model's sizes, so that whoever plans a run
//! knows which card it needs.
//!
//! What is counted, in numbers and their bytes:
//!
//! * **weights**: embedding, output head where it is another matrix, and the seven projections of every block. On a GPU embedding and head
//!   are in the arithmetic's type, and projections too unless they are packed; on the CPU all that is not packed is in f32;
//! * **adapter**: rank × (inputs + outputs) of every projection in f32, four times: values, gradients, and AdamW's two moments;
//! * **activations** of one part of a step (`micro_batch_tokens`). On the CPU what a block's backward must find (two rows of the model's
//!   width, two of the queries', two of the keys', two of the feed-forward's, the low-rank ones), and `activation_memory` of what it might
//!   compute again. On a GPU all that the composed operations keep: six rows of the model's width, four of the queries', four of the keys',
//!   five of the feed-forward's, two attention maps;
//! * **merging**, while candidates are ranked: projections in f32 are folded into a second set; beside others the members' factors stay;
//! * **keys and values** of all blocks for `batch_tokens`, and the rows of the one block that is at work;
//! * **logits**: never more than 256 MiB of them in f32, and as much again for what is made of them.
//!
//! It leaves out the data, the program, and what a driver and an allocator keep for themselves: some hundred MB.

use std::fmt;

use weaverec_model::backbone::{DecoderConfig, Precision};
use weaverec_model::device::{Arithmetic, Compute, DeviceName};

use super::plan::Plan;
use super::profile::{Backbone, Profile};
use super::study_record::StudyRecord;

/// Bytes of f32.
const FULL: f64 = 4.0;

/// Most bytes of logits at one time, and of what is made of them.
const LOGITS: f64 = 2.0 * 256.0 * 1024.0 * 1024.0;

/// Bytes, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bytes {
    /// The frozen model, which cells side by side share.
    pub weights: f64,
    /// Factors with gradients and moments, or what a merge adds.
    pub adapter: f64,
    /// Activations, keys and values, logits.
    pub activations: f64,
}

impl Bytes {
    /// With so many cells side by side over one model.
    pub fn total(self, cells: usize) -> f64 {
        self.weights + cells.max(1) as f64 * (self.adapter + self.activations)
    }

    fn larger(self, other: Self) -> Self {
        if other.total(1) > self.total(1) {
            other
        } else {
            self
        }
    }
}

/// The most that a cell of a study takes where its model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Peak {
    /// While an adapter is trained.
    pub training: Bytes,
    /// While candidates are ranked.
    pub ranking: Bytes,
}

impl Peak {
    /// Of a study; none where its record has no sizes of a model, as those of earlier versions.
    pub fn of(study: &StudyRecord, plan: &Plan, compute: Compute) -> Option<Self> {
        let decoder = study.facts.decoder.as_ref()?;
        let members = plan
            .rankings
            .values()
            .map(|ranking| ranking.scorer.members().len());
        let layout = Layout {
            decoder,
            profile: &study.profile,
            compute,
        };
        Some(Peak {
            training: layout.training(),
            ranking: layout.ranking(members.max().unwrap_or_default()),
        })
    }

    /// Of whatever is larger in two studies.
    pub fn larger(self, other: Self) -> Self {
        Peak {
            training: self.training.larger(other.training),
            ranking: self.ranking.larger(other.ranking),
        }
    }

    /// Bytes with so many cells side by side.
    pub fn total(&self, cells: usize) -> f64 {
        self.training.total(cells).max(self.ranking.total(cells))
    }
}

impl fmt::Display for Peak {
    /// Both, with their parts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |what: &str, bytes: &Bytes, adapter: &str| {
            format!(
                "{what} {} (weights {}, {adapter} {}, activations {})",
                gigabytes(bytes.total(1)),
                gigabytes(bytes.weights),
                gigabytes(bytes.adapter),
                gigabytes(bytes.activations)
            )
        };
        f.write_str(&one("training", &self.training, "adapter and optimiser"))?;
        f.write_str(", ")?;
        f.write_str(&one("ranking", &self.ranking, "merged adapter"))
    }
}

/// As people read it.
pub fn gigabytes(bytes: f64) -> String {
    match bytes / f64::from(1 << 30) {
        small if small < 0.1 => format!("{:.0} MiB", bytes / f64::from(1 << 20)),
        size => format!("{size:.1} GiB"),
    }
}

/// A model, and how it lies in memory.
struct Layout<'a> {
    decoder: &'a DecoderConfig,
    profile: &'a Profile,
    compute: Compute,
}

impl Layout<'_> {
    fn on_gpu(&self) -> bool {
        self.compute.device != DeviceName::Cpu
    }

    /// Bytes of an activation.
    fn number(&self) -> f64 {
        match self.compute.arithmetic {
            Arithmetic::Bf16 => 2.0,
            Arithmetic::F32 => FULL,
        }
    }

    fn precision(&self) -> Precision {
        match &self.profile.backbone {
            Backbone::Pretrained { precision, .. } => *precision,
            Backbone::Nano(_) | Backbone::Codes(_) | Backbone::None => Precision::F32,
        }
    }

    /// Bytes of a projection's weight.
    fn projection(&self) -> f64 {
        match self.precision() {
            Precision::F32 => self.number(),
            // Published models are in 16 bits.
            Precision::AsStored | Precision::Bf16 => 2.0,
            Precision::Q8 => 8.5 / 8.0,
            Precision::Q4 => 5.0 / 8.0,
        }
    }

    /// Width of the model, of its queries, of its keys, of its feed-forward.
    fn widths(&self) -> [f64; 4] {
        let decoder = self.decoder;
        let head = decoder.head_dim();
        [
            decoder.hidden_size,
            decoder.num_attention_heads * head,
            decoder.num_key_value_heads * head,
            decoder.intermediate_size,
        ]
        .map(|width| width as f64)
    }

    fn layers(&self) -> f64 {
        self.decoder.num_hidden_layers as f64
    }

    /// Weights of all projections.
    fn projections(&self) -> f64 {
        let [width, queries, keys, inner] = self.widths();
        self.layers() * width * (2.0 * queries + 2.0 * keys + 3.0 * inner)
    }

    fn weights(&self) -> f64 {
        let matrices = if self.decoder.tie_word_embeddings {
            1.0
        } else {
            2.0
        };
        let embedding = matrices * (self.decoder.vocab_size * self.decoder.hidden_size) as f64;
        self.projections() * self.projection() + embedding * self.number()
    }

    /// Numbers of an adapter's factors.
    fn factors(&self) -> f64 {
        let [width, queries, keys, inner] = self.widths();
        let sides = 2.0 * (width + queries) + 2.0 * (width + keys) + 3.0 * (width + inner);
        self.layers() * self.profile.adapter.rank as f64 * sides
    }

    fn training(&self) -> Bytes {
        let [width, queries, keys, inner] = self.widths();
        let adapter = &self.profile.adapter;
        let tokens = adapter.train.micro_batch_tokens as f64;
        let rank = adapter.rank as f64;
        // Attention is within a sequence, and a part has many: that of the longest is not known, that of the model's own limit too long.
        let seen = self.seen();
        let heads = self.decoder.num_attention_heads as f64;
        let kept = match self.on_gpu() {
            false => {
                let must = 2.0 * (width + queries + keys + inner) + 4.0 * rank;
                tokens * self.layers() * must * FULL
                    + adapter.train.activation_memory as f64 * f64::from(1 << 20)
            }
            true => {
                let all = 6.0 * width + 4.0 * (queries + keys) + 5.0 * inner + 14.0 * rank;
                tokens * self.layers() * (all + 2.0 * heads * seen) * self.number()
            }
        };
        Bytes {
            weights: self.weights(),
            adapter: 4.0 * FULL * self.factors(),
            activations: kept + LOGITS.min(2.0 * FULL * tokens * self.decoder.vocab_size as f64),
        }
    }

    /// Tokens of a sequence: a history, and candidates where the format lists them, of titles as long as they may be, in a prompt as long as
    /// it may be. Four characters make a token.
    fn seen(&self) -> f64 {
        let prepare = &self.profile.prepare;
        let titles = match prepare.format.lists_candidates() {
            true => prepare.max_history + prepare.candidates,
            false => prepare.max_history,
        };
        let tokens = (titles * prepare.max_title_chars) as f64 / 4.0;
        tokens.min(prepare.most_tokens().map_or(f64::INFINITY, |most| most as f64))
    }

    fn ranking(&self, members: usize) -> Bytes {
        let [width, queries, keys, inner] = self.widths();
        let tokens = self.profile.rank.batch_tokens as f64;
        let merged = match (members, self.projection() >= FULL) {
            (0, _) => 0.0,
            // A second set of projections, with the changes folded in.
            (_, true) => self.projections() * FULL,
            (members, false) => members as f64 * self.factors() * FULL,
        };
        let block = 4.0 * width + 2.0 * (queries + keys) + 3.0 * inner;
        let cache = 2.0 * keys * self.layers();
        let logits = LOGITS.min(2.0 * FULL * tokens * self.decoder.vocab_size as f64);
        Bytes {
            weights: self.weights(),
            adapter: merged,
            activations: tokens * (block + cache) * self.number() + logits,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn layout<'a>(profile: &'a Profile, device: DeviceName, arithmetic: Arithmetic) -> Layout<'a> {
        Layout {
            decoder: &profile.stated.as_ref().unwrap().model,
            profile,
            compute: Compute { device, arithmetic },
        }
    }

    #[test]
    fn seven_billion_weights_in_sixteen_bits_are_known_by_their_published_count() {
        let profile = Profile::load("paper").unwrap();
        let layout = layout(&profile, DeviceName::Cuda(0), Arithmetic::Bf16);
        // Qwen2-7B has 7,615,616,512 parameters, of which norms and biases are the few that are left out here.
        let weights = layout.weights() / 2.0;
        assert!((7.614e9..7.616e9).contains(&weights), "{weights}");
        // Rank 16 on all linear layers of it: 40,370,176, as PEFT counts them.
        assert!(
            (layout.factors() - 40_370_176.0).abs() < 0.5,
            "{}",
            layout.factors()
        );
        let training = layout.training();
        assert!((training.adapter - 16.0 * 40_370_176.0).abs() < 1.0);
        // The weights are shared by cells side by side, the rest is each one's own.
        let both = training.total(2) - training.total(1);
        assert!((both - training.adapter - training.activations).abs() < 1.0);
    }

    #[test]
    fn a_packed_base_and_a_smaller_part_take_less() {
        let profile = Profile::load("paper").unwrap();
        let of = |change: &dyn Fn(&mut Profile)| {
            let mut profile = profile.clone();
            change(&mut profile);
            let layout = layout(&profile, DeviceName::Cuda(0), Arithmetic::Bf16);
            (layout.training(), layout.ranking(4))
        };
        let as_it_is = of(&|_| ());
        let packed = of(&|profile| {
            if let Backbone::Pretrained { precision, .. } = &mut profile.backbone {
                *precision = Precision::Q4;
            }
        });
        assert!(packed.0.weights < 0.5 * as_it_is.0.weights);
        assert!((packed.0.activations - as_it_is.0.activations).abs() < 1.0);
        let half = of(&|profile| profile.adapter.train.micro_batch_tokens /= 2);
        assert!(half.0.activations < 0.6 * as_it_is.0.activations);
        assert_eq!(half.1, as_it_is.1);
        let fewer = of(&|profile| profile.rank.batch_tokens /= 2);
        assert!(fewer.1.activations < as_it_is.1.activations);
        let shorter = of(&|profile| profile.prepare.max_tokens = 100);
        assert!(shorter.0.activations < as_it_is.0.activations);
        assert_eq!(shorter.1, as_it_is.1);
    }

    #[test]
    fn on_the_processor_a_merge_is_folded_and_beside_sixteen_bits_its_factors_stay() {
        let mut profile = Profile::load("paper").unwrap();
        if let Backbone::Pretrained { precision, .. } = &mut profile.backbone {
            *precision = Precision::F32;
        }
        let cpu = layout(&profile, DeviceName::Cpu, Arithmetic::F32);
        assert!((cpu.ranking(4).adapter - 4.0 * cpu.projections()).abs() < 1.0);
        assert!(cpu.ranking(0).adapter.abs() < f64::EPSILON);
        let gpu = layout(&profile, DeviceName::Cuda(0), Arithmetic::Bf16);
        assert!((gpu.ranking(4).adapter - 16.0 * gpu.factors()).abs() < 1.0);
    }

    #[test]
    fn bytes_are_written_in_units_that_people_read() {
        assert_eq!(gigabytes(20.0 * 1024.0 * 1024.0), "20 MiB");
        assert_eq!(gigabytes(1.5 * 1024.0 * 1024.0 * 1024.0), "1.5 GiB");
    }
}
