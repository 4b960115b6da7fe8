//! Log-probabilities of given next tokens, without keeping any logits.

use candle_core::{Result, Tensor, bail};

use super::composed;
use super::gemm::{View, gemm};
use super::math::{exp_in_place, vectorised};
use super::rows::map_rows;
use super::storage::with_values;

/// Rows whose logits are held at one time.
const BLOCK: usize = 64;

/// For each `(row, token)` asked for, `log softmax(hidden · headᵀ)[row][token]`, in the order asked.
///
/// `hidden` is `(rows, width)`, `head` is `(vocabulary, width)`. Several tokens may be asked of one row; its logits are computed
/// once, and rows nobody asks about cost nothing.
pub fn log_probabilities(hidden: &Tensor, head: &Tensor, asked: &[(usize, u32)]) -> Result<Vec<f32>> {
    let ((rows, width), (vocabulary, _)) = (hidden.dims2()?, head.dims2()?);
    if let Some((row, token)) = asked
        .iter()
        .find(|(r, t)| *r >= rows || *t as usize >= vocabulary)
    {
        bail!("log probability of token {token} at row {row}: there are {rows} rows and {vocabulary} tokens");
    }
    if composed::applies(hidden) {
        return composed::log_probabilities(hidden, head, asked);
    }
    let mut order: Vec<usize> = (0..asked.len()).collect();
    order.sort_by_key(|i| asked[*i].0);
    let mut wanted_rows: Vec<usize> = asked.iter().map(|(row, _)| *row).collect();
    wanted_rows.sort_unstable();
    wanted_rows.dedup();
    let mut result = vec![0.0; asked.len()];
    let mut next = order.into_iter().peekable();
    let mut logits = vec![0.0; BLOCK.min(wanted_rows.len()) * vocabulary];
    let mut inputs = vec![0.0; BLOCK.min(wanted_rows.len()) * width];
    with_values(hidden, "log probability", |hidden| {
        with_values(head, "log probability", |head| {
            for block in wanted_rows.chunks(BLOCK) {
                for (to, row) in inputs.chunks_exact_mut(width).zip(block) {
                    to.copy_from_slice(&hidden[row * width..(row + 1) * width]);
                }
                let logits = &mut logits[..block.len() * vocabulary];
                let input = View::new(&inputs[..block.len() * width], block.len(), width);
                gemm(
                    logits,
                    vocabulary,
                    0.0,
                    1.0,
                    input,
                    View::new(head, vocabulary, width).t(),
                );
                // Before the exponentials take the logits' place.
                let first = next.clone();
                while let Some(i) = next.next_if(|i| asked[*i].0 <= block[block.len() - 1]) {
                    let nth = block.partition_point(|row| *row < asked[i].0);
                    result[i] = logits[nth * vocabulary + asked[i].1 as usize];
                }
                let normalisers = map_rows(logits, vocabulary, |_, row| {
                    let (max, sum) = vectorised(
                        #[inline(always)]
                        || exp_in_place(row),
                    );
                    max + sum.ln()
                });
                for i in first.take_while(|i| asked[*i].0 <= block[block.len() - 1]) {
                    result[i] -= normalisers[block.partition_point(|row| *row < asked[i].0)];
                }
            }
            Ok(())
        })
    })?;
    Ok(result)
}
