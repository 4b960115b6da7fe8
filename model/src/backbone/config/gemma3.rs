//! What Gemma 3 has besides the settings of other families (Gemma 3 technical report, arXiv 2503.19786, section 2).

/// Which layers see a window, and how; and the scale of queries.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemma3 {
    /// Attention scores are divided by the root of this.
    pub query_pre_attn_scalar: usize,
    /// How many positions a row sees in layers with a window, its own included.
    pub sliding_window: usize,
    /// For each layer whether it sees all positions.
    pub full_attention: Vec<bool>,
    /// Base of the rotary frequencies in layers with a window.
    pub local_rope_theta: f64,
}

const FULL: &str = "full_attention";
const SLIDING: &str = "sliding_attention";

impl Gemma3 {
    /// Every `pattern`-th of `layers` sees all positions.
    pub fn every(pattern: usize, layers: usize) -> Vec<bool> {
        (1..=layers).map(|layer| layer.is_multiple_of(pattern)).collect()
    }

    /// From `layer_types`.
    pub(super) fn parse(types: &[String]) -> Result<Vec<bool>, String> {
        let full = |name: &String| match name.as_str() {
            FULL => Ok(true),
            SLIDING => Ok(false),
            other => Err(format!(
                "layer_types has \"{other}\"; \"{FULL}\" and \"{SLIDING}\" are implemented"
            )),
        };
        types.iter().map(full).collect()
    }

    /// As `layer_types`.
    pub(super) fn layer_types(&self) -> Vec<String> {
        let name = |full: &bool| if *full { FULL } else { SLIDING };
        self.full_attention
            .iter()
            .map(|full| name(full).to_string())
            .collect()
    }

    pub(super) fn check(&self, layers: usize) -> Result<(), String> {
        if self.sliding_window == 0 {
            return Err("sliding_window is 0".into());
        }
        match self.full_attention.len() {
            given if given != layers => Err(format!(
                "layer_types names {given} layers where there are {layers}"
            )),
            _ => Ok(()),
        }
    }
}
