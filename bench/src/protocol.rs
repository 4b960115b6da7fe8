//! How the candidates of a case were drawn. A case is scored once for all protocols: what it is ranked among is decided afterwards.

use serde::{Deserialize, Serialize};
use weaverec_pipeline::schema::{Prompt, PromptFormat};

/// A way to draw the candidates other than the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Among all items alike, as the paper intends.
    Uniform,
    /// Among the items that are about as popular as the target.
    Binned,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 2] = [Protocol::Uniform, Protocol::Binned];

    /// The name in records, files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Uniform => "uniform",
            Protocol::Binned => "binned",
        }
    }

    /// Its bit in the set of protocols that a candidate belongs to.
    pub fn bit(self) -> u8 {
        match self {
            Protocol::Uniform => 1,
            Protocol::Binned => 2,
        }
    }

    /// Whether a candidate with these bits is drawn by it.
    pub fn has(self, bits: u8) -> bool {
        bits & self.bit() != 0
    }
}

/// The candidates of all protocols, each once, in the order in which they are scored, and the protocols of each. A format that lists the
/// candidates in the prompt knows those that it lists alone.
pub fn union(prompt: &Prompt, format: PromptFormat) -> (Vec<u32>, Vec<u8>) {
    let mut candidates = prompt.candidates.clone();
    let mut protocols = vec![Protocol::Uniform.bit(); candidates.len()];
    let binned = match format.lists_candidates() {
        true => &[],
        false => prompt.binned.as_slice(),
    };
    for item in binned {
        match candidates.iter().position(|other| other == item) {
            Some(place) => protocols[place] |= Protocol::Binned.bit(),
            None => {
                candidates.push(*item);
                protocols.push(Protocol::Binned.bit());
            }
        }
    }
    (candidates, protocols)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_protocols_drew_is_scored_once() {
        let prompt = Prompt {
            key: 0,
            user_id: String::new(),
            position: 0,
            history: vec![9],
            target: 3,
            ties: false,
            candidates: vec![4, 3, 8],
            binned: vec![3, 7, 4],
            messages: Vec::new(),
        };
        let all = union(&prompt, PromptFormat::Sequence);
        assert_eq!(all, (vec![4, 3, 8, 7], vec![3, 3, 1, 2]));
        let listed = union(&prompt, PromptFormat::Top5);
        assert_eq!(listed, (vec![4, 3, 8], vec![1, 1, 1]));
    }
}
