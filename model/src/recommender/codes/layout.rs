//! Which token says which code.

use serde::{Deserialize, Serialize};

use super::{DIGITS, ItemCodes, LEVELS, SPECIAL, START, TOKENS};
use crate::Result;

/// Which token says what: two that are no codes, then the codes level by level, then the digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Codes a level.
    pub size: usize,
}

impl Layout {
    /// Number of tokens. It does not depend on the items, so that one decoder reads the codes of any.
    pub fn vocabulary(self) -> usize {
        SPECIAL + LEVELS * self.size + DIGITS
    }

    /// The tokens of an item with these codes and this digit.
    pub fn tokens(self, code: [u32; TOKENS]) -> [u32; TOKENS] {
        let mut level = 0;
        code.map(|code| {
            let first = SPECIAL + level * self.size;
            level += 1;
            first as u32 + code
        })
    }

    /// The codes and the digit that these tokens say; none where they are not an item's.
    pub fn code(self, tokens: &[u32]) -> Option<[u32; TOKENS]> {
        let mut code: [u32; TOKENS] = tokens.try_into().ok()?;
        for (level, code) in code.iter_mut().enumerate() {
            *code = code.checked_sub((SPECIAL + level * self.size) as u32)?;
            let most = if level < LEVELS { self.size } else { DIGITS };
            if *code as usize >= most {
                return None;
            }
        }
        Some(code)
    }

    /// What a decoder reads of somebody who had these items, oldest first.
    ///
    /// # Errors
    /// An item that the codes do not have.
    pub fn history(self, codes: &ItemCodes, items: &[u32]) -> Result<Vec<u32>> {
        let mut tokens = Vec::with_capacity(1 + TOKENS * items.len());
        tokens.push(START);
        for item in items {
            tokens.extend(self.tokens(codes.of(*item)?));
        }
        Ok(tokens)
    }

    /// The tokens of all items, item 1 first.
    pub fn items(self, codes: &ItemCodes) -> Vec<[u32; TOKENS]> {
        codes.codes.iter().map(|code| self.tokens(*code)).collect()
    }
}
