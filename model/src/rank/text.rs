//! A text that grows by a few tokens at a time: what was read is kept as keys and values, so that nothing is read twice.

use candle_core::Tensor;

use crate::backbone::{Decoder, KvCache, Pass};
use crate::op::linear;
use crate::{Error, Result};

/// A prompt and what was decoded after it.
pub(super) struct Text<'d> {
    decoder: &'d Decoder,
    cache: KvCache,
    /// Tokens that the decoder has not read yet.
    unread: Vec<u32>,
    /// The hidden state of the last token read.
    last: Option<Tensor>,
}

impl<'d> Text<'d> {
    /// A text that begins with `prompt`.
    ///
    /// # Errors
    /// An empty prompt.
    pub fn new(decoder: &'d Decoder, prompt: &[u32]) -> Result<Self> {
        if prompt.is_empty() {
            return Err(Error::Usage("an empty prompt has no continuation".into()));
        }
        Ok(Text {
            decoder,
            cache: KvCache::default(),
            unread: prompt.to_vec(),
            last: None,
        })
    }

    /// Goes on with `tokens`; they are read when the next token is asked for, all in one pass.
    pub fn push(&mut self, tokens: &[u32]) {
        self.unread.extend_from_slice(tokens);
    }

    /// The likeliest next token of all, or of `options`.
    pub fn likeliest(&mut self, options: Option<&[u32]>) -> Result<u32> {
        let hidden = self.hidden()?;
        let head = self.decoder.head();
        let best = |rows: &Tensor| -> Result<u32> {
            Ok(linear(&hidden, rows, None)?.argmax(1)?.to_vec1::<u32>()?[0])
        };
        match options {
            None => best(head),
            Some(options) => {
                let rows = head.index_select(&Tensor::new(options, head.device())?, 0)?;
                Ok(options[best(&rows)? as usize])
            }
        }
    }

    fn hidden(&mut self) -> Result<Tensor> {
        if let (Some(last), true) = (&self.last, self.unread.is_empty()) {
            return Ok(last.clone());
        }
        let pass = Pass::continuing([(self.unread.as_slice(), 0..self.cache.rows())]);
        let (hidden, rows) = self.decoder.hidden_and_cache(&pass, Some(&self.cache))?;
        self.cache.append(rows)?;
        self.unread.clear();
        let last = hidden.narrow(0, pass.rows() - 1, 1)?.contiguous()?;
        self.last = Some(last.clone());
        Ok(last)
    }
}
