//! What `fisher` goes by, measured: the mean squared gradient of each entry of the weights that an adapter changes.
//!
//! It is the empirical Fisher information: of log p(answer | prompt) with the answers that are given, an example at a time. Weights are made
//! variables a few modules at a time, so that memory is what is asked for; every such group reads the examples anew.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::variables::{surprise, with_variables};
use crate::backbone::Decoder;
use crate::io::safetensors;
use crate::lora::Adapter;
use crate::lora::config::HEAD;
use crate::op::{Matrix, on_pool};
use crate::train::Example;
use crate::{Error, Result};

/// Copies of a module's weights in memory while it is measured: the variable, what its block joins, the gradient, its square and the sum.
const COPIES: usize = 5;

/// The Fisher information of every module that an adapter adapts, by the module's path, `(out, in)` in main memory. `memory` is in bytes, of
/// which one module may need more; `progress` is told how many examples are done, and of how many.
///
/// # Errors
/// No example with an answer, an adapter that does not fit the decoder or changes its head, or weights that are not in f32.
pub fn fisher(
    decoder: &Decoder,
    adapter: &Adapter,
    examples: &[Example],
    memory: usize,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<BTreeMap<String, Tensor>> {
    if adapter.modules.contains_key(HEAD) {
        return Err(Error::Merge(format!(
            "the adapter changes {HEAD}, whose Fisher information is not measured; train one of the projections of the blocks alone"
        )));
    }
    let examples: Vec<&Example> = examples.iter().filter(|example| example.targets() > 0).collect();
    if examples.is_empty() {
        return Err(Error::Usage(
            "no examples with an answer: nothing to measure on".into(),
        ));
    }
    let folded = decoder.folded(adapter)?;
    let groups = groups(&folded, adapter, memory);
    let total = groups.len() * examples.len();
    let mut found = BTreeMap::new();
    let mut done = 0;
    for group in groups {
        let (trained, variables) = with_variables(&folded, &group, |_, weight| Ok(weight.clone()))?;
        let mut sums: Vec<Option<Tensor>> = vec![None; variables.len()];
        for example in &examples {
            let loss = surprise(&trained, example)?;
            let gradients = on_pool(loss.device(), || loss.backward())?;
            for ((_, variable), sum) in variables.iter().zip(&mut sums) {
                if let Some(gradient) = gradients.get(variable) {
                    let square = gradient.detach().sqr()?;
                    *sum = Some(match sum.take() {
                        None => square,
                        Some(sum) => (sum + square)?,
                    });
                }
            }
            done += 1;
            progress(done, total);
        }
        for ((name, variable), sum) in variables.into_iter().zip(sums) {
            let mean = match sum {
                Some(sum) => (sum / examples.len() as f64)?.to_device(&Device::Cpu)?,
                None => Tensor::zeros(variable.shape(), DType::F32, &Device::Cpu)?,
            };
            found.insert(name, mean);
        }
    }
    Ok(found)
}

/// Writes what was measured as the rule `fisher` reads it, whole or not at all.
///
/// # Errors
/// A file that cannot be written.
pub fn write_fisher(path: &Path, found: &BTreeMap<String, Tensor>) -> Result<()> {
    let named = found
        .iter()
        .map(|(name, tensor)| (format!("{name}.fisher"), Matrix::from(tensor.clone())));
    safetensors::write(path, named)
}

/// The adapted modules, as many at a time as there is memory for.
fn groups(decoder: &Decoder, adapter: &Adapter, memory: usize) -> Vec<Vec<String>> {
    let mut groups: Vec<(usize, Vec<String>)> = Vec::new();
    let adapted = decoder
        .modules()
        .into_iter()
        .filter(|(name, _)| adapter.modules.contains_key(name));
    for (name, (out, input)) in adapted {
        let bytes = COPIES * out * input * size_of::<f32>();
        match groups.last_mut() {
            Some((held, group)) if *held + bytes <= memory => {
                *held += bytes;
                group.push(name);
            }
            _ => groups.push((bytes, vec![name])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::backbone::Family;
    use crate::backbone::decoder::tests::{assert_near, config_of, flat, tiny, weights_of};
    use crate::lora::attach::tests::random_adapter;
    use crate::merge::align::{Aligned, Member, STATISTICS};
    use crate::merge::draw::Seeded;
    use crate::merge::rule::Rule;
    use crate::merge::run::Run;
    use crate::merge::setting::Setting;
    use crate::train::mean_loss;

    fn examples() -> Vec<Example> {
        let example = |tokens: &[u32], loss_from| Example {
            tokens: tokens.to_vec(),
            loss_from,
        };
        vec![
            example(&[1, 5, 2, 12, 7], 3),
            example(&[4, 9, 8], 1),
            example(&[6, 6], 2),
        ]
    }

    #[test]
    fn it_is_the_mean_squared_derivative_that_finite_differences_give() {
        let adapter = random_adapter("one", 3);
        let (weights, config) = (weights_of(Family::Llama), config_of(Family::Llama));
        let decoder = Decoder::new(&weights, &config, &Device::Cpu).unwrap();
        let found = fisher(&decoder, &adapter, &examples(), usize::MAX, &mut |_, _| ()).unwrap();
        assert_eq!(found.len(), 14);
        // The last example has no answer.
        let answered = &examples()[..2];
        for (nth, (name, fisher)) in found.iter().enumerate() {
            let parameter = format!("{name}.weight");
            let (out, input) = fisher.dims2().unwrap();
            let place = (nth * 5 + 3) % (out * input);
            let loss = |by: f32, example: &Example| {
                let mut moved = weights_of(Family::Llama);
                let mut values = flat(&moved.get(&parameter, &[out, input]).unwrap());
                values[place] += by;
                let tensor = Tensor::from_vec(values, (out, input), &Device::Cpu).unwrap();
                moved.replace(&parameter, tensor).unwrap();
                let decoder = Decoder::new(&moved, &config, &Device::Cpu).unwrap();
                let folded = decoder.folded(&adapter).unwrap();
                let mean = mean_loss(&folded, std::slice::from_ref(example), 100).unwrap();
                mean.unwrap() * example.targets() as f64
            };
            let step = 4e-3;
            let squares = answered.iter().map(|example| {
                let slope = (loss(step, example) - loss(-step, example)) / f64::from(2.0 * step);
                slope * slope
            });
            let expected = squares.sum::<f64>() / answered.len() as f64;
            let exact = f64::from(flat(fisher)[place]);
            assert!(
                (exact - expected).abs() < 0.01 + 0.03 * expected,
                "{name}: {exact} against {expected}"
            );
        }
    }

    #[test]
    fn memory_decides_how_often_examples_are_read_and_nothing_else_and_the_rule_reads_the_file() {
        let (one, two) = (random_adapter("one", 3), random_adapter("two", 2));
        let decoder = tiny();
        let folder = tempfile::tempdir().unwrap();
        let mut told = Vec::new();
        let measured = |adapter: &Adapter, memory: usize, told: &mut Vec<(usize, usize)>| {
            fisher(&decoder, adapter, &examples(), memory, &mut |done, total| {
                told.push((done, total))
            })
            .unwrap()
        };
        let whole = measured(&one, usize::MAX, &mut told);
        assert_eq!(told, [(1, 2), (2, 2)]);
        told.clear();
        let little = measured(&one, 1, &mut told);
        assert_eq!(told.last(), Some(&(28, 28)));
        for (name, fisher) in &whole {
            assert_near(&flat(&little[name]), &flat(fisher), 1e-5);
            assert!(flat(fisher).iter().all(|value| *value >= 0.0));
        }
        let files = [(&one, "one"), (&two, "two")].map(|(adapter, name)| {
            let path = folder.path().join(format!("{name}.safetensors"));
            write_fisher(&path, &measured(adapter, usize::MAX, &mut Vec::new())).unwrap();
            path
        });
        let members = [&one, &two].into_iter().zip(files).map(|(adapter, file)| Member {
            adapter,
            settings: [(STATISTICS.to_string(), Setting::File(file))].into(),
        });
        let (rule, draws) = (Rule::named("fisher").unwrap(), Seeded(0));
        let run = Run {
            rule: &rule,
            rank: None,
            draws: &draws,
        };
        let (merged, _) = run.adapter(&Aligned::new(members.collect()).unwrap()).unwrap();
        assert_eq!(merged.modules.len(), 14);
    }

    #[test]
    fn examples_without_answers_measure_nothing() {
        let error = fisher(
            &tiny(),
            &random_adapter("one", 3),
            &examples()[2..],
            1,
            &mut |_, _| (),
        );
        assert!(error.unwrap_err().to_string().contains("answer"));
    }
}
