//! `weaverec merge --dry-run` where weights are to be chosen: by whom, over how many λ, in what memory and for how long.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use weaverec_model::backbone::{DecoderConfig, Precision};
use weaverec_model::device::Arithmetic;
use weaverec_model::lora::Adapter;
use weaverec_model::merge::recipe::{Choice, Recipe};
use weaverec_model::merge::weights::{Descent, Grain, Grid, Search, Weights, choose, simplex};
use weaverec_model::op::with_threads;

use super::{ROOM, WeightArguments, Whom, ready};
use crate::command::print as line;
use crate::progress::duration;

/// Cases that a short choice is timed on.
const FEW: usize = 2;

/// Prints what a choice would go by and how long it would take, by a short one on a few of its cases; what that finds is thrown away.
pub(in crate::command::merge) fn print(
    asked: &WeightArguments,
    choice: &Choice,
    recipe: &Recipe,
    base: Option<&(PathBuf, DecoderConfig)>,
    adapters: &[Adapter],
) -> Result<()> {
    let ready = ready(asked, choice, recipe, base, adapters)?;
    let cases = &ready.cases;
    let Some(goal) = ready.weights.goal() else {
        return line("weights: equal, as too few users choose");
    };
    let tokens: usize = cases
        .iter()
        .map(|case| case.query.prompt.len() + case.query.candidates.iter().map(Vec::len).sum::<usize>())
        .sum();
    let folders: Vec<&str> = ready
        .record
        .prompts
        .iter()
        .map(|prompts| &*prompts.folder)
        .collect();
    line(format!(
        "weights: by {} ({}), {} {} of {} choose on {}, {tokens} tokens of prompts and candidates",
        ready.weights.way().unwrap_or_default(),
        goal.objective().name(),
        cases.len(),
        Whom::of(&ready.weights).name(),
        folders.join(", "),
        ready.record.model
    ))?;
    let members: Vec<&Adapter> = adapters.iter().collect();
    let few = cases.len().min(FEW);
    let trial = Trial::of(&ready.weights, members.len(), cases.len(), few)?;
    line(format!("  {}", trial.what))?;
    let begin = Instant::now();
    with_threads(super::super::super::threads(asked.threads), || {
        let decoder = &ready.model.decoder;
        choose(
            decoder,
            &members,
            &trial.weights,
            &cases[..few],
            ROOM,
            &mut |_, _| (),
        )
    })?;
    let seconds = begin.elapsed().as_secs_f64() * trial.times;
    line(format!(
        "  time: about {}, by {few} of the users",
        duration(seconds)
    ))?;
    let config = ready.model.decoder.config();
    let (precision, arithmetic) = (
        choice.precision.unwrap_or_default(),
        choice.arithmetic.unwrap_or_default(),
    );
    let factors: usize = adapters.iter().map(Adapter::parameters).sum();
    line(format!(
        "  memory: model {}, adapters beside it {}, activations up to {}",
        mebibytes(model_bytes(config, precision, arithmetic)),
        // B as the members have it, and times λ.
        mebibytes(2.0 * (factors * size_of::<f32>()) as f64),
        mebibytes(ROOM.activation_memory as f64)
    ))
}

/// A short choice of the same kind, and how many times as much work the whole is.
struct Trial {
    weights: Weights,
    times: f64,
    what: String,
}

impl Trial {
    /// `few` of `cases` are looked at.
    fn of(weights: &Weights, members: usize, cases: usize, few: usize) -> Result<Self> {
        let more_cases = cases as f64 / few.max(1) as f64;
        Ok(match weights {
            Weights::Uniform => Trial {
                weights: Weights::Uniform,
                times: 0.0,
                what: "nothing is tried".into(),
            },
            Weights::Grid(grid) => {
                let points = simplex(members, grid.divisions)?.len() + 1;
                let least = simplex(members, 1)?.len() + 1;
                Trial {
                    weights: Weights::Grid(Grid {
                        divisions: 1,
                        ..grid.clone()
                    }),
                    times: more_cases * points as f64 / least as f64,
                    what: format!("{points} λ are tried, in steps of 1/{}", grid.divisions),
                }
            }
            Weights::Search(search) => {
                let evaluations = 2;
                Trial {
                    weights: Weights::Search(Search {
                        evaluations,
                        ..search.clone()
                    }),
                    times: more_cases * search.evaluations as f64 / evaluations as f64,
                    what: format!("{} λ are tried, each of any sign", search.evaluations),
                }
            }
            Weights::Descent(descent) => {
                let a_pass = cases.div_ceil(descent.batch_size.max(1));
                let passes = descent
                    .steps
                    .map_or(descent.epochs, |steps| steps.div_ceil(a_pass.max(1)));
                let steps = passes * a_pass;
                let of_what = match descent.per {
                    Grain::Adapter => "a number an adapter",
                    Grain::Module => "a number an adapter and module",
                };
                Trial {
                    weights: Weights::Descent(Descent {
                        epochs: 1,
                        steps: None,
                        ..descent.clone()
                    }),
                    // A little less: the objective at the start and the end is computed once, however many epochs there are.
                    times: more_cases * passes as f64,
                    what: format!("{steps} steps by gradients, {of_what}"),
                }
            }
        })
    }
}

/// Bytes of a model's embedding, head and projections.
fn model_bytes(config: &DecoderConfig, precision: Precision, arithmetic: Arithmetic) -> f64 {
    let number = match arithmetic {
        Arithmetic::F32 => 4.0,
        Arithmetic::Bf16 => 2.0,
    };
    let projection = match precision {
        Precision::F32 => number,
        // Published models are in 16 bits.
        Precision::AsStored | Precision::Bf16 => 2.0,
        Precision::Q8 => 8.5 / 8.0,
        Precision::Q4 => 5.0 / 8.0,
    };
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let (query, key_value) = (
        config.num_attention_heads * config.head_dim(),
        config.num_key_value_heads * config.head_dim(),
    );
    let block = hidden * (2 * query + 2 * key_value + 3 * inner);
    let vocabulary = config.vocab_size * hidden * if config.tie_word_embeddings { 1 } else { 2 };
    (config.num_hidden_layers * block) as f64 * projection + vocabulary as f64 * number
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_whole_is_as_many_times_the_short_choice_as_it_has_lambdas_and_cases() {
        let trial = |weights: Weights| Trial::of(&weights, 3, 100, 2).unwrap();
        // 66 points of three members in tenths and the equal parts, beside 3 and these.
        let grid = trial(Weights::Grid(Grid::default()));
        assert_eq!(grid.times, 50.0 * 67.0 / 4.0);
        assert!(grid.what.starts_with("67 λ"), "{}", grid.what);
        assert!(matches!(grid.weights, Weights::Grid(Grid { divisions: 1, .. })));
        let search = trial(Weights::Search(Search::default()));
        assert_eq!(search.times, 50.0 * 20.0);
        // 100 cases in batches of 16 are 7 steps an epoch.
        let descent = trial(Weights::Descent(Descent::default()));
        assert_eq!(descent.times, 250.0);
        assert!(descent.what.starts_with("35 steps"), "{}", descent.what);
        let many = Weights::Grid(Grid {
            divisions: 1000,
            ..Grid::default()
        });
        assert!(Trial::of(&many, 3, 100, 2).is_err());
    }
}
