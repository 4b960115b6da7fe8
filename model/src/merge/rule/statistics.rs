//! What was measured of a member's inputs or gradients, given as a file: safetensors, one tensor a module.

use std::path::Path;

use candle_core::Device;
use candle_core::safetensors::MmapedSafetensors;

use crate::merge::align::Site;
use crate::merge::matrix::Matrix;
use crate::{Error, Result};

/// Which tensor of a module a rule needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statistic {
    /// The mean squared gradient of each entry of the weight, `(out, in)`.
    Fisher,
    /// The sum of `x xᵀ` over the inputs x, `(in, in)`.
    Gram,
    /// 1 where an entry of the update is kept, else 0, `(out, in)`.
    Mask,
}

impl Statistic {
    fn name(self) -> &'static str {
        match self {
            Statistic::Fisher => "fisher",
            Statistic::Gram => "gram",
            Statistic::Mask => "mask",
        }
    }

    fn shape(self, (out, input): (usize, usize)) -> (usize, usize) {
        match self {
            Statistic::Fisher | Statistic::Mask => (out, input),
            Statistic::Gram => (input, input),
        }
    }

    /// A member's tensor in a module; none: it neither adapts the module nor has a tensor of it.
    ///
    /// # Errors
    /// A member without a file, a file that cannot be read, or one that lacks the tensor or has it in another shape.
    pub fn of(self, site: &Site, member: usize) -> Result<Option<Matrix>> {
        let key = format!("{}.{}", site.name(), self.name());
        let (rows, columns) = self.shape(site.shape);
        let path = site.statistics(member).ok_or_else(|| {
            Error::Merge(format!(
                "adapter {} has no statistics; name a file for each model of a recipe (statistics: FILE beside model), safetensors with \
                 a tensor MODULE.{} for every module, here {key} {:?}",
                member + 1,
                self.name(),
                (rows, columns)
            ))
        })?;
        let damaged = |message: String| Error::Weights {
            path: path.to_path_buf(),
            message,
        };
        let file = open(path)?;
        if file.get(&key).is_err() {
            if site.factors[member].is_none() {
                return Ok(None);
            }
            return Err(damaged(format!(
                "no tensor {key}; measure the {} of every module that the adapter adapts",
                self.name()
            )));
        }
        let tensor = file.load(&key, &Device::Cpu)?;
        if tensor.dims() != [rows, columns] {
            return Err(damaged(format!(
                "{key} is {:?}, and the module wants {:?}; measure it on this base",
                tensor.dims(),
                [rows, columns]
            )));
        }
        let matrix = Matrix::of(&tensor)?;
        match matrix.values.iter().all(|value| value.is_finite()) {
            true => Ok(Some(matrix)),
            false => Err(damaged(format!(
                "{key} holds something other than finite numbers; measure it again"
            ))),
        }
    }
}

fn open(path: &Path) -> Result<MmapedSafetensors> {
    // What is missing is said as of any other file.
    std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
    // SAFETY: the map lives only while one tensor is copied out of it; files of statistics are written whole and not changed in place.
    let file = unsafe { MmapedSafetensors::new(path) };
    file.map_err(|error| Error::Weights {
        path: path.to_path_buf(),
        message: format!("not a whole safetensors file ({error}); fetch or write it again"),
    })
}
