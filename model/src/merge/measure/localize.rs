//! What `localize_and_stitch` goes by where it has data: for each member the mask of those entries of its update that its own prompts want
//! kept (He et al., arXiv 2408.13656, section 4.1).
//!
//! A score S stands beside each entry of the update τ, and gradient descent makes `ℓ(W₀ + σ(S) ∘ τ) + λ · mean σ(S)` small, ℓ the loss of the
//! answers, from the mask of the largest entries on, which has scores ±[`START`]. An entry is in the mask where σ(S) ends above one half.
//!
//! The paper's step, 10⁷ times the gradient, fits its own models' updates. Here the first step moves the entries that are in the mask by
//! `step` on the root mean square, and every other one goes by the same measure. λ is of the share that is kept, not of the number of entries.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use rand::seq::SliceRandom;

use super::variables::{surprise, with_variables};
use crate::backbone::Decoder;
use crate::io::safetensors;
use crate::lora::Adapter;
use crate::lora::config::HEAD;
use crate::merge::align::{Aligned, Member};
use crate::merge::draw::keyed;
use crate::merge::space::dense;
use crate::merge::threshold;
use crate::op::{Matrix, on_pool, with_gradient};
use crate::train::Example;
use crate::{Error, Result};

/// Scores of entries in the first mask, and of others with the other sign: far enough that a few steps do not turn all, near enough that
/// σ has a slope.
const START: f32 = 3.0;

/// How a mask is learnt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Localizing {
    /// Share of the entries, over all modules, in the mask that it begins with.
    pub density: f64,
    /// Passes over the examples; with none the first mask stays.
    pub epochs: usize,
    /// Examples of a step.
    pub batch_size: usize,
    /// How far the first step moves the scores of the first mask, on the root mean square.
    pub step: f64,
    /// λ: what the loss of an answer is allowed to rise by if nothing is kept in place of all.
    pub sparsity: f64,
    /// The order of the examples is drawn from it.
    pub seed: u64,
}

impl Default for Localizing {
    fn default() -> Self {
        Localizing {
            density: 0.05,
            epochs: 5,
            batch_size: 16,
            step: 1.0,
            sparsity: 0.1,
            seed: 0,
        }
    }
}

/// A mask, and what came of learning it.
#[derive(Clone, Debug)]
pub struct Localized {
    /// By module `(out, in)`: 1 where an entry is kept, else 0.
    pub masks: BTreeMap<String, Tensor>,
    /// Share of the entries that is kept.
    pub density: f64,
    /// The mean loss of an answer under σ(S), in the first pass and in the last one.
    pub losses: Option<[f64; 2]>,
}

/// An adapted module: its update and the scores.
struct Part {
    name: String,
    shape: (usize, usize),
    update: Vec<f32>,
    scores: Vec<f32>,
}

impl Part {
    /// σ(S) ∘ τ.
    fn masked(&self) -> candle_core::Result<Tensor> {
        let values = self.update.iter().zip(&self.scores).map(|(t, s)| sigmoid(*s) * t);
        Tensor::from_vec(values.collect(), self.shape, &Device::Cpu)
    }
}

fn sigmoid(score: f32) -> f32 {
    1.0 / (1.0 + (-score).exp())
}

/// Learns the mask of an adapter on examples of its own domain. All modules are dense at the same time, five times in f32; `progress` is told
/// how many examples are done, and of how many.
///
/// # Errors
/// No example with an answer, an adapter that does not fit the decoder or changes its head or stores modules whole, weights that are not in
/// f32, or a loss that is no number any more.
pub fn localize(
    decoder: &Decoder,
    adapter: &Adapter,
    examples: &[Example],
    settings: Localizing,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Localized> {
    if adapter.modules.contains_key(HEAD) || !adapter.saved.is_empty() {
        return Err(Error::Merge(format!(
            "the adapter changes {HEAD} or stores modules whole, of which no mask is learnt; train one of the projections of the blocks alone"
        )));
    }
    let mut examples: Vec<&Example> = examples.iter().filter(|example| example.targets() > 0).collect();
    if examples.is_empty() {
        return Err(Error::Usage(
            "no examples with an answer: nothing to learn on".into(),
        ));
    }
    let mut parts = parts(adapter, settings.density)?;
    let entries: usize = parts.iter().map(|part| part.update.len()).sum();
    let (total, mut done) = (settings.epochs * examples.len(), 0);
    let mut rate = None;
    let mut losses = Vec::with_capacity(settings.epochs);
    for epoch in 0..settings.epochs {
        examples.sort_by_key(|example| (&example.tokens, example.loss_from));
        examples.shuffle(&mut keyed(settings.seed, &["localize", &epoch.to_string()]));
        let mut loss = 0.0;
        for batch in examples.chunks(settings.batch_size.max(1)) {
            let (of_batch, mut slopes) = slopes(decoder, &parts, batch)?;
            loss += of_batch;
            for (part, slopes) in parts.iter().zip(&mut slopes) {
                for ((slope, update), score) in slopes.iter_mut().zip(&part.update).zip(&part.scores) {
                    let kept = sigmoid(*score);
                    let of_weight = *slope / batch.len() as f32;
                    *slope = (of_weight * update + (settings.sparsity / entries as f64) as f32)
                        * kept
                        * (1.0 - kept);
                }
            }
            let rate = *rate.get_or_insert_with(|| settings.step / size(&parts, &slopes));
            if !rate.is_finite() {
                // Nothing slopes: the adapter's update is nothing to these examples.
                break;
            }
            for (part, slopes) in parts.iter_mut().zip(slopes) {
                for (score, slope) in part.scores.iter_mut().zip(slopes) {
                    *score -= (rate * f64::from(slope)) as f32;
                }
            }
            done += batch.len();
            progress(done, total);
        }
        if !loss.is_finite() {
            return Err(Error::Merge(
                "the loss of the masked update is no number any more; take a smaller step".into(),
            ));
        }
        losses.push(loss / examples.len() as f64);
    }
    let mut kept = 0;
    let masks = parts.into_iter().map(|part| {
        let mask: Vec<f32> = part
            .scores
            .iter()
            .map(|score| f32::from(u8::from(*score > 0.0)))
            .collect();
        kept += mask.iter().filter(|value| **value > 0.0).count();
        Ok((part.name, Tensor::from_vec(mask, part.shape, &Device::Cpu)?))
    });
    let masks = masks.collect::<Result<BTreeMap<_, _>>>()?;
    Ok(Localized {
        masks,
        density: kept as f64 / entries as f64,
        losses: losses
            .first()
            .copied()
            .zip(losses.last().copied())
            .map(|(first, last)| [first, last]),
    })
}

/// Writes masks as the rule `localize_and_stitch` reads them, whole or not at all.
///
/// # Errors
/// A file that cannot be written.
pub fn write_masks(path: &Path, masks: &BTreeMap<String, Tensor>) -> Result<()> {
    let named = masks
        .iter()
        .map(|(name, tensor)| (format!("{name}.mask"), Matrix::from(tensor.clone())));
    safetensors::write(path, named)
}

/// The adapted modules with the scores of the first mask.
fn parts(adapter: &Adapter, density: f64) -> Result<Vec<Part>> {
    let aligned = Aligned::new(vec![Member::weighing(adapter, 1.0)])?;
    let least = threshold::of_member(&aligned, 0, density)?;
    let sites = aligned.sites().map(|site| {
        let update = dense::update(&site, site.factors[0])?;
        let score = |value: &f64| match *value != 0.0 && value.abs() >= least {
            true => START,
            false => -START,
        };
        Ok(Part {
            name: site.name().to_string(),
            shape: site.shape,
            scores: update.values.iter().map(score).collect(),
            update: update.values.iter().map(|value| *value as f32).collect(),
        })
    });
    sites.collect()
}

/// The summed loss of a batch's answers, and its slopes along every entry of the weights.
fn slopes(decoder: &Decoder, parts: &[Part], batch: &[&Example]) -> Result<(f64, Vec<Vec<f32>>)> {
    let names: Vec<String> = parts.iter().map(|part| part.name.clone()).collect();
    let mut places = BTreeMap::new();
    let (masked, variables) = with_variables(decoder, &names, |name, weight| {
        let (place, part) = parts
            .iter()
            .enumerate()
            .find(|(_, part)| part.name == name)
            .ok_or_else(|| candle_core::Error::Msg(format!("{name} is not adapted")))?;
        places.insert(name.to_string(), place);
        weight + part.masked()?.to_device(weight.device())?
    })?;
    if let Some(name) = names.iter().find(|name| !places.contains_key(*name)) {
        return Err(Error::Merge(format!(
            "the model has no {name}, which the adapter changes: it belongs to another base"
        )));
    }
    let mut slopes: Vec<Vec<f32>> = parts.iter().map(|part| vec![0.0; part.update.len()]).collect();
    let mut sum = 0.0;
    for example in batch {
        let loss = surprise(&masked, example)?;
        let gradients = on_pool(loss.device(), || loss.backward())?;
        sum += f64::from(loss.to_dtype(DType::F32)?.to_scalar::<f32>()?);
        for (name, variable) in &variables {
            if let Some(gradient) = gradients.get(variable) {
                let slopes = &mut slopes[places[name]];
                with_gradient(&gradient.to_device(&Device::Cpu)?, |values| {
                    slopes
                        .iter_mut()
                        .zip(values)
                        .for_each(|(sum, value)| *sum += value);
                })?;
            }
        }
    }
    Ok((sum, slopes))
}

/// The root mean square of the slopes of what is in the mask.
fn size(parts: &[Part], slopes: &[Vec<f32>]) -> f64 {
    let (mut sum, mut count) = (0.0, 0usize);
    for (part, slopes) in parts.iter().zip(slopes) {
        for (_, slope) in part.scores.iter().zip(slopes).filter(|(score, _)| **score > 0.0) {
            sum += f64::from(*slope).powi(2);
            count += 1;
        }
    }
    (sum / count.max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::backbone::decoder::tests::{flat, tiny};
    use crate::lora::attach::tests::random_adapter;
    use crate::merge::align::STATISTICS;
    use crate::merge::draw::Seeded;
    use crate::merge::rule::Rule;
    use crate::merge::run::Run;
    use crate::merge::setting::Setting;

    fn examples() -> Vec<Example> {
        let example = |tokens: &[u32], loss_from| Example {
            tokens: tokens.to_vec(),
            loss_from,
        };
        vec![
            example(&[1, 5, 2, 12, 7], 3),
            example(&[4, 9, 8], 1),
            example(&[6, 6, 3], 2),
            // No answer.
            example(&[6, 6], 2),
        ]
    }

    fn learnt(adapter: &Adapter, settings: Localizing) -> Localized {
        localize(&tiny(), adapter, &examples(), settings, &mut |_, _| ()).unwrap()
    }

    #[test]
    fn slopes_are_those_of_finite_differences() {
        let (decoder, adapter) = (tiny(), random_adapter("one", 3));
        let mut parts = parts(&adapter, 0.5).unwrap();
        let examples = examples();
        let batch: Vec<&Example> = examples[..3].iter().collect();
        let (_, exact) = slopes(&decoder, &parts, &batch).unwrap();
        for (nth, exact) in exact.iter().enumerate() {
            let place = (nth * 7 + 2) % exact.len();
            let (step, before) = (0.5, parts[nth].scores[place]);
            let mut loss = |score: f32| {
                parts[nth].scores[place] = score;
                slopes(&decoder, &parts, &batch).unwrap().0
            };
            let rise = loss(before + step) - loss(before - step);
            parts[nth].scores[place] = before;
            let moved = sigmoid(before + step) - sigmoid(before - step);
            let expected = exact[place] * parts[nth].update[place] * moved;
            assert!(
                (rise - f64::from(expected)).abs() < 2e-4 + 0.05 * f64::from(expected.abs()),
                "{}: {rise} against {expected}",
                parts[nth].name
            );
        }
    }

    #[test]
    fn without_a_pass_the_rule_makes_what_it_makes_without_data() {
        let adapters = [random_adapter("one", 3), random_adapter("two", 2)];
        let folder = tempfile::tempdir().unwrap();
        let settings = Localizing {
            epochs: 0,
            ..Localizing::default()
        };
        let merged = |with_masks: bool| {
            let members = adapters.iter().enumerate().map(|(place, adapter)| {
                let mut member = Member::weighing(adapter, 1.0);
                if with_masks {
                    let path = folder.path().join(format!("{place}.safetensors"));
                    write_masks(&path, &learnt(adapter, settings).masks).unwrap();
                    member
                        .settings
                        .insert(STATISTICS.to_string(), Setting::File(path));
                }
                member
            });
            let members = Aligned::new(members.collect()).unwrap();
            let (rule, draws) = (Rule::named("localize_and_stitch").unwrap(), Seeded(0));
            let run = Run {
                rule: &rule,
                rank: None,
                draws: &draws,
            };
            run.adapter(&members).unwrap().0
        };
        assert_eq!(
            merged(true).fingerprint().unwrap(),
            merged(false).fingerprint().unwrap()
        );
    }

    #[test]
    fn learning_lowers_the_loss_and_a_price_empties_the_mask() {
        let adapter = random_adapter("one", 3);
        let settings = Localizing {
            density: 0.3,
            epochs: 12,
            batch_size: 2,
            sparsity: 0.0,
            ..Localizing::default()
        };
        let free = learnt(&adapter, settings);
        let [first, last] = free.losses.unwrap();
        assert!(last < first - 0.01, "{first} to {last}");
        let dear = learnt(
            &adapter,
            Localizing {
                sparsity: 1e4,
                ..settings
            },
        );
        assert!(
            dear.density < 0.01 && free.density > 0.2,
            "{} {}",
            dear.density,
            free.density
        );
        assert!(
            free.masks
                .values()
                .all(|mask| flat(mask).iter().all(|value| [0.0, 1.0].contains(value)))
        );
        // The same draws, whatever order the examples come in.
        let mut backwards = examples();
        backwards.reverse();
        let again = localize(&tiny(), &adapter, &backwards, settings, &mut |_, _| ()).unwrap();
        assert_eq!(again.density, free.density);
    }

    #[test]
    fn examples_without_answers_teach_nothing() {
        let error = localize(
            &tiny(),
            &random_adapter("one", 3),
            &examples()[3..],
            Localizing::default(),
            &mut |_, _| (),
        );
        assert!(error.unwrap_err().to_string().contains("answer"));
    }
}
