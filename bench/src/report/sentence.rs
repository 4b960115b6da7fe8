//! What a scenario allows to be said, in plain sentences. What was found says `claim::decision`; here it is put into words.

use super::analysis::Analysis;
use super::compute;
use super::heading::{UNINFORMATIVE, UNTESTED};
use super::input::{Contamination, Reading};
use super::learned::{Bar, Comparison, Informative};
use super::number::{p_words, percent, plus, signed};
use super::planned::{Claim, Finding, Planned};
use super::weights::{Along, along};
use crate::claim::apart;
use crate::claim::decision::{Decision, Outcome, Standing};
use crate::metric::Metric;

/// The row whose sources mean nothing.
const PLACEBO: &str = "placebo";

/// All that may be said of a scenario, the most sobering first.
#[must_use]
pub fn sentences(analysis: &Analysis, planned: Option<&Planned>, woven: &str) -> Vec<String> {
    let mut said = Vec::new();
    let beaten = analysis.learned.floor_beaten();
    if beaten == Some(false) {
        said.extend(floor_unbeaten(analysis));
    }
    said.extend(informative(analysis));
    let claims = planned
        .into_iter()
        .flat_map(|planned| planned.of(&analysis.scenario.name));
    let mut named = Vec::new();
    for claim in claims {
        let ours = claim.result.kind.row(woven);
        let label = |part: &str| analysis.part_label(part);
        let reading = analysis.scenario.reading;
        said.push(claim_sentence(claim, analysis.label(&ours), reading, label));
        if !claim.result.kind.is_deployment() {
            let rows = claim.result.parts.iter().map(|(part, _)| apart(part).0);
            named.extend(rows);
        }
    }
    said.extend(unmatched(analysis, woven, &named));
    said.extend(beside(analysis, woven));
    if beaten == Some(true) {
        said.extend(floor_beaten(analysis));
    }
    said.extend(leak(analysis));
    said.extend(contamination(analysis));
    said.extend(along(analysis.scenario).iter().map(Along::sentence));
    if analysis.time_ties > 0.0 {
        said.push(format!(
            "{} of the targets share their time with the item before them; the order of these is no order of events ({}).",
            percent(analysis.time_ties),
            analysis.scenario.order
        ));
    }
    said
}

/// The rows that claims are made against and that were not trained on as much as the woven row.
fn unmatched(analysis: &Analysis, woven: &str, rows: &[&str]) -> Option<String> {
    let mut off: Vec<String> = Vec::new();
    for row in rows {
        let Some(ratio) = compute::ratio(analysis.scenario, woven, row) else {
            continue;
        };
        let words = format!("{} {}", analysis.label(row), compute::words(ratio));
        if !compute::is_matched(ratio) && !off.contains(&words) {
            off.push(words);
        }
    }
    (!off.is_empty()).then(|| {
        format!(
            "Not of the same compute as {} (training tokens within 10 %): {}. What is found against these may be one of compute.",
            analysis.label(woven),
            off.join("; ")
        )
    })
}

/// The woven row beside rows that no claim is made against.
fn beside(analysis: &Analysis, woven: &str) -> Option<String> {
    let parts: Vec<String> = analysis
        .beside
        .iter()
        .map(|(row, decision)| {
            let numbers = &analysis.rows[*row].row;
            let contrast = &decision.contrast;
            let mut words = format!(
                "{} {}, {}",
                numbers.label,
                signed(contrast.mean, contrast.interval),
                decision_words(decision)
            );
            let nothing = matches!(decision.outcome, Outcome::Undecided | Outcome::Equivalent);
            if numbers.method == PLACEBO && nothing {
                words.push_str(" (no evidence that the source's order matters)");
            }
            words
        })
        .collect();
    (!parts.is_empty()).then(|| {
        format!(
            "Beside the claims, each tested alone: {} minus {}.",
            analysis.label(woven),
            parts.join("; minus ")
        )
    })
}

/// How much of its training sequences the untuned model knows by heart.
fn contamination(analysis: &Analysis) -> Option<String> {
    let Contamination { asked, recalled } = analysis.scenario.contamination?;
    Some(format!(
        "The untuned model recalls {recalled} of {asked} next titles of training sequences of {} to the letter; a published model that has \
         seen these logs would recall many, and few prove nothing.",
        analysis.scenario.target
    ))
}

/// The first thing to hear where counting purchases does as well as training.
fn floor_unbeaten(analysis: &Analysis) -> Option<String> {
    let floor = analysis.learned.floor?;
    let against = analysis
        .learned
        .comparisons
        .iter()
        .filter(|one| one.bar == Bar::Floor);
    let best = against.max_by(|a, b| {
        let mean = |one: &Comparison| one.decision.contrast.mean;
        mean(a).total_cmp(&mean(b))
    })?;
    let contrast = &best.decision.contrast;
    Some(format!(
        "No tuned row is shown to be better than {}: the highest of them, {} ({:.3}), stands {} from it.",
        floor_words(analysis, floor),
        analysis.rows[best.row].row.label,
        analysis.level(best.row),
        signed(contrast.mean, contrast.interval),
    ))
}

fn floor_beaten(analysis: &Analysis) -> Option<String> {
    let floor = analysis.learned.floor?;
    let better: Vec<&Comparison> = analysis
        .learned
        .comparisons
        .iter()
        .filter(|one| one.bar == Bar::Floor && one.decision.outcome == Outcome::Better)
        .collect();
    let claimed = better.iter().all(|one| one.decision.standing == Standing::Claim);
    let opening = if claimed {
        "Better than"
    } else {
        "Indicated to be better than"
    };
    let labels: Vec<&str> = better
        .iter()
        .map(|one| analysis.rows[one.row].row.label.as_str())
        .collect();
    Some(format!(
        "{opening} {}: {}.",
        floor_words(analysis, floor),
        labels.join("; ")
    ))
}

fn floor_words(analysis: &Analysis, floor: usize) -> String {
    let (label, how) = (&analysis.rows[floor].row.label, analysis.learned.floor_words());
    format!("{label} ({:.3}), {how}", analysis.level(floor))
}

fn informative(analysis: &Analysis) -> Option<String> {
    let stranger = if analysis.learned.stranger {
        " and than a tuned one with a stranger's history"
    } else {
        ""
    };
    match analysis.learned.informative {
        Informative::Yes => None,
        Informative::No => Some(format!(
            "{}: no tuned row is shown to be better in {} than the same model untuned{stranger}, so the rows say nothing about the methods.",
            capitalised(UNINFORMATIVE),
            Metric::PRIMARY.label()
        )),
        Informative::Untested => Some(format!(
            "{}: whether tuning taught anything takes {} replicates of a tuned row and the untuned model beside it.",
            capitalised(UNTESTED),
            Standing::INDICATED_REPLICATES
        )),
    }
}

/// A claim, what became of it, and the comparisons that it is made of.
#[must_use]
pub fn claim_sentence(
    claim: &Claim,
    woven: &str,
    reading: Reading,
    label: impl Fn(&str) -> String,
) -> String {
    let result = &claim.result;
    let finding = claim.finding();
    let mut text = format!(
        "Claim {:?}, {woven} {}: {}",
        result.kind,
        result.kind.words(),
        result.untestable().unwrap_or_else(|| finding.label().to_owned())
    );
    if let Some(p) = result.adjusted_p {
        text.push_str(&format!(" ({})", p_words("adjusted p", p)));
    }
    text.push('.');
    if finding == Finding::DependsOnScoring {
        text.push_str(&turned(claim, reading, &label));
    }
    text.push_str(&against(&result.parts, &label, "Against"));
    if finding == Finding::Withdrawn {
        if claim.descending.is_empty() {
            text.push_str(" It rests on users whose last step ascends in id: hardly one descends.");
        } else {
            text.push_str(" It is not shown on users whose last step descends in id.");
            text.push_str(&against(&claim.descending, &label, "There, against"));
        }
    }
    text
}

/// Where the sign of a claim changes, and what it would be without that.
fn turned(claim: &Claim, reading: Reading, label: &impl Fn(&str) -> String) -> String {
    let changes: Vec<String> = claim
        .turned()
        .map(|one| {
            format!(
                "{} {} there and {} by {}",
                label(one.row),
                plus(one.primary.contrast.mean),
                signed(one.other.contrast.mean, one.other.contrast.interval),
                one.reading.label()
            )
        })
        .collect();
    format!(
        " By {} alone: {}. The sign changes: {}.",
        reading.label(),
        claim.under_primary().label(),
        changes.join("; ")
    )
}

/// The comparisons of a claim: ` Against soup −0.046 [−0.060, −0.033], worse; …`.
fn against(parts: &[(String, Decision)], label: &impl Fn(&str) -> String, opening: &str) -> String {
    if parts.is_empty() {
        return String::new();
    }
    let parts: Vec<String> = parts
        .iter()
        .map(|(row, decision)| {
            let contrast = &decision.contrast;
            format!(
                "{} {}, {}",
                label(row),
                signed(contrast.mean, contrast.interval),
                decision_words(decision)
            )
        })
        .collect();
    format!(" {opening} {}.", parts.join("; "))
}

/// A decision in words: what was found, how much may be made of it, and whether it is of any size.
#[must_use]
pub fn decision_words(decision: &Decision) -> String {
    let outcome = decision.outcome.label();
    let shown = matches!(decision.outcome, Outcome::Better | Outcome::Worse);
    match decision.standing {
        Standing::Described => "described".to_owned(),
        Standing::Indicated if decision.outcome != Outcome::Undecided => format!("{outcome} is indicated"),
        _ if shown && decision.within_margin => format!("{outcome}, by less than the margin"),
        _ => outcome.to_owned(),
    }
}

fn leak(analysis: &Analysis) -> Option<String> {
    let leak = analysis.leak.as_ref()?;
    Some(format!(
        "Ids give away {} of {}: {} ({:.3}) less {} ({:.3}).",
        signed(leak.difference.mean, leak.difference.interval),
        Metric::PRIMARY.label(),
        analysis.rows[leak.next].row.label,
        analysis.level(leak.next),
        analysis.rows[leak.previous].row.label,
        analysis.level(leak.previous),
    ))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}
