//! What the codes of items came to, in words.

use weaverec_model::recommender::codes::CodeReport;

/// In a sentence: of every level how many codes are used, how many equally frequent ones would say as much, and what share of the vectors'
/// squared lengths is left over; then how many items share their codes with others.
pub fn described(report: &CodeReport) -> String {
    let levels = report.levels.iter().map(|level| {
        format!(
            "{} used (as {:.0} equally frequent ones), {:.0} % left over",
            level.used,
            level.perplexity,
            100.0 * level.error
        )
    });
    format!(
        "codes of {} items, level by level: {}; {} items share theirs, {} at most",
        report.items,
        levels.collect::<Vec<_>>().join("; "),
        report.colliding,
        report.digits
    )
}

#[cfg(test)]
mod tests {
    use weaverec_model::recommender::codes::LevelReport;

    use super::*;

    #[test]
    fn a_sentence_has_all_levels() {
        let level = |used, error| LevelReport {
            used,
            perplexity: 3.6,
            error,
        };
        let said = described(&CodeReport {
            levels: vec![level(8, 0.55), level(7, 0.26)],
            items: 30,
            colliding: 4,
            digits: 2,
        });
        assert_eq!(
            said,
            "codes of 30 items, level by level: 8 used (as 4 equally frequent ones), 55 % left over; 7 used (as 4 equally frequent ones), 26 % \
             left over; 4 items share theirs, 2 at most"
        );
    }
}
