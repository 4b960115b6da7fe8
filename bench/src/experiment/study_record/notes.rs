//! What a reader of a report must know of a prepared folder: it stands in the folder's manifest, which reports do not have.

use weaverec_pipeline::audit::AuditReport;
use weaverec_pipeline::prepared::Manifest;

/// Sentences about a domain.
pub(super) fn notes(manifest: &Manifest) -> Vec<String> {
    let mut notes = match manifest.synthetic_fields.as_slice() {
        [] => Vec::new(),
        fields => vec![format!("{} are made up in the raw files", fields.join(", "))],
    };
    notes.extend(of_preparation(&manifest.notes, &manifest.losses, &manifest.audit));
    notes
}

/// What preparing it met, and what makes results on it say less than they seem to.
fn of_preparation(remarks: &[String], losses: &[String], audit: &AuditReport) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    // The remarks of a finished folder hold the findings as well.
    for sentence in remarks.iter().chain(losses).chain(&audit.findings) {
        if !notes.contains(sentence) {
            notes.push(sentence.clone());
        }
    }
    if audit.left_bins.count > 0 {
        notes.push(format!(
            "{} binned candidate sets hold items that are not as popular as the target, whose bin has too few that the user never had",
            audit.left_bins
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use weaverec_pipeline::prepared::Share;

    #[test]
    fn findings_and_sets_that_left_their_bins_are_said_once_each() {
        let found = "popularity alone reaches NDCG@5 0.300".to_owned();
        let audit = AuditReport {
            findings: vec![found.clone()],
            left_bins: Share { count: 3, of: 12 },
            ..AuditReport::default()
        };
        let remarks = ["4 items have no usable title".to_owned(), found.clone()];
        let notes = of_preparation(&remarks, &["a block was lost".to_owned()], &audit);
        assert_eq!(
            notes[..3],
            [remarks[0].clone(), found.clone(), "a block was lost".to_owned()]
        );
        assert!(
            notes[3].starts_with("3 of 12 (25.0 %) binned candidate sets"),
            "{notes:?}"
        );
        assert_eq!(notes.len(), 4);
        // A folder of an earlier version has the finding in its audit alone.
        assert_eq!(of_preparation(&[], &[], &audit)[0], found);
        assert!(of_preparation(&[], &[], &AuditReport::default()).is_empty());
    }
}
