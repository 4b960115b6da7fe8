//! Tables for a terminal.

use comfy_table::{Cell, CellAlignment, Table, presets};
use weaverec_model::merge::inspect::{Group, ModuleInspection};

use super::Inspection;

/// The adapters by kind and layer, or module by module; then each two of them likewise.
pub(super) fn render(found: &Inspection, modules: bool) -> String {
    let rows: Vec<Group> = match modules {
        true => found.modules.iter().map(single).collect(),
        false => found.kinds.iter().chain(&found.layers).cloned().collect(),
    };
    let rows: Vec<&Group> = rows.iter().chain([&found.total]).collect();
    let mut text = vec!["Updates: Frobenius norm, and rank in brackets".to_string()];
    let head = ["".to_string(), "modules".to_string()];
    let head = head.into_iter().chain(found.adapters.iter().cloned());
    text.push(drawn(
        head.collect(),
        rows.iter().map(|row| {
            let updates = row
                .norms
                .iter()
                .zip(&row.true_ranks)
                .map(|(norm, ranks)| match ranks {
                    Some([least, most]) if least == most => format!("{norm:.4} ({most})"),
                    Some([least, most]) => format!("{norm:.4} ({least}–{most})"),
                    None => "–".to_string(),
                });
            [row.name.clone(), row.modules.to_string()]
                .into_iter()
                .chain(updates)
                .collect()
        }),
    ));
    for pair in &found.total.pairs {
        let [one, other] = pair.adapters.map(|place| &found.adapters[place]);
        text.push(format!(
            "\n{one} and {other}: overlaps with those by chance in brackets"
        ));
        let head = ["", "cosine", "sign conflict", "outputs overlap", "inputs overlap"];
        let lines = rows.iter().filter_map(|row| {
            let here = row.pairs.iter().find(|here| here.adapters == pair.adapters)?;
            let conflict = here.signs.conflict();
            Some(vec![
                row.name.clone(),
                format!("{:.4}", here.cosine),
                conflict.map_or("–".to_string(), |share| format!("{:.1} %", 100.0 * share)),
                format!("{:.3} ({:.3})", here.outputs, here.by_chance[0]),
                format!("{:.3} ({:.3})", here.inputs, here.by_chance[1]),
            ])
        });
        text.push(drawn(head.map(str::to_string).to_vec(), lines));
    }
    if let Some(part) = sampled(&found.modules) {
        text.push(part);
    }
    text.join("\n")
}

/// A module as a group of one, by its path.
fn single(module: &ModuleInspection) -> Group {
    Group {
        name: module.module.trim_start_matches("model.").to_string(),
        ..weaverec_model::merge::inspect::total(std::slice::from_ref(module))
    }
}

/// What is to be said of signs that were looked at in part.
pub(super) fn sampled(modules: &[ModuleInspection]) -> Option<String> {
    let compared = || modules.iter().filter(|module| !module.pairs.is_empty());
    let part = compared()
        .filter(|module| module.rows_seen < module.shape[0])
        .count();
    let all = compared().count();
    (part > 0).then(|| {
        format!(
            "Signs were looked at in evenly spaced rows of {part} of {all} modules, {} entries or less of each; cosines and overlaps \
             are exact.",
            weaverec_model::merge::inspect::signs::MOST
        )
    })
}

fn drawn(head: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.force_no_tty();
    table.set_header(head);
    for row in rows {
        table.add_row(row.into_iter().enumerate().map(|(column, text)| match column {
            0 => Cell::new(text),
            _ => Cell::new(text).set_alignment(CellAlignment::Right),
        }));
    }
    table.to_string()
}
