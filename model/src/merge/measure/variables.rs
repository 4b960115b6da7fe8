//! Gradients of a decoder's weights: some of them as variables, and the loss of one example's answer.

use candle_core::{DType, Tensor, Var};

use crate::backbone::{Decoder, Pass};
use crate::op::{Matrix, cross_entropy};
use crate::train::Example;
use crate::{Error, Result};

/// The decoder with some modules' weights as variables: with what is made of each.
///
/// # Errors
/// Weights that are not in f32.
pub(super) fn with_variables(
    decoder: &Decoder,
    group: &[String],
    mut make: impl FnMut(&str, &Tensor) -> candle_core::Result<Tensor>,
) -> Result<(Decoder, Vec<(String, Var)>)> {
    let mut trained = decoder.clone();
    let mut variables = Vec::with_capacity(group.len());
    let names = decoder.modules();
    for ((name, _), projection) in names.into_iter().zip(trained.projections_mut()) {
        if !group.contains(&name) {
            continue;
        }
        let weight = match &projection.weight {
            Matrix::Values(weight) if weight.dtype() == DType::F32 && projection.lora.is_none() => weight,
            _ => {
                return Err(Error::Usage(format!(
                    "{name} is not in f32, and gradients of packed weights or of 16 bits are not measured: load the model in f32"
                )));
            }
        };
        let variable = Var::from_tensor(&make(&name, weight)?)?;
        projection.weight = variable.as_tensor().clone().into();
        variables.push((name, variable));
    }
    Ok((trained, variables))
}

/// −log p(answer | prompt).
pub(super) fn surprise(decoder: &Decoder, example: &Example) -> Result<Tensor> {
    let first = example.loss_from.max(1);
    let rows: Vec<u32> = (first..example.tokens.len()).map(|i| (i - 1) as u32).collect();
    let pass = Pass::sequences([&example.tokens[..example.tokens.len() - 1]]);
    let hidden = decoder.hidden_of(&pass, &rows, None)?;
    Ok(cross_entropy(&hidden, decoder.head(), &example.tokens[first..])?)
}
