//! What `regmean` goes by, measured: the sum of x xᵀ over the inputs x of each module that an adapter changes.
//!
//! A gram is in × in, and of a layer's seven projections four read something different: what q, k and v read is theirs together, and so is
//! what gate and up read. Of a model of 135 million parameters all of them take 400 MB in f32, of one of 7 billion 45 GB. So as many
//! as there is memory for are summed at a time, from the first layer on; each pass goes no further than the last layer that is measured in
//! it, and a gram is written as soon as it is whole.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use weaverec_output::{Staged, place_file};

use crate::backbone::{Decoder, Pass};
use crate::io::safetensors::in_pieces;
use crate::lora::Adapter;
use crate::lora::config::HEAD;
use crate::merge::base::shards::TensorFile;
use crate::merge::base::{Element, TensorInfo};
use crate::op::Matrix;
use crate::train::Example;
use crate::{Error, Result};

/// Copies of a gram in memory while it is measured: the sum, what a prompt adds to it, and the sum of both.
const COPIES: usize = 3;

/// For each projection of a block the first that reads the same input, in the order of
/// [`PROJECTIONS`](crate::backbone::decoder::PROJECTIONS).
const READS_AS: [usize; 7] = [0, 0, 0, 3, 4, 4, 6];

/// The modules that read one input, and its width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grams {
    /// Their paths: those of one layer that read the same, and that the adapter adapts.
    pub modules: Vec<String>,
    /// Numbers in an input; the gram is as wide and as high.
    pub width: usize,
    /// The layer; one after the last is the output head.
    layer: usize,
    /// The place in its block of the first projection that reads it.
    place: usize,
}

/// What is to be measured for an adapter, in the order in which a pass comes by.
///
/// # Errors
/// An adapter of which the decoder has no module.
pub fn grams_of(decoder: &Decoder, adapter: &Adapter) -> Result<Vec<Grams>> {
    let layers = decoder.config().num_hidden_layers;
    let mut found: Vec<Grams> = Vec::new();
    for (nth, (name, (_, width))) in decoder.modules().into_iter().enumerate() {
        let (layer, place) = (nth / READS_AS.len(), READS_AS[nth % READS_AS.len()]);
        if !adapter.modules.contains_key(&name) {
            continue;
        }
        match found.last_mut() {
            Some(last) if (last.layer, last.place) == (layer, place) => last.modules.push(name),
            _ => found.push(Grams {
                modules: vec![name],
                width,
                layer,
                place,
            }),
        }
    }
    if adapter.modules.contains_key(HEAD) {
        found.push(Grams {
            modules: vec![HEAD.to_string()],
            width: decoder.config().hidden_size,
            layer: layers,
            place: 0,
        });
    }
    match found.is_empty() {
        true => Err(Error::Usage(
            "the adapter adapts no module of this model: nothing to measure".into(),
        )),
        false => Ok(found),
    }
}

/// Sums x xᵀ over the inputs of every module that an adapter adapts, at every token that is read (all of a prompt with its answer but the
/// last), with the adapter in its place. Each gram, `(in, in)` in f32 in main memory, is given to `keep` with the modules that it is of.
///
/// `memory` is in bytes, of which one gram may need more; `progress` is told how many examples were read, and of how many: each is read
/// once for every share of the grams that there is memory for.
///
/// # Errors
/// No example of two tokens, an adapter that does not fit the decoder, inputs that are no finite numbers, or what `keep` refuses.
pub fn gram(
    decoder: &Decoder,
    adapter: &Adapter,
    examples: &[Example],
    memory: usize,
    progress: &mut dyn FnMut(usize, usize),
    keep: &mut dyn FnMut(&Grams, &Tensor) -> Result<()>,
) -> Result<()> {
    let texts: Vec<&[u32]> = examples
        .iter()
        .filter_map(|example| example.tokens.split_last().map(|(_, read)| read))
        .filter(|read| !read.is_empty())
        .collect();
    if texts.is_empty() {
        return Err(Error::Usage(
            "no examples of two tokens or more: nothing to measure on".into(),
        ));
    }
    let folded = decoder.folded(adapter)?;
    let grams = grams_of(decoder, adapter)?;
    let shares = shares(&grams, memory);
    let total = shares.len() * texts.len();
    let mut done = 0;
    for share in shares {
        let mut sums: Vec<Option<Tensor>> = vec![None; share.len()];
        for text in &texts {
            read(&folded, text, share, &mut sums)?;
            done += 1;
            progress(done, total);
        }
        for (gram, sum) in share.iter().zip(sums) {
            let sum =
                sum.ok_or_else(|| Error::Usage(format!("nothing was read by {}", gram.modules.join(", "))))?;
            let sum = sum.to_device(&Device::Cpu)?;
            if !sum.sum_all()?.to_scalar::<f32>()?.is_finite() {
                return Err(Error::Merge(format!(
                    "{} reads something other than finite numbers, or such as are too large for f32 in sum: train the adapter again",
                    gram.modules.join(", ")
                )));
            }
            keep(gram, &sum)?;
        }
    }
    Ok(())
}

/// Measures as [`gram`] does and writes what is found as the rule `regmean` reads it, whole or not at all: no more of it is in memory than
/// is being measured. Modules that read one input have it each, as the rule looks by module. Returns their number.
///
/// # Errors
/// As [`gram`], and a file that cannot be written.
pub fn write_gram(
    path: &Path,
    decoder: &Decoder,
    adapter: &Adapter,
    examples: &[Example],
    memory: usize,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<usize> {
    let infos: Vec<TensorInfo> = grams_of(decoder, adapter)?
        .iter()
        .flat_map(|gram| {
            gram.modules.iter().map(|module| TensorInfo {
                name: name(module),
                element: Element::F32,
                shape: vec![gram.width, gram.width],
            })
        })
        .collect();
    let staged = Staged::beside(path)?;
    let unfinished = staged.path().join("file");
    let mut file = TensorFile::create(&unfinished, &infos)?;
    let mut keep = |gram: &Grams, sum: &Tensor| -> Result<()> {
        let sum = Matrix::from(sum.clone());
        gram.modules.iter().try_for_each(|module| {
            file.begin(&name(module))?;
            in_pieces(&sum, |piece| file.write(piece))
        })
    };
    gram(decoder, adapter, examples, memory, progress, &mut keep)?;
    file.finish()?;
    place_file(&unfinished, path)?;
    Ok(infos.len())
}

/// The tensor of a module in a file.
fn name(module: &str) -> String {
    format!("{module}.gram")
}

/// Adds what one text brings to the sums.
fn read(decoder: &Decoder, text: &[u32], share: &[Grams], sums: &mut [Option<Tensor>]) -> Result<()> {
    let layers = decoder.config().num_hidden_layers;
    let last = share.last().map_or(0, |gram| gram.layer);
    let mut add = |layer: usize, place: usize, x: &Tensor| -> candle_core::Result<()> {
        let here = |gram: &Grams| (gram.layer, gram.place) == (layer, place);
        let Some(nth) = share.iter().position(here) else {
            return Ok(());
        };
        let x = x.detach().to_dtype(DType::F32)?;
        let product = x.t()?.matmul(&x)?;
        sums[nth] = Some(match sums[nth].take() {
            None => product,
            Some(sum) => (sum + product)?,
        });
        Ok(())
    };
    let hidden = decoder.inputs_of(&Pass::sequences([text]), layers.min(last + 1), &mut add)?;
    if last == layers {
        add(layers, 0, &hidden)?;
    }
    Ok(())
}

/// As many grams at a time as there is memory for, in their order.
fn shares(grams: &[Grams], memory: usize) -> Vec<&[Grams]> {
    let mut shares = Vec::new();
    let (mut start, mut held) = (0, 0);
    for (place, gram) in grams.iter().enumerate() {
        let bytes = COPIES * gram.width * gram.width * size_of::<f32>();
        if place > start && held + bytes > memory {
            shares.push(&grams[start..place]);
            (start, held) = (place, 0);
        }
        held += bytes;
    }
    shares.push(&grams[start..]);
    shares
}

#[cfg(test)]
mod tests;
