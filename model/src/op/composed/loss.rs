//! Cross-entropy and log-probabilities, a block of rows at a time, so that never more than a block's logits are in memory.

use candle_core::{D, DType, Result, Tensor, bail};

use super::known::known;

/// Logits that are held at one time: 256 MB in f32.
const MOST_LOGITS: usize = 1 << 26;

fn block(vocabulary: usize) -> usize {
    (MOST_LOGITS / vocabulary.max(1)).max(1)
}

/// Logits less their largest, in f32, and the logarithm of the sum of their exponentials, `(rows, 1)`.
fn shifted_logits(hidden: &Tensor, head: &Tensor) -> Result<(Tensor, Tensor)> {
    let logits = hidden.matmul(&head.t()?)?.to_dtype(DType::F32)?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?;
    let normaliser = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?;
    Ok((shifted, normaliser))
}

/// Sum over the rows of `−log softmax(hidden · headᵀ)[target]`, a scalar in f32; the gradients are formed in the same visit.
pub(in crate::op) fn cross_entropy(hidden: &Tensor, head: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let ((rows, _), (vocabulary, _)) = (hidden.dims2()?, head.dims2()?);
    if rows != targets.len() || targets.iter().any(|t| *t as usize >= vocabulary) {
        bail!(
            "cross entropy: {rows} rows and {} targets in a vocabulary of {vocabulary}",
            targets.len()
        );
    }
    let (values, weights) = (hidden.detach(), head.detach());
    let (for_hidden, for_head) = (hidden.track_op(), head.track_op());
    let mut loss = Tensor::zeros((), DType::F32, hidden.device())?;
    let (mut d_hidden, mut d_head) = (Vec::new(), None::<Tensor>);
    let size = block(vocabulary);
    for (nth, targets) in targets.chunks(size).enumerate() {
        let part = values.narrow(0, nth * size, targets.len())?;
        let (shifted, normaliser) = shifted_logits(&part, &weights)?;
        let ids = Tensor::from_slice(targets, (targets.len(), 1), hidden.device())?;
        loss = ((loss + normaliser.sum_all()?)? - shifted.gather(&ids, 1)?.sum_all()?)?;
        if !for_hidden && !for_head {
            continue;
        }
        let p = shifted.broadcast_sub(&normaliser)?.exp()?;
        let minus_one = Tensor::full(-1f32, ids.shape(), hidden.device())?;
        let d_logits = p.scatter_add(&ids, &minus_one, 1)?.to_dtype(hidden.dtype())?;
        if for_hidden {
            d_hidden.push(d_logits.matmul(&weights)?);
        }
        if for_head {
            let part = d_logits.t()?.matmul(&part)?;
            d_head = Some(match d_head {
                None => part,
                Some(sum) => (sum + part)?,
            });
        }
    }
    let d_hidden = match d_hidden.is_empty() {
        true => None,
        false => Some(Tensor::cat(&d_hidden, 0)?),
    };
    let d_head = d_head.map(|d| d.to_dtype(head.dtype())).transpose()?;
    let inputs: &[&Tensor] = match for_head {
        true => &[hidden, head],
        false => &[hidden],
    };
    known("cross entropy", inputs, loss, move |g| {
        let times = |d: &Option<Tensor>| {
            let scaled = |d: &Tensor| d.broadcast_mul(&g.to_dtype(d.dtype())?);
            d.as_ref().map(scaled).transpose()
        };
        Ok(vec![times(&d_hidden)?, times(&d_head)?])
    })
}

/// For each `(row, token)` asked for, `log softmax(hidden · headᵀ)[row][token]`, in the order asked.
pub(in crate::op) fn log_probabilities(
    hidden: &Tensor,
    head: &Tensor,
    asked: &[(usize, u32)],
) -> Result<Vec<f32>> {
    let (vocabulary, device) = (head.dim(0)?, hidden.device());
    let mut order: Vec<usize> = (0..asked.len()).collect();
    order.sort_by_key(|i| asked[*i].0);
    let mut answers = Vec::new();
    let mut rest = order.as_slice();
    while let Some(first) = rest.first() {
        // As many whole rows as a block has, and what is asked of them.
        let (mut rows, mut count) = (vec![asked[*first].0 as u32], 0);
        let (mut places, mut of) = (Vec::new(), Vec::new());
        for i in rest {
            let (row, token) = (asked[*i].0 as u32, asked[*i].1);
            if rows.last() != Some(&row) {
                if rows.len() == block(vocabulary) {
                    break;
                }
                rows.push(row);
            }
            let nth = rows.len() as u32 - 1;
            places.push(nth * vocabulary as u32 + token);
            of.push(nth);
            count += 1;
        }
        let ids = |ids: Vec<u32>| {
            let count = ids.len();
            Tensor::from_vec(ids, count, device)
        };
        let part = hidden.detach().index_select(&ids(rows)?, 0)?;
        let (shifted, normaliser) = shifted_logits(&part, &head.detach())?;
        let at = shifted.flatten_all()?.index_select(&ids(places)?, 0)?;
        let normalisers = normaliser.flatten_all()?.index_select(&ids(of)?, 0)?;
        answers.push((at - normalisers)?);
        rest = &rest[count..];
    }
    let mut result = vec![0.0; asked.len()];
    if !answers.is_empty() {
        // Read in one go: every read waits for the device.
        let answers = Tensor::cat(&answers, 0)?.to_vec1::<f32>()?;
        for (i, answer) in order.iter().zip(answers) {
            result[*i] = answer;
        }
    }
    Ok(result)
}
