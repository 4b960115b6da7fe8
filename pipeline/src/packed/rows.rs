//! Interactions in 32 bytes each.

use std::path::Path;

use super::{Dictionary, RowFile};
use crate::error::Result;
pub use crate::raw::RawInteraction as Interaction;
use crate::raw::RowBatch;

/// Rows of a chunk: memory grows by half a MiB at a time, and never by copying what is there.
const CHUNK: usize = 1 << 14;

/// Rows whose ids are looked up together.
const TOGETHER: usize = 256;

/// One interaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Milliseconds UTC.
    pub time: i64,
    /// NaN where there is none.
    pub rating: f64,
    /// Its file and line; [`Lines`](crate::raw::Lines) numbers them.
    pub place: i64,
    /// Code of the user.
    pub user: u32,
    /// Code of the item.
    pub item: u32,
}

impl Row {
    /// With raw ids in place of codes.
    fn with<'a>(&self, user: &'a str, item: &'a str) -> Interaction<'a> {
        Interaction {
            user,
            item,
            rating: (!self.rating.is_nan()).then_some(self.rating),
            time: self.time,
            place: self.place,
        }
    }
}

/// What one reader packs, with codes of its own.
#[derive(Debug, Default)]
pub struct Part {
    users: Dictionary,
    items: Dictionary,
    chunks: Vec<Vec<Row>>,
    /// Rows that came before them.
    file: Option<RowFile>,
}

impl Part {
    /// Adds rows, as many of them as there is room for in ids and rows, and returns how many those are.
    #[must_use]
    pub fn take(&mut self, batch: &RowBatch) -> usize {
        let (mut users, mut items) = (Vec::with_capacity(TOGETHER), Vec::with_capacity(TOGETHER));
        let mut taken = 0;
        while taken < batch.len() {
            let end = (taken + TOGETHER).min(batch.len());
            let together = taken as u32..end as u32;
            users.clear();
            items.clear();
            self.users.intern_all(batch.users(), together.clone(), &mut users);
            self.items.intern_all(batch.items(), together, &mut items);
            let codes = users.iter().zip(&items);
            for ((user, item), row) in codes.zip(&batch.rest()[taken..end]) {
                let packed = self.pack(Row {
                    time: row.time,
                    rating: row.rating.unwrap_or(f64::NAN),
                    place: row.place,
                    user: *user,
                    item: *item,
                });
                if !packed {
                    return taken;
                }
                taken += 1;
            }
            if taken < end {
                return taken;
            }
        }
        taken
    }

    fn pack(&mut self, row: Row) -> bool {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            // Rows are numbered by 32 bits.
            if self.chunks.len() >= u32::MAX as usize / CHUNK {
                return false;
            }
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(row);
        }
        true
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.id_bytes() + self.chunks.len() * CHUNK * size_of::<Row>()
    }

    /// Those of them that ids take.
    pub fn id_bytes(&self) -> usize {
        self.users.bytes() + self.items.bytes()
    }

    /// Moves the rows into a file in the folder `place`; the ids stay in memory.
    pub fn spill(&mut self, place: &Path) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(RowFile::new(place)?),
        };
        for chunk in std::mem::take(&mut self.chunks) {
            chunk.iter().try_for_each(|row| file.push(row))?;
        }
        Ok(())
    }

    /// Hands back every row as it was read, letting go of each chunk before the next.
    pub fn unpack(self, mut visit: impl FnMut(&Interaction<'_>) -> Result<()>) -> Result<()> {
        let Self {
            users,
            items,
            chunks,
            file,
        } = self;
        let mut as_read = |row: &Row| visit(&row.with(users.text(row.user), items.text(row.item)));
        if let Some(mut file) = file {
            file.each(&mut as_read)?;
        }
        for chunk in chunks {
            chunk.iter().try_for_each(&mut as_read)?;
        }
        Ok(())
    }
}

/// The interactions of a data set, with one code an id.
#[derive(Debug, Default)]
pub struct Packed {
    /// Raw ids of users.
    pub users: Dictionary,
    /// Raw ids of items.
    pub items: Dictionary,
    chunks: Vec<Vec<Row>>,
    /// Rows on disk, and what their codes are here.
    files: Vec<(RowFile, Option<Translation>)>,
}

/// Codes by the codes of a part: of users, and of items.
type Translation = (Vec<u32>, Vec<u32>);

impl Packed {
    /// Joins what several readers packed; none where their ids are too many for one, or the rows in memory.
    pub fn join(mut parts: Vec<Part>) -> Option<Self> {
        let chunks: usize = parts.iter().map(|part| part.chunks.len()).sum();
        if chunks > u32::MAX as usize / CHUNK {
            return None;
        }
        // The largest keeps its codes.
        parts.sort_by_key(|part| std::cmp::Reverse(part.users.len()));
        let mut joined = Self::default();
        for (number, mut part) in parts.into_iter().enumerate() {
            if number == 0 {
                (joined.users, joined.items) = (part.users, part.items);
                joined.files.extend(part.file.map(|file| (file, None)));
            } else {
                let users = translation(&mut joined.users, &part.users)?;
                let items = translation(&mut joined.items, &part.items)?;
                for row in part.chunks.iter_mut().flatten() {
                    row.user = users[row.user as usize];
                    row.item = items[row.item as usize];
                }
                joined
                    .files
                    .extend(part.file.map(|file| (file, Some((users, items)))));
            }
            joined.chunks.append(&mut part.chunks);
        }
        Some(joined)
    }

    /// Whether some of the rows are on disk.
    pub fn spilled(&self) -> bool {
        !self.files.is_empty()
    }

    /// Hands over all rows, those on disk too, in no order that means anything.
    pub fn stream(&mut self, mut visit: impl FnMut(&Row) -> Result<()>) -> Result<()> {
        for (file, translation) in &mut self.files {
            file.each(|row| match translation {
                None => visit(row),
                Some((users, items)) => visit(&Row {
                    user: users[row.user as usize],
                    item: items[row.item as usize],
                    ..*row
                }),
            })?;
        }
        self.chunks.iter().flatten().try_for_each(visit)
    }

    /// Lets go of all rows and keeps the ids.
    pub fn forget_rows(&mut self) {
        self.chunks = Vec::new();
        self.files = Vec::new();
    }

    /// One interaction in memory; `index` as [`each`](Self::each) gives it.
    pub fn row(&self, index: u32) -> &Row {
        &self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    /// All interactions in memory with their indices, in no order that means anything.
    pub fn each(&self) -> impl Iterator<Item = (u32, &Row)> {
        self.chunks.iter().enumerate().flat_map(|(number, chunk)| {
            let first = number * CHUNK;
            (first as u32..).zip(chunk)
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let on_disk = self.files.iter().map(|(file, _)| file.len());
        self.chunks.iter().map(Vec::len).chain(on_disk).sum()
    }
}

/// The codes in `into` of the texts of `from`, by their code there.
fn translation(into: &mut Dictionary, from: &Dictionary) -> Option<Vec<u32>> {
    let mut codes = Vec::with_capacity(from.len());
    let all = from.len() as u32;
    for first in (0..all).step_by(TOGETHER) {
        let together = first..all.min(first.saturating_add(TOGETHER as u32));
        into.intern_all(from.texts(), together, &mut codes);
    }
    (codes.len() == from.len()).then_some(codes)
}
