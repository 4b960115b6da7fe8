//! A training's course and what it came to, also as JSON lines for plots and for other programs.

use serde::{Deserialize, Serialize};
use serde_json::json;

/// A step's news, for progress bars and curves.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Steps done.
    pub step: usize,
    /// Steps in all, if training is not stopped early.
    pub total: usize,
    /// Mean loss a target token of this step, in nats.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Tokens read in training so far.
    pub tokens: u64,
    /// Seconds of training so far.
    pub seconds: f64,
}

/// What a training came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Steps taken.
    pub steps: usize,
    /// The step whose values were kept.
    pub best_step: usize,
    /// Mean held-out loss at that step, nats a token, or whatever else the task [looks](super::Task::look) for; `None` without held-out
    /// examples.
    pub held_out_loss: Option<f64>,
    /// Tokens read in training.
    pub tokens: u64,
    /// Seconds of training, over all runs that it took.
    pub seconds: f64,
    /// (step, mean loss) of every step.
    pub curve: Vec<(u64, f64)>,
    /// Norm of the gradient before clipping, of every step; none in records of versions that kept none.
    #[serde(default)]
    pub gradient_norms: Vec<f64>,
    /// (step, mean held-out loss or what the task looks for) of every look.
    pub held_out_curve: Vec<(u64, f64)>,
}

impl Outcome {
    /// One JSON object a line: `step`, `loss` and `gradient_norm` of every step, `step` and `held_out_loss` of every look, and at the end
    /// `steps`, `best_step`, `tokens`, `seconds` and `tokens_per_second`.
    pub fn json_lines(&self) -> String {
        let mut lines = String::new();
        let mut line = |value: serde_json::Value| {
            lines.push_str(&value.to_string());
            lines.push('\n');
        };
        let mut looks = self.held_out_curve.iter().peekable();
        for (i, (step, loss)) in self.curve.iter().enumerate() {
            line(json!({ "step": step, "loss": loss, "gradient_norm": self.gradient_norms.get(i) }));
            while let Some((_, loss)) = looks.next_if(|(at, _)| at <= step) {
                line(json!({ "step": step, "held_out_loss": loss }));
            }
        }
        line(json!({
            "steps": self.steps,
            "best_step": self.best_step,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "tokens_per_second": self.tokens as f64 / self.seconds.max(1e-9),
        }));
        lines
    }
}

/// A loss to the precision it is computed in.
pub(super) fn rounded(loss: f64) -> f64 {
    f64::from(loss as f32)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_step_and_look_has_its_line() {
        let outcome = Outcome {
            steps: 2,
            best_step: 2,
            held_out_loss: Some(0.5),
            tokens: 30,
            seconds: 2.0,
            curve: vec![(1, 2.0), (2, 1.0)],
            gradient_norms: vec![3.0, 4.0],
            held_out_curve: vec![(2, 0.5)],
        };
        let lines: Vec<serde_json::Value> = outcome
            .json_lines()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            lines,
            [
                json!({ "step": 1, "loss": 2.0, "gradient_norm": 3.0 }),
                json!({ "step": 2, "loss": 1.0, "gradient_norm": 4.0 }),
                json!({ "step": 2, "held_out_loss": 0.5 }),
                json!({ "steps": 2, "best_step": 2, "tokens": 30, "seconds": 2.0, "tokens_per_second": 15.0 }),
            ]
        );
    }
}
