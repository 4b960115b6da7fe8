//! Files in archives.

use std::path::{Path, PathBuf};

use super::called;
use crate::error::{Error, Result};
use crate::storage::{self, archive};

/// Files of that name in archives right under `root`, or in `root` if that is one, in whichever folder they are there. An archive that is called like the file, `.zip`
/// added, may hold one under any name.
pub(super) fn in_archives(root: &Path, name: &str) -> Result<Vec<PathBuf>> {
    // The raw folder may be an archive itself.
    let mut archives = match root.is_file() {
        true => vec![root.to_owned()],
        false => storage::list(root).unwrap_or_default(),
    };
    archives.retain(|path| path.to_str().is_some_and(archive::named));
    archives.sort();
    let mut found = Vec::new();
    for path in archives {
        let members = archive::files(&path).map_err(|source| Error::io(&path, "read", source))?;
        let own = path
            .file_name()
            .and_then(|own| own.to_str())
            .is_some_and(|own| own[..own.len() - archive::ENDING.len()].eq_ignore_ascii_case(name));
        let fits = |member: &&String| {
            let parts = name.matches('/').count() + 1;
            let from = member
                .rmatch_indices('/')
                .nth(parts - 1)
                .map_or(0, |(at, _)| at + 1);
            called(&member[from..], name)
        };
        let mut fitting: Vec<&String> = members.iter().filter(fits).collect();
        if let ([], [only], true) = (fitting.as_slice(), members.as_slice(), own) {
            fitting.push(only);
        }
        found.extend(fitting.into_iter().map(|member| path.join(member)));
    }
    Ok(found)
}
