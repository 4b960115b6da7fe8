//! What LaTeX makes of `table.tex`.

use super::*;
use crate::report::fixture::{at, study};
use std::process::Command;

/// A study with every table that goes into `table.tex`, and names that mean something to LaTeX.
fn full() -> Study {
    let mut study = study(3);
    study.profile = "50%_{a}".to_owned();
    let scenario = &mut study.scenarios[0];
    scenario.readings = Reading::ALL[1..].to_vec();
    scenario.catalogue = Some(1_000);
    scenario.target = "A & B $#~^\\ | <c>".to_owned();
    for row in &mut scenario.rows {
        row.label = format!("[{}] & 100 % of_it", row.label);
        for run in &mut row.runs {
            run.readings = vec![run.places.clone(); 3];
            run.catalogue = Some(vec![at(3); run.places.len()]);
        }
    }
    study
}

/// How often a sign stands in a text where LaTeX obeys it.
fn obeyed(text: &str, sign: char) -> usize {
    let mut escaped = false;
    let mut count = 0;
    for c in text.chars() {
        count += usize::from(c == sign && !escaped);
        escaped = c == '\\' && !escaped;
    }
    count
}

#[test]
fn every_line_of_a_latex_table_has_a_cell_for_each_head() {
    let tex = text(&[full()], "table.tex");
    assert!(tex.is_ascii(), "a sign that plain LaTeX has no glyph for: {tex}");
    let tables: Vec<&str> = tex.split("\\begin{tabular}").skip(1).collect();
    assert_eq!(
        tables.len(),
        4,
        "the primary metric, every metric, the catalogue, other readings"
    );
    for table in tables {
        let (table, _) = table.split_once("\\end{tabular}").unwrap();
        let (columns, table) = table.strip_prefix('{').unwrap().split_once('}').unwrap();
        assert!(columns.chars().all(|c| "lr".contains(c)), "{columns}");
        let lines: Vec<&str> = table.lines().filter(|line| line.ends_with(" \\\\")).collect();
        assert!(lines.len() > 10, "{table}");
        for line in lines {
            assert_eq!(obeyed(line, '&') + 1, columns.len(), "{line}");
            assert!(!line.starts_with('['), "an argument of the line before: {line}");
        }
    }
    // The first line alone is a comment.
    let (_, tables) = tex.split_once('\n').unwrap();
    for sign in ['%', '#', '~'] {
        assert_eq!(obeyed(tables, sign), 0, "{sign}");
    }
    assert_eq!(obeyed(tables, '{'), obeyed(tables, '}'));
    assert_eq!(obeyed(tables, '$') % 2, 0);
    for environment in ["table", "tabular"] {
        let count = |word: &str| tables.matches(&format!("\\{word}{{{environment}}}")).count();
        assert_eq!((count("begin"), count("end")), (4, 4), "{environment}");
    }
}

#[test]
fn a_document_with_the_tables_is_set() {
    let found = ["pdflatex", "lualatex", "tectonic"]
        .into_iter()
        .find(|program| Command::new(program).arg("--version").output().is_ok());
    let Some(program) = found else {
        eprintln!("skipped: there is no pdflatex, lualatex or tectonic to set the LaTeX tables with");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("table.tex"), text(&[full()], "table.tex")).unwrap();
    let document = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n\\input{table}\n\\end{document}\n";
    std::fs::write(folder.path().join("document.tex"), document).unwrap();
    let mut command = Command::new(program);
    if program != "tectonic" {
        command.args(["-interaction=nonstopmode", "-halt-on-error"]);
    }
    let set = command
        .arg("document.tex")
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&set.stdout).into_owned() + &String::from_utf8_lossy(&set.stderr);
    assert!(set.status.success(), "{program}: {said}");
    assert!(folder.path().join("document.pdf").is_file(), "{program}: {said}");
}
