//! Profiles by name or from files, each of which may extend another one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use super::Profile;
use super::extend::over;

/// The profiles that come with the program.
pub(super) const BUILTIN: [(&str, &str); 8] = [
    ("quick", include_str!("../../../profiles/quick.toml")),
    ("order", include_str!("../../../profiles/order.toml")),
    ("small", include_str!("../../../profiles/small.toml")),
    ("merges", include_str!("../../../profiles/merges.toml")),
    ("power", include_str!("../../../profiles/power.toml")),
    ("rivals", include_str!("../../../profiles/rivals.toml")),
    ("outside", include_str!("../../../profiles/outside.toml")),
    ("paper", include_str!("../../../profiles/paper.toml")),
];

/// The key that names the profile which a file extends.
const EXTENDS: &str = "extends";

/// Most profiles that extend each other; more are a circle.
const MOST: usize = 16;

impl Profile {
    /// Loads a profile by name, or from the path of a TOML file, which may [extend](over) another profile: `extends = "paper"`, or the
    /// path of a file, from the folder of the one that names it.
    ///
    /// # Errors
    /// A name that is none, a file that cannot be read, keys that are none, and values that do not fit together.
    pub fn load(name: &str) -> Result<Self> {
        let (origin, text) = source(name)?;
        let profile = read(&text, Path::new(name), MOST).with_context(|| origin.clone())?;
        profile.check().with_context(|| origin)?;
        Ok(profile)
    }

    #[cfg(test)]
    pub(super) fn parse(text: &str) -> Result<Self> {
        read(text, Path::new(""), MOST)
    }
}

/// The text of a profile, and what it is called in messages.
fn source(name: &str) -> Result<(String, String)> {
    if let Some((_, text)) = BUILTIN.iter().find(|(builtin, _)| *builtin == name) {
        return Ok((format!("profile {name}"), (*text).to_owned()));
    }
    let known: Vec<&str> = BUILTIN.iter().map(|(name, _)| *name).collect();
    let text = std::fs::read_to_string(name).with_context(|| {
        format!(
            "{name} is neither a profile ({}) nor a readable file",
            known.join(", ")
        )
    })?;
    Ok((name.to_owned(), text))
}

/// A profile from its text, which lies at `path`.
fn read(text: &str, path: &Path, most: usize) -> Result<Profile> {
    let table: Table = toml::from_str(text)?;
    refuse_old_keys(&table)?;
    if !table.contains_key(EXTENDS) {
        // From the text itself, so that errors have lines.
        return Ok(toml::from_str(text)?);
    }
    let whole = extended(table, path, most)?;
    Ok(whole.try_into()?)
}

/// A file's keys over those of the profile that it extends.
fn extended(mut table: Table, path: &Path, most: usize) -> Result<Table> {
    let Some(base) = table.remove(EXTENDS) else {
        return Ok(table);
    };
    let Value::String(base) = base else {
        bail!("`extends` is {base}: give the name of a profile, or the path of its file, in quotes");
    };
    if most == 0 {
        bail!("`extends = \"{base}\"`: these profiles extend each other in a circle");
    }
    if !table.contains_key("name") {
        bail!(
            "`name` is missing: a profile that extends {base} needs one of its own, since records and reports lie in folders of that name"
        );
    }
    let base = beside(&base, path);
    let (origin, text) = source(&base).with_context(|| format!("`extends = \"{base}\"`"))?;
    let below = || -> Result<Table> {
        let table: Table = toml::from_str(&text)?;
        refuse_old_keys(&table)?;
        extended(table, Path::new(&base), most - 1)
    };
    let below = below().with_context(|| format!("{origin}, which is extended"))?;
    Ok(over(below, table))
}

/// A profile's name as it is, and a path from the folder of the file that names it.
fn beside(base: &str, path: &Path) -> String {
    if BUILTIN.iter().any(|(name, _)| *name == base) {
        return base.to_owned();
    }
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    folder.join(base).display().to_string()
}

/// Keys of earlier versions, with what to write in their place.
fn refuse_old_keys(table: &Table) -> Result<()> {
    if table.contains_key("seeds") {
        let count = table["seeds"].as_array().map_or(3, Vec::len);
        bail!(
            "`seeds` is no key any more: write `replicates = {count}`; each replicate draws its training subset, initial values, order, \
             dropout and nano backbone from its number"
        );
    }
    if table
        .get("backbone")
        .is_some_and(|backbone| backbone.get("seed").is_some())
    {
        bail!(
            "`seed` is no key of [backbone] any more: leave it out, and each replicate pre-trains a backbone of its own; \
             `one_backbone = true` lets all share the first one's"
        );
    }
    Ok(())
}
