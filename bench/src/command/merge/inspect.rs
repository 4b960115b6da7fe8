//! `weaverec merge inspect`: how alike the updates of adapters are, before they are merged.

mod page;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use weaverec_model::backbone::Weights;
use weaverec_model::lora::Adapter;
use weaverec_model::merge::align::{Aligned, Member};
use weaverec_model::merge::inspect::{Group, ModuleInspection, by_kind, by_layer, inspect, total};
use weaverec_output::write_file;

use crate::command::adapter::{Adapters, base_of};
use crate::output::pretty;
use crate::progress::say;

/// Which adapters, and how they are shown.
#[derive(Debug, Args)]
#[command(after_help = "\
Norms, ranks and cosines are those of the updates, s·B·A, found in the factors. Sign conflict is the share of the entries that both
move which one moves up and the other down; of modules of more than 4,194,304 entries a sample of rows is looked at. Overlap is the
share of the smaller subspace that lies in the other, of what is written to (outputs) and read from (inputs).

Examples:
  weaverec merge inspect shop films
  weaverec merge inspect shop films books --modules
  weaverec merge inspect shop films --html alike.html --json")]
pub struct Arguments {
    /// PEFT folders.
    #[arg(required = true)]
    adapters: Vec<PathBuf>,
    /// A row for each module, and not for each kind and each layer.
    #[arg(long)]
    modules: bool,
    /// Print JSON: every module with all principal cosines.
    #[arg(long)]
    json: bool,
    /// Write a page with heat maps, by layer and kind, to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The base that the adapters were trained on, to see that they fit it [default: what one of them names, where that is found].
    #[arg(long, value_name = "MODEL")]
    base: Option<PathBuf>,
    /// Compare all the same what was trained on different bases.
    #[arg(long)]
    other_base: bool,
    #[command(flatten)]
    reading: Adapters,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Inspection {
    /// The folders, in the order given.
    adapters: Vec<String>,
    total: Group,
    kinds: Vec<Group>,
    layers: Vec<Group>,
    modules: Vec<ModuleInspection>,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    if let Some(page) = &arguments.html {
        check_place(page)?;
    }
    let folders = &arguments.adapters;
    let base = match &arguments.base {
        Some(base) => Some((base.clone(), Weights::config(base)?)),
        None => folders.iter().find_map(|folder| base_of(folder)),
    };
    let mut adapters = super::read(folders, base.as_ref(), &arguments.reading)?;
    if arguments.other_base {
        adapters.iter_mut().for_each(|adapter| adapter.base = None);
    }
    for (folder, adapter) in folders.iter().zip(&adapters) {
        for whole in adapter.saved.keys() {
            say(format!(
                "note: {} stores {whole} whole, whose update is not known without the base: it is left out",
                folder.display()
            ));
        }
    }
    let found = inspection(folders, &adapters)?;
    if let Some(page) = &arguments.html {
        write_file(page, page::render(&found)?.as_bytes())?;
        say(format!("wrote {}", page.display()));
    }
    match arguments.json {
        true => super::super::print(String::from_utf8(pretty(&found)?)?.trim_end()),
        false => super::super::print(table::render(&found, arguments.modules)),
    }
}

/// Nothing but an earlier page is written over.
fn check_place(page: &std::path::Path) -> Result<()> {
    if page.is_dir() {
        bail!("{} is a folder; name a file, such as alike.html", page.display());
    }
    let is_page = || {
        let bytes = std::fs::read(page).with_context(|| page.display().to_string())?;
        anyhow::Ok(bytes.is_empty() || bytes.starts_with(page::MARK.as_bytes()))
    };
    if page.exists() && !is_page()? {
        bail!(
            "{} is there and is no page that `weaverec merge inspect` wrote; name another file, or move it away",
            page.display()
        );
    }
    Ok(())
}

fn inspection(folders: &[PathBuf], adapters: &[Adapter]) -> Result<Inspection> {
    let members = adapters.iter().map(|adapter| Member::weighing(adapter, 1.0));
    let modules = inspect(&Aligned::new(members.collect())?)?;
    Ok(Inspection {
        adapters: names(folders),
        total: total(&modules),
        kinds: by_kind(&modules),
        layers: by_layer(&modules),
        modules,
    })
}

/// The last parts of the paths, or where two have the same, the paths.
fn names(folders: &[PathBuf]) -> Vec<String> {
    let last = |folder: &PathBuf| folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let names: Vec<Option<String>> = folders.iter().map(last).collect();
    let named = names.iter().zip(folders).map(|(name, folder)| match name {
        Some(name) if names.iter().filter(|other| other.as_ref() == Some(name)).count() == 1 => name.clone(),
        _ => folder.to_string_lossy().into_owned(),
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::two;
    use super::*;

    #[test]
    fn folders_of_one_name_go_by_their_paths() {
        let folders = ["a/shop", "b/shop", "films"].map(PathBuf::from);
        assert_eq!(names(&folders), ["a/shop", "b/shop", "films"]);
        assert_eq!(names(&folders[1..]), ["shop", "films"]);
    }

    #[test]
    fn a_page_has_a_cell_for_each_module_and_a_table_a_row_for_each_kind() {
        let folder = two();
        let folders = ["a", "b"].map(|name| folder.path().join(name));
        let adapters: Vec<Adapter> = folders
            .iter()
            .map(|folder| Adapter::load(folder).unwrap())
            .collect();
        let found = inspection(&folders, &adapters).unwrap();
        let page = page::render(&found).unwrap();
        assert!(page.starts_with(page::MARK));
        for part in [
            "a and b",
            "q_proj",
            "up_proj",
            "prefers-color-scheme: dark",
            "viewport",
        ] {
            assert!(page.contains(part), "{part}");
        }
        // Four heat maps of two modules each.
        assert_eq!(page.matches("class=\"cell").count(), 8);
        assert!(!page.contains("http"), "nothing is fetched");
        let kinds = table::render(&found, false);
        for part in ["q_proj", "up_proj", "layer 0", "all", "a and b"] {
            assert!(kinds.contains(part), "{kinds}");
        }
        let modules = table::render(&found, true);
        assert!(modules.contains("layers.0.self_attn.q_proj") && !modules.contains("layer 0"));
    }

    #[test]
    fn nothing_but_an_earlier_page_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page.html");
        check_place(&page).unwrap();
        std::fs::write(&page, page::MARK).unwrap();
        check_place(&page).unwrap();
        std::fs::write(&page, "<!doctype html><title>mine").unwrap();
        assert!(check_place(&page).unwrap_err().to_string().contains("page.html"));
        assert!(
            check_place(folder.path())
                .unwrap_err()
                .to_string()
                .contains("folder")
        );
    }
}
