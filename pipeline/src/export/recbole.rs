//! RecBole's atomic files: `<name>.inter` and `<name>.item`, tab-separated under a header of `name:type`, without quoting.
//!
//! Interactions are those after deduplication and k-core, by user and time; times are seconds. Ids are the raw ones. Categories
//! are a sequence of tokens parted by spaces, so that spaces inside a category become underscores.

use std::path::Path;

use super::TextFile;
use crate::dataset::{Columns, DatasetDescription, Expected, RawFormat, Source};
use crate::error::{Error, Result};
use crate::prepared::{Manifest, Prepared, write_text};

pub(super) fn write(prepared: &Prepared, folder: &Path) -> Result<()> {
    let manifest = prepared.manifest();
    let name = &manifest.name;
    let mut file = TextFile::create(folder.join(format!("{name}.inter")))?;
    file.line("user_id:token\titem_id:token\trating:float\ttimestamp:float")?;
    prepared.each_interaction(|row| {
        let (user, item) = (id(row.user_id)?, id(row.item_id)?);
        let rating = row.rating.map_or(String::new(), |rating| rating.to_string());
        file.line(&format!(
            "{user}\t{item}\t{rating}\t{}",
            row.timestamp as f64 / 1_000.0
        ))
    })?;
    file.finish()?;

    let mut file = TextFile::create(folder.join(format!("{name}.item")))?;
    file.line("item_id:token\ttitle:token_seq\tcategories:token_seq")?;
    for item in prepared.items()? {
        let tokens: Vec<String> = item.categories.split(", ").map(token).collect();
        file.line(&format!(
            "{}\t{}\t{}",
            id(&item.item_id)?,
            item.title,
            tokens.join(" ")
        ))?;
    }
    file.finish()?;

    let path = folder.join(format!("{name}.toml"));
    let text = toml::to_string(&description(manifest)).map_err(|error| Error::Description {
        file: path.display().to_string(),
        message: error.to_string(),
    })?;
    write_text(&path, &text)
}

/// The id, if a line can hold it.
fn id(text: &str) -> Result<&str> {
    if text.contains(['\t', '\n', '\r']) {
        return Err(Error::Usage(format!(
            "the id {text:?} holds a tab or a line end, which RecBole's files cannot; rename it in the raw log and prepare again"
        )));
    }
    Ok(text)
}

/// One category as one token.
fn token(category: &str) -> String {
    category.split_whitespace().collect::<Vec<_>>().join("_")
}

/// What lets this program read the files back.
fn description(manifest: &Manifest) -> DatasetDescription {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    DatasetDescription {
        name: manifest.name.chars().map(plain).collect(),
        title: format!("{}, exported", manifest.dataset.title),
        format: RawFormat::Recbole,
        time: None,
        // What is written here is all there is: an id that reads like none is an id.
        missing: Some(Vec::new()),
        interactions: vec![format!("{}.inter", manifest.name)],
        items: vec![format!("{}.item", manifest.name)],
        items_optional: false,
        // They are in front already.
        leading_articles: None,
        synthetic_fields: manifest.synthetic_fields.clone(),
        domains: Vec::new(),
        source: Source::default(),
        columns: Columns::default(),
        expected: manifest.size().map(|size| Expected {
            interactions: size.interactions,
            users: size.users,
            items: size.items,
        }),
        ..manifest.dataset.clone()
    }
}
