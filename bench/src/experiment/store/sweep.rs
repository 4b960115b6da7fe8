//! What killed runs left in a store, and how it goes.

use weaverec_model::train::Checkpoint;
use weaverec_output::scratch;

use super::{CHECKPOINTS, RECORD, Store, entries};
use crate::experiment::cell::Kind;

impl Store {
    /// Removes what killed runs left unfinished. Nothing that somebody is at work on goes, and nothing that is finished.
    pub(super) fn sweep(&self) {
        self.leases.sweep();
        Kind::ALL.into_iter().for_each(|kind| self.sweep_kind(kind));
        self.sweep_checkpoints();
    }

    /// Removes the checkpoints of finished cells: whoever finished one may have been killed before its checkpoint went.
    fn sweep_checkpoints(&self) {
        let folders = std::fs::read_dir(self.root.join(CHECKPOINTS));
        for folder in folders.into_iter().flatten().flatten() {
            let name = folder.file_name();
            // Without leases it has the process' number behind the key.
            let name = name.to_string_lossy();
            let key = name.split('-').next().unwrap_or_default();
            let finished = |kind: &Kind| self.place(*kind, key).join(RECORD).is_file();
            if Kind::ALL.iter().any(finished) {
                // One that cannot be removed is in nobody's way.
                let _ = Checkpoint::new(folder.path(), "").remove();
            }
        }
    }

    /// Removes what killed runs left in a kind's folder: what was being written, and what is no finished cell and nobody is at work on.
    fn sweep_kind(&self, kind: Kind) {
        let place = self.root.join(kind.folder());
        if !place.is_dir() {
            return;
        }
        scratch::sweep(&place);
        for folder in entries(&place) {
            let Some(key) = folder
                .file_name()
                .and_then(|name| name.to_str())
                .filter(|name| is_key(name))
            else {
                continue;
            };
            if !folder.join(RECORD).exists() && !self.leases.is_held(key) {
                // What cannot be removed is replaced when the cell is finished.
                let _ = std::fs::remove_dir_all(&folder);
            }
        }
    }
}

/// Whether a name is that of a cell.
pub(super) fn is_key(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
