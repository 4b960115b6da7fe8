//! Where a row stands, in one number, while files are read side by side.

/// Bits of the line within its file.
const LINE_BITS: u32 = 40;

/// A place: the number of the file among those of its kind, and the line or row in it, from 1. Places are in the order of files and
/// lines, whichever file is read first.
pub(crate) fn place(file: usize, line: i64) -> i64 {
    (file as i64) << LINE_BITS | line
}

/// The number of a place's file.
pub(crate) fn file_of(place: i64) -> i64 {
    place >> LINE_BITS
}

/// A place's line within its file.
pub(crate) fn line_of(place: i64) -> i64 {
    place & ((1 << LINE_BITS) - 1)
}

/// From places to line numbers that go on from one file to the next.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// Lines of all files before each.
    before: Vec<i64>,
}

impl Lines {
    /// For files of so many lines, headers and blank ones included.
    pub(crate) fn of(files: impl IntoIterator<Item = u64>) -> Self {
        let mut sum = 0;
        let before = files.into_iter().map(|lines| {
            sum += lines as i64;
            sum - lines as i64
        });
        Self {
            before: before.collect(),
        }
    }

    /// The number of a place's line over all files.
    pub fn number(&self, place: i64) -> i64 {
        let before = self.before.get(file_of(place) as usize);
        before.copied().unwrap_or(0) + line_of(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_on_from_one_file_to_the_next() {
        let lines = Lines::of([10, 0, 7]);
        let numbers = [(0, 1), (0, 10), (2, 1), (2, 7)].map(|(file, line)| lines.number(place(file, line)));
        assert_eq!(numbers, [1, 10, 11, 17]);
        assert!(place(0, 1 << 30) < place(1, 1));
    }
}
