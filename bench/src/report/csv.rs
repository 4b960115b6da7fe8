//! `table.csv`: one line for each row and metric, for spreadsheets and plotting tools.

use super::analysis::Analysis;
use super::input::Study;
use anyhow::Result;

const HEADS: [&str; 22] = [
    "study",
    "profile",
    "scenario",
    "kind",
    "sources",
    "target",
    "method",
    "label",
    "family",
    "metric",
    "seeds",
    "users",
    "chance",
    "mean",
    "sd",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "p_t_holm",
    "p_wilcoxon",
];

/// All rows of all scenarios as CSV. Differences are to target-only; an empty field has no value.
///
/// # Errors
/// Where a line cannot be encoded.
pub fn table(studies: &[(&Study, Vec<Analysis>)]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADS)?;
    for (study, analysis) in studies
        .iter()
        .flat_map(|(study, all)| all.iter().map(move |one| (study, one)))
    {
        let scenario = analysis.scenario;
        for numbers in &analysis.rows {
            for (m, estimate) in numbers.estimates.iter().enumerate() {
                let versus = estimate.versus.as_ref();
                let maybe = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
                writer.write_record([
                    study.name.clone(),
                    study.profile.clone(),
                    scenario.name.clone(),
                    scenario.kind.label().to_owned(),
                    scenario.sources.join("+"),
                    scenario.target.clone(),
                    numbers.row.method.clone(),
                    numbers.row.label.clone(),
                    numbers.row.family.label().to_owned(),
                    analysis.metrics[m].key(),
                    numbers.row.runs.len().to_string(),
                    scenario.users.to_string(),
                    analysis.chance[m].to_string(),
                    estimate.mean.to_string(),
                    maybe(estimate.sd),
                    estimate.interval.low.to_string(),
                    estimate.interval.high.to_string(),
                    maybe(versus.map(|versus| versus.difference)),
                    maybe(versus.map(|versus| versus.interval.low)),
                    maybe(versus.map(|versus| versus.interval.high)),
                    maybe(versus.map(|versus| versus.adjusted_p)),
                    maybe(versus.and_then(|versus| versus.wilcoxon).map(|test| test.p)),
                ])?;
            }
        }
    }
    Ok(writer.into_inner().map_err(|error| error.into_error())?)
}
