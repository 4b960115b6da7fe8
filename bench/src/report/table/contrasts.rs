//! Differences: the planned ones, which are tested, and those that only describe.

use super::{Cell, Table};
use crate::claim::apart;
use crate::claim::decision::{Decision, Standing};
use crate::metric::Metric;
use crate::report::across::Pairing;
use crate::report::analysed::Analysed;
use crate::report::analysis::Analysis;
use crate::report::compute;
use crate::report::learned::Bar;
use crate::report::number::{bounds, p_value, plus};
use crate::report::planned::Claim;
use crate::report::sentence::decision_words;
use crate::report::summary::{Claims, Part};
use crate::statistics::{Contrast, Interval};

fn interval(interval: Option<Interval>) -> Cell {
    interval.map_or_else(Cell::none, |interval| {
        Cell::number(interval.low, bounds(interval))
    })
}

fn difference(mean: f64) -> Cell {
    Cell::number(mean, plus(mean))
}

/// The claims of a study with the comparisons that they are made of.
#[must_use]
pub fn claims(claims: &Claims, metric: &str) -> Table {
    let mut rows = Vec::new();
    for claim in &claims.claims {
        let name = if claim.primary {
            format!("{} (primary)", claim.kind)
        } else {
            claim.kind.clone()
        };
        let mut head = vec![
            Cell::text(&claim.scenario),
            Cell::text(&name),
            Cell::text("the claim"),
            Cell::text(&claim.words),
        ];
        head.extend([Cell::none(), Cell::none(), Cell::none()]);
        head.push(Cell::maybe(claim.p, p_value));
        head.push(Cell::maybe(claim.adjusted_p, p_value));
        head.extend([Cell::none(), Cell::none()]);
        rows.push(head);
        rows.extend(
            claim
                .parts
                .iter()
                .map(|part| part_row(&claim.scenario, &name, part)),
        );
    }
    Table::new(
        format!(
            "Claims of {}: {} minus other rows in {metric}. The primary claim is tested alone, {} (Holm){}; \
             level {}, margin {}",
            claims.study,
            claims.woven,
            match claims.size {
                1 => "the other as well".to_owned(),
                size => format!("the other {size} are one family"),
            },
            match claims.deployment_size {
                0 => String::new(),
                size =>
                    format!(", the {size} of deployment (D: with counting added, against counting) another"),
            },
            claims.alpha,
            claims.margin
        ),
        &["Scenario", "Claim", "Against", "Finding"],
        &[
            format!("Δ {metric}").as_str(),
            "95 % (for reading)",
            "Users only: these adapters only",
            "p",
            "Adjusted p",
            "Replicates",
            "Users",
        ],
        rows,
    )
}

fn part_row(scenario: &str, claim: &str, part: &Part) -> Vec<Cell> {
    vec![
        Cell::text(scenario),
        Cell::text(claim),
        Cell::text(&part.against),
        Cell::text(&part.words),
        difference(part.mean),
        interval(part.interval),
        interval(part.users_only),
        Cell::maybe(part.p, p_value),
        Cell::maybe(part.adjusted_p, p_value),
        Cell::count(part.replicates),
        Cell::count(part.users),
    ]
}

/// The planned contrasts of a scenario once more, in one line each.
#[must_use]
pub fn planned(analysed: &Analysed, analysis: &Analysis) -> Option<Table> {
    let planned = analysed.planned.as_ref()?;
    let metric = analysis.metrics[analysis.primary()].label();
    let woven = analysis.label(&analysed.study.claims.woven);
    let mut rows = Vec::new();
    for claim in planned.of(&analysis.scenario.name) {
        let name = format!("{:?}", claim.result.kind);
        for (row, decision) in &claim.result.parts {
            let mark = planned.mark(&analysis.scenario.name, row);
            let label = analysis.part_label(row) + &footnote(analysed, analysis, claim, row);
            rows.push(decision_row(&name, &label, decision, mark));
        }
        for row in &claim.result.missing {
            let mut cells = vec![Cell::text(&name), Cell::text(row), Cell::text("not testable")];
            cells.resize(8, Cell::none());
            rows.push(cells);
        }
    }
    Table::new(
        format!("Planned: {woven} minus other rows in {metric}, paired by replicate and user"),
        &["Claim", "Against", "Finding"],
        &[
            format!("Δ {metric}").as_str(),
            "95 % (for reading)",
            "Users only: these adapters only",
            "p",
            "Adjusted p",
        ],
        rows,
    )
    .unless_empty()
}

fn decision_row(claim: &str, against: &str, decision: &Decision, mark: &'static str) -> Vec<Cell> {
    let Contrast {
        mean,
        interval: over_both,
        users_only,
        p,
        ..
    } = &decision.contrast;
    vec![
        Cell::text(claim),
        Cell::text(against),
        Cell::text(decision_words(decision)),
        Cell {
            mark,
            ..difference(*mean)
        },
        interval(*over_both),
        interval(*users_only),
        Cell::maybe(*p, p_value),
        Cell::maybe(decision.p, p_value),
    ]
}

/// What is said of a row's compute behind its name, where a claim of the woven row is made against it.
fn footnote(analysed: &Analysed, analysis: &Analysis, claim: &Claim, part: &str) -> String {
    if claim.result.kind.is_deployment() {
        return String::new();
    }
    compute::footnote(analysis.scenario, &analysed.study.claims.woven, apart(part).0)
}

/// The planned contrasts of a scenario under its other readings, each decided alone; none where there are none.
#[must_use]
pub fn repeated(analysed: &Analysed, analysis: &Analysis) -> Option<Table> {
    let planned = analysed.planned.as_ref()?;
    let metric = analysis.metrics[analysis.primary()].label();
    let mut rows = Vec::new();
    for claim in planned.of(&analysis.scenario.name) {
        for (reading, parts) in &claim.readings {
            for (row, decision) in parts {
                let primary = claim.result.parts.iter().find(|(known, _)| known == row);
                let turned = claim
                    .turned()
                    .any(|one| one.reading == *reading && one.row == row);
                rows.push(vec![
                    Cell::text(format!("{:?}", claim.result.kind)),
                    Cell::text(analysis.part_label(row)),
                    Cell::text(reading.label()),
                    Cell::text(match turned {
                        true => format!("{}, the other sign", decision_words(decision)),
                        false => decision_words(decision),
                    }),
                    primary.map_or_else(Cell::none, |(_, primary)| difference(primary.contrast.mean)),
                    difference(decision.contrast.mean),
                    interval(decision.contrast.interval),
                ]);
            }
        }
    }
    Table::new(
        format!(
            "Planned contrasts under other readings of the same scores, each decided alone: a condition of claims, and no claims. Primary: {}",
            analysis.scenario.read_by()
        ),
        &["Claim", "Against", "Reading", "Finding alone"],
        &[
            format!("Δ {metric}, primary").as_str(),
            format!("Δ {metric}").as_str(),
            "95 % (for reading)",
        ],
        rows,
    )
    .unless_empty()
}

/// Each row but members beside the target's own adapter, or the best floor where there is none: a description, with intervals and without
/// tests.
#[must_use]
pub fn differences(analysis: &Analysis) -> Option<Table> {
    let reference = analysis.beside_what()?;
    let metric = analysis.metrics[analysis.primary()].label();
    let mut rows = Vec::new();
    for numbers in &analysis.rows {
        let Some(versus) = &numbers.versus else {
            continue;
        };
        rows.push(vec![
            Cell::text(&numbers.row.label),
            difference(versus.mean),
            interval(versus.interval),
            interval(versus.users_only),
            Cell::maybe(versus.components.map(|sd| sd.replicate), |sd| format!("{sd:.3}")),
            Cell::maybe(versus.components.map(|sd| sd.user), |sd| format!("{sd:.3}")),
            Cell::maybe(versus.components.map(|sd| sd.residual), |sd| format!("{sd:.3}")),
            Cell::count(versus.replicates),
        ]);
    }
    Table::new(
        format!(
            "Described, not tested: each row minus {reference} in {metric}, paired by replicate and user"
        ),
        &["Method"],
        &[
            format!("Δ {metric}").as_str(),
            "95 % (for reading)",
            "Users only: these adapters only",
            "sd: replicates",
            "sd: users",
            "sd: rest",
            "Replicates",
        ],
        rows,
    )
    .unless_empty()
}

/// What the tuned rows are better than: the untuned model, a stranger's history, the best floor.
#[must_use]
pub fn learned(analysis: &Analysis) -> Option<Table> {
    let metric = analysis.metrics[analysis.primary()].label();
    let comparisons = &analysis.learned.comparisons;
    let rows: Vec<Vec<Cell>> = comparisons
        .iter()
        .map(|one| {
            let bar = match one.bar {
                Bar::Untuned => "the same model untuned",
                Bar::Stranger => "a stranger's history",
                Bar::Floor => "the best floor",
            };
            vec![
                Cell::text(&analysis.rows[one.row].row.label),
                Cell::text(bar),
                Cell::text(&analysis.rows[one.other].row.label),
                Cell::text(decision_words(&one.decision)),
                difference(one.decision.contrast.mean),
                interval(one.decision.contrast.interval),
                Cell::maybe(one.decision.p, p_value),
            ]
        })
        .collect();
    Table::new(
        "Is anything learned? Each tuned row beside what it must beat (p times the number of tuned rows; no claims)",
        &["Tuned row", "Bar", "Row", "Finding"],
        &[format!("Δ {metric}").as_str(), "95 % (for reading)", "p, times rows"],
        rows,
    )
    .unless_empty()
}

/// Planned contrasts and floors on users whose last step descends in id, and what ids give away.
#[must_use]
pub fn id_order(analysed: &Analysed, analysis: &Analysis) -> Option<Table> {
    let m = analysis.primary();
    let metric = analysis.metrics[m].label();
    let users = analysis.descending.users.len();
    let mut rows = Vec::new();
    let claims = analysed
        .planned
        .iter()
        .flat_map(|planned| planned.of(&analysis.scenario.name));
    for claim in claims {
        for (row, decision) in &claim.descending {
            let all = claim.result.parts.iter().find(|(known, _)| known == row);
            let ours = claim.result.kind.row(&analysed.study.claims.woven);
            rows.push(vec![
                Cell::text(format!(
                    "{:?}: {} minus {}",
                    claim.result.kind,
                    analysis.label(&ours),
                    analysis.label(row)
                )),
                all.map_or_else(Cell::none, |(_, all)| difference(all.contrast.mean)),
                difference(decision.contrast.mean),
                interval(decision.contrast.interval),
                if decision.standing == Standing::Described {
                    Cell::none()
                } else {
                    Cell::text(decision.outcome.label())
                },
            ]);
        }
    }
    for (row, numbers) in analysis.rows.iter().enumerate() {
        let family = numbers.row.family;
        if users == 0 || family.is_gated() {
            continue;
        }
        let level = analysis.descending.mean(row);
        rows.push(vec![
            Cell::text(&numbers.row.label),
            Cell::number(analysis.level(row), format!("{:.3}", analysis.level(row))),
            Cell::number(level, format!("{level:.3}")),
            Cell::none(),
            Cell::none(),
        ]);
    }
    if let Some(leak) = &analysis.leak {
        rows.push(vec![
            Cell::text("leak: next id minus previous id"),
            Cell::number(
                leak.difference.mean,
                crate::report::number::signed(leak.difference.mean, leak.difference.interval),
            ),
            Cell::none(),
            Cell::none(),
            Cell::none(),
        ]);
    }
    Table::new(
        format!(
            "Order of ids: {metric} on all users and on the {users} whose last step descends in id, where ids give nothing away"
        ),
        &["What"],
        &[
            "All users",
            "Descending",
            "95 % (for reading)",
            "Finding alone",
        ],
        rows,
    )
    .unless_empty()
}

/// The rows of a study in one report minus those in another.
#[must_use]
pub fn across(pairing: &Pairing) -> Table {
    let metric = Metric::PRIMARY.label();
    let rows = pairing
        .rows
        .iter()
        .map(|one| {
            let contrast = &one.decision.contrast;
            vec![
                Cell::text(&one.scenario),
                Cell::text(&one.label),
                Cell::text(decision_words(&one.decision)),
                difference(contrast.mean),
                interval(contrast.interval),
                Cell::maybe(one.decision.p, p_value),
                Cell::count(contrast.replicates),
                Cell::count(contrast.users),
            ]
        })
        .collect();
    Table::new(
        format!(
            "{}: {metric} of the second report minus the first, paired by replicate and user (p after Holm over the rows, floors apart)",
            pairing.study
        ),
        &["Scenario", "Row", "Finding"],
        &[
            format!("Δ {metric}").as_str(),
            "95 % (for reading)",
            "p",
            "Replicates",
            "Users",
        ],
        rows,
    )
}
