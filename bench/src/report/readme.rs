//! Tables in a README that are made from a report, between comments that name them.
//!
//! ```text
//! <!-- table: quick/matrix -->
//! … whatever stands here is replaced …
//! <!-- end table -->
//! ```
//! The name is that of the report's folder and of the table: `matrix` (every method in every scenario) or `claims`.

use super::markup::{markdown_table, markdown_text};
use super::summary::Summary;
use super::table::{Table, claims, matrix};
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};

const BEGIN: &str = "<!-- table: ";
const BEGIN_END: &str = " -->";
const END: &str = "<!-- end table -->";

/// The text with every table filled in from the reports of these names.
///
/// Tables of reports that are not given stay as they are.
///
/// # Errors
/// Where a table is not ended, is none that a report has, or where no table of a given report is there.
pub fn fill(text: &str, reports: &BTreeMap<String, Summary>) -> Result<String> {
    let mut filled = String::with_capacity(text.len());
    let mut used = BTreeSet::new();
    let mut lines = text.split_inclusive('\n').enumerate();
    while let Some((number, line)) = lines.next() {
        filled.push_str(line);
        let Some(name) = begins(line) else {
            ensure!(
                line.trim() != END,
                "line {}: `{END}` ends no table; delete it, or begin one with `{BEGIN}quick/matrix{BEGIN_END}`",
                number + 1
            );
            continue;
        };
        let at = || format!("line {}: table `{name}`", number + 1);
        let (report, table) = name
            .split_once('/')
            .with_context(|| format!("{} has no `/` between report and table", at()))?;
        let mut old = String::new();
        let end = loop {
            match lines.next() {
                Some((_, line)) if line.trim() == END => break line,
                Some((_, line)) if begins(line).is_none() => old.push_str(line),
                _ => bail!("{} is not ended by a line `{END}`", at()),
            }
        };
        match reports.get(report) {
            Some(summary) => {
                used.insert(report);
                filled.push_str(&shown(summary, table).with_context(at)?);
            }
            None => filled.push_str(&old),
        }
        filled.push_str(end);
    }
    if let Some(unused) = reports.keys().find(|name| !used.contains(name.as_str())) {
        bail!(
            "no table of `{unused}` is in it; add a line `{BEGIN}{unused}/matrix{BEGIN_END}` and a line `{END}`"
        );
    }
    Ok(filled)
}

fn begins(line: &str) -> Option<&str> {
    line.trim().strip_prefix(BEGIN)?.strip_suffix(BEGIN_END)
}

/// A table with the sentences without which it must not be read.
fn shown(summary: &Summary, table: &str) -> Result<String> {
    let tables: Vec<Table> = match table {
        "matrix" => vec![matrix(summary)],
        "claims" => summary
            .families
            .iter()
            .map(|family| claims(family, &summary.metric))
            .collect(),
        other => bail!("there is no table `{other}`; there are `matrix` and `claims`"),
    };
    let mut text = String::new();
    let mut first: Vec<String> = summary.purposes.iter().map(|text| format!("{text}.")).collect();
    first.extend(summary.headings.iter().map(|heading| format!("{heading}.")));
    first.push(summary.sentence.clone());
    text.push_str(&format!(
        "\nProfile {}: {}\n",
        markdown_text(&summary.profiles.join(", ")),
        markdown_text(&first.join(" "))
    ));
    for table in tables {
        text.push_str(&format!(
            "\n{}.\n\n{}\n",
            markdown_text(&table.caption),
            markdown_table(&table)
        ));
    }
    // Of levels alone: claims are about other rows.
    for caveat in summary.caveats.iter().filter(|_| table == "matrix") {
        text.push_str(&format!("{}.\n\n", markdown_text(caveat)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn summary() -> Summary {
        Summary {
            purposes: vec!["proves the machinery, claims nothing".to_owned()],
            profiles: vec!["quick".to_owned()],
            headings: vec!["one backbone: no claims".to_owned()],
            sentence: "Nothing was claimed.".to_owned(),
            metric: "NDCG@5".to_owned(),
            families: Vec::new(),
            scenarios: Vec::new(),
            methods: Vec::new(),
            caveats: vec!["a → b: a_row ended with its budget".to_owned()],
        }
    }

    fn reports() -> BTreeMap<String, Summary> {
        BTreeMap::from([("quick".to_owned(), summary())])
    }

    #[test]
    fn what_stands_between_the_marks_is_replaced_and_nothing_else() {
        let text = "# A\n<!-- table: quick/matrix -->\nold\n<!-- end table -->\n\
                    <!-- table: small/matrix -->\nkept\n<!-- end table -->\nlast";
        let filled = fill(text, &reports()).unwrap();
        assert!(
            filled.starts_with("# A\n<!-- table: quick/matrix -->\n\nProfile quick: proves the machinery")
        );
        assert!(
            !filled.contains("old") && filled.contains("| Method |\n|---|\n| Chance |"),
            "{filled}"
        );
        assert!(
            filled.contains("| Chance |\n\na → b: a\\_row ended with its budget.\n\n<!-- end table -->"),
            "{filled}"
        );
        assert!(filled.ends_with("<!-- table: small/matrix -->\nkept\n<!-- end table -->\nlast"));
        assert_eq!(
            fill(&filled, &reports()).unwrap(),
            filled,
            "filling twice changes nothing"
        );
    }

    #[test]
    fn what_cannot_be_filled_is_an_error_that_names_the_line() {
        let refused = |text: &str| format!("{:#}", fill(text, &reports()).unwrap_err());
        let open = refused("\n<!-- table: quick/matrix -->\nold\n");
        assert!(open.contains("line 2") && open.contains("not ended"), "{open}");
        let nested =
            refused("<!-- table: quick/matrix -->\n<!-- table: quick/claims -->\n<!-- end table -->\n");
        assert!(
            nested.contains("line 1") && nested.contains("not ended"),
            "{nested}"
        );
        let unknown = refused("<!-- table: quick/cost -->\n<!-- end table -->\n");
        assert!(unknown.contains("`matrix` and `claims`"), "{unknown}");
        let stray = refused("text\n<!-- end table -->\n");
        assert!(stray.contains("line 2"), "{stray}");
        let unused = refused("nothing\n");
        assert!(unused.contains("no table of `quick`"), "{unused}");
        let nameless = refused("<!-- table: matrix -->\n<!-- end table -->\n");
        assert!(nameless.contains("no `/`"), "{nameless}");
    }
}
