//! Interactions in 32 bytes each.

use super::Dictionary;

/// Rows of a chunk: memory grows by half a MiB at a time, and never by copying what is there.
const CHUNK: usize = 1 << 14;

/// One interaction.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Milliseconds UTC.
    pub time: i64,
    /// NaN where there is none.
    pub rating: f64,
    /// Its file and line; see [`Place`](crate::raw::Place).
    pub place: i64,
    /// Code of the user.
    pub user: u32,
    /// Code of the item.
    pub item: u32,
}

/// An interaction as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Interaction<'a> {
    /// Raw id.
    pub user: &'a str,
    /// Raw id.
    pub item: &'a str,
    /// Where there is one.
    pub rating: Option<f64>,
    /// Milliseconds UTC.
    pub time: i64,
    /// Its file and line.
    pub place: i64,
}

/// What one reader packs, with codes of its own.
#[derive(Debug, Default)]
pub struct Part {
    users: Dictionary,
    items: Dictionary,
    chunks: Vec<Vec<Row>>,
}

impl Part {
    /// Adds a row; not where ids or rows are full, and then nothing is changed but that an id may be known.
    #[must_use]
    pub fn push(&mut self, found: &Interaction<'_>) -> bool {
        let (Some(user), Some(item)) = (self.users.intern(found.user), self.items.intern(found.item)) else {
            return false;
        };
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            // Rows are numbered by 32 bits.
            if self.chunks.len() >= u32::MAX as usize / CHUNK {
                return false;
            }
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push(Row {
                time: found.time,
                rating: found.rating.unwrap_or(f64::NAN),
                place: found.place,
                user,
                item,
            });
        }
        true
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.users.bytes() + self.items.bytes() + self.chunks.len() * CHUNK * size_of::<Row>()
    }

    /// Hands back every row as it was read, letting go of each chunk before the next.
    pub fn unpack<E>(mut self, mut visit: impl FnMut(&Interaction<'_>) -> Result<(), E>) -> Result<(), E> {
        for chunk in std::mem::take(&mut self.chunks) {
            for row in &chunk {
                visit(&Interaction {
                    user: self.users.text(row.user),
                    item: self.items.text(row.item),
                    rating: (!row.rating.is_nan()).then_some(row.rating),
                    time: row.time,
                    place: row.place,
                })?;
            }
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
}

impl Packed {
    /// Joins what several readers packed; gives them back where their ids or rows are too many for one.
    pub fn join(parts: Vec<Part>) -> Result<Self, Vec<Part>> {
        let chunks: usize = parts.iter().map(|part| part.chunks.len()).sum();
        if chunks > u32::MAX as usize / CHUNK {
            return Err(parts);
        }
        let mut parts = parts;
        // The largest keeps its codes.
        parts.sort_by_key(|part| std::cmp::Reverse(part.users.len()));
        let mut rest = parts.into_iter();
        let Some(first) = rest.next() else {
            return Ok(Self::default());
        };
        let mut joined = Self {
            users: first.users,
            items: first.items,
            chunks: first.chunks,
        };
        while let Some(mut part) = rest.next() {
            let users = translation(&mut joined.users, &part.users);
            let items = translation(&mut joined.items, &part.items);
            let (Some(users), Some(items)) = (users, items) else {
                let first = Part {
                    users: joined.users,
                    items: joined.items,
                    chunks: joined.chunks,
                };
                return Err([first, part].into_iter().chain(rest).collect());
            };
            for row in part.chunks.iter_mut().flatten() {
                row.user = users[row.user as usize];
                row.item = items[row.item as usize];
            }
            joined.chunks.append(&mut part.chunks);
        }
        Ok(joined)
    }

    /// One interaction; `index` as [`each`](Self::each) gives it.
    pub fn row(&self, index: u32) -> &Row {
        &self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    /// All interactions with their indices, in no order that means anything.
    pub fn each(&self) -> impl Iterator<Item = (u32, &Row)> {
        self.chunks.iter().enumerate().flat_map(|(number, chunk)| {
            let first = number * CHUNK;
            (first as u32..).zip(chunk)
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }
}

/// The codes in `into` of the texts of `from`, by their code there.
fn translation(into: &mut Dictionary, from: &Dictionary) -> Option<Vec<u32>> {
    (0..from.len() as u32)
        .map(|code| into.intern(from.text(code)))
        .collect()
}
