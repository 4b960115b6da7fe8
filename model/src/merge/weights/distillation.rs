//! How far the merged model is from what one member says of its own domain: what MergeRec makes small, on users who are made up of items.
//!
//! A pseudo-user had one item, and no interaction of anybody has a part in it. The teacher is the member that was trained on the item's
//! domain; the student is the merge. Of MergeRec's loss this is the distillation: its other part, the cross-entropy of the item that the
//! teacher ranks first, has the pseudo-user's own item as that item, and says no more than "retrieve yourself".

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::candidates::{Loss, go_back, log_softmax, scores, tokens};
use super::objective::{Case, Decoders, Differentiable, Objective};
use super::{Lambda, Stacked};
use crate::backbone::Decoder;
use crate::lora::Adapter;
use crate::rank::Normalisation;
use crate::train::task::Room;
use crate::{Error, Result};

/// T² KL(teacher ‖ student) over the candidates' likelihoods at a temperature T, in nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Distillation {
    /// What scores are divided by. The authors' 0.05 is for cosines; log-likelihoods need none.
    pub temperature: f64,
    /// What log-likelihoods are divided by.
    pub normalisation: Normalisation,
}

impl Default for Distillation {
    fn default() -> Self {
        Distillation {
            temperature: 1.0,
            normalisation: Normalisation::Sum,
        }
    }
}

/// The same cases with what an adapter says of their candidates, which a merge is to say as well. `normalisation` is that of the
/// [`Distillation`] they are for.
///
/// # Errors
/// An adapter that does not fit the decoder, or cases without candidates.
pub fn taught(
    decoder: &Decoder,
    teacher: &Adapter,
    cases: Vec<Case>,
    normalisation: Normalisation,
    room: Room,
) -> Result<Vec<Case>> {
    let mut stacked = Stacked::new(decoder, &[teacher])?;
    let decoder = stacked.at(&Lambda::Adapter(vec![1.0]))?;
    let says = scores(decoder, &cases, normalisation, room)?;
    let taught = cases.into_iter().zip(says).map(|(case, says)| Case {
        teacher: Some(says),
        ..case
    });
    Ok(taught.collect())
}

impl Distillation {
    fn losses(&self, decoder: &Decoder, cases: &[Case], room: Room) -> Result<Vec<Loss>> {
        if !(self.temperature.is_finite() && self.temperature > 0.0) {
            return Err(Error::Merge(format!(
                "a distillation at temperature {}: give a number above 0",
                self.temperature
            )));
        }
        let teachers = (0..cases.len()).map(|place| teacher(cases, place));
        let teachers: Vec<&[f32]> = teachers.collect::<Result<_>>()?;
        let scores = scores(decoder, cases, self.normalisation, room)?;
        let pairs = scores.iter().zip(teachers);
        Ok(pairs
            .map(|(student, teacher)| divergence(student, teacher, self.temperature))
            .collect())
    }
}

/// What a case's teacher says of its candidates.
fn teacher(cases: &[Case], place: usize) -> Result<&[f32]> {
    let case = &cases[place];
    let says = case.teacher.as_deref();
    says.filter(|says| says.len() == case.query.candidates.len())
        .ok_or_else(|| {
            Error::Usage(format!(
                "case {place} does not say what its teacher makes of its {} candidates: distillation is of pseudo-users whom a member was \
                 asked about",
                case.query.candidates.len()
            ))
        })
}

/// T² Σ p (log p − log q) with p of the teacher and q of the student, and T (q − p), its gradient over the student's scores.
fn divergence(student: &[f32], teacher: &[f32], temperature: f64) -> Loss {
    let logs = |scores: &[f32]| {
        let cooled: Vec<f32> = scores
            .iter()
            .map(|score| (f64::from(*score) / temperature) as f32)
            .collect();
        log_softmax(&cooled)
    };
    let (q, p) = (logs(student), logs(teacher));
    // What the teacher leaves out costs nothing, whatever the student says of it.
    let share = |(p, q): (&f64, &f64)| {
        if *p == f64::NEG_INFINITY {
            0.0
        } else {
            p.exp() * (p - q)
        }
    };
    let sum: f64 = p.iter().zip(&q).map(share).sum();
    let slopes = p.iter().zip(&q).map(|(p, q)| temperature * (q.exp() - p.exp()));
    (temperature * temperature * sum, slopes.collect())
}

impl Objective for Distillation {
    fn name(&self) -> String {
        "KL of the members' likelihoods on pseudo-users".into()
    }

    fn value(&self, decoder: &Decoder, cases: &[Case], room: Room) -> Result<f64> {
        let losses = self.losses(decoder, cases, room)?;
        Ok(losses.iter().map(|(loss, _)| loss).sum::<f64>() / cases.len() as f64)
    }

    fn differentiable(&self) -> Option<&dyn Differentiable> {
        Some(self)
    }
}

impl Differentiable for Distillation {
    fn tokens(&self, case: &Case) -> usize {
        tokens(case)
    }

    fn sum(
        &self,
        decoders: Decoders,
        cases: &[Case],
        room: Room,
        backward: &mut dyn FnMut(&Tensor) -> Result<()>,
    ) -> Result<f64> {
        let losses = self.losses(decoders.frozen, cases, room)?;
        go_back(
            decoders.tracked,
            cases,
            &losses,
            self.normalisation,
            room,
            backward,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_divergence_is_nothing_of_equals_and_has_the_gradient_of_finite_differences() {
        let teacher = [-1.0f32, -2.5, -4.0, -2.0];
        let (none, slopes) = divergence(&teacher, &teacher, 0.5);
        assert!(none.abs() < 1e-12 && slopes.iter().all(|slope| slope.abs() < 1e-12));
        // Likelihoods that differ by a factor alone are the same distribution.
        let (none, _) = divergence(&teacher.map(|score| score - 3.0), &teacher, 2.0);
        assert!(none.abs() < 1e-6, "{none}");
        let student = [-3.0f32, -1.5, -2.25, -2.0];
        let step = 1.0 / 64.0;
        for temperature in [0.5, 1.0, 2.0] {
            let (loss, slopes) = divergence(&student, &teacher, temperature);
            assert!(loss > 0.01, "{loss}");
            for (place, slope) in slopes.iter().enumerate() {
                let moved = |by: f32| {
                    let mut scores = student;
                    scores[place] += by;
                    divergence(&scores, &teacher, temperature).0
                };
                let estimate = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
                assert!(
                    (estimate - slope).abs() < 1e-3,
                    "{place}: {slope} against {estimate}"
                );
            }
        }
        let (left_out, slopes) = divergence(&[0.0, 0.0], &[0.0, f32::NEG_INFINITY], 1.0);
        assert!((left_out - 2f64.ln()).abs() < 1e-12);
        assert!((slopes[0] + 0.5).abs() < 1e-12 && (slopes[1] - 0.5).abs() < 1e-12);
    }
}
