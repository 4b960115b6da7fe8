//! A table of vectors, one an id.

use candle_core::Tensor;

use super::{Decay, Initial, Parameters};
use crate::{Error, Result};

/// Vectors that are looked up by number.
#[derive(Clone, Debug)]
pub struct Embedding {
    table: Tensor,
}

impl Embedding {
    /// A table of `rows` vectors of `width` values, the parameter `{name}.weight`.
    ///
    /// # Errors
    /// A name that is taken.
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        (rows, width): (usize, usize),
        initial: Initial,
    ) -> Result<Self> {
        let name = format!("{name}.weight");
        let table = parameters.create(&name, (rows, width), initial, Decay::Decayed)?;
        Ok(Embedding { table })
    }

    /// All vectors, `(rows, width)`: as the head of a [`cross_entropy`](crate::op::cross_entropy) it gets its gradient from there too.
    pub fn table(&self) -> &Tensor {
        &self.table
    }

    /// The vectors of these ids, `(ids, width)`.
    ///
    /// # Errors
    /// An id that has no row.
    pub fn forward(&self, ids: &[u32]) -> Result<Tensor> {
        let rows = self.table.dim(0)?;
        // On a GPU nothing else would look.
        if let Some(id) = ids.iter().find(|id| **id as usize >= rows) {
            return Err(Error::Usage(format!(
                "id {id} of an embedding with {rows} rows; ids count from 0"
            )));
        }
        Ok(self
            .table
            .index_select(&Tensor::new(ids, self.table.device())?, 0)?)
    }
}
