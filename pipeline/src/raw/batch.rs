//! Interactions on their way from the thread that reads them to the one that takes them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{RawInteraction, Sink};
use crate::error::{Error, Result};
use crate::texts::Texts;

/// Rows of a full batch: many enough that handing one over costs nothing, few enough that some of them, a few a file, take no memory.
const ROWS: usize = 2048;

/// Bytes of ids that fill a batch as well, should they be very long.
const ENOUGH: usize = 1 << 20;

/// Batches that may wait: enough to even out rows of different cost.
const WAITING: usize = 4;

/// Some interactions, in the order in which they were read.
#[derive(Debug, Default)]
pub struct RowBatch {
    users: Texts,
    items: Texts,
    rest: Vec<Rest>,
}

/// What a row has besides its ids, as [`RawInteraction`] has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    pub rating: Option<f64>,
    pub time: i64,
    pub place: i64,
}

impl RowBatch {
    /// Adds a row; not to a batch that is full.
    #[must_use]
    pub fn push(&mut self, row: &RawInteraction<'_>) -> bool {
        let bytes = self.users.buffer().len() + self.items.buffer().len();
        if self.rest.len() == ROWS || bytes > ENOUGH {
            return false;
        }
        // They fit: no format has longer values than 2 GiB, and a batch holds no second one that long.
        let all = self.users.push(row.user) && self.items.push(row.item);
        assert!(all, "ids of more than 4 GiB");
        self.rest.push(Rest {
            rating: row.rating,
            time: row.time,
            place: row.place,
        });
        true
    }

    /// The rows from the one with that number on.
    pub fn rows_from(&self, first: usize) -> impl Iterator<Item = RawInteraction<'_>> {
        let ids = (first as u32..).map(|number| (self.users.get(number), self.items.get(number)));
        self.rest[first..]
            .iter()
            .zip(ids)
            .map(|(rest, (user, item))| RawInteraction {
                user,
                item,
                rating: rest.rating,
                time: rest.time,
                place: rest.place,
            })
    }

    /// Raw ids of the rows' users.
    pub fn users(&self) -> &Texts {
        &self.users
    }

    /// Raw ids of the rows' items.
    pub fn items(&self) -> &Texts {
        &self.items
    }

    /// What the rows have besides ids.
    pub(crate) fn rest(&self) -> &[Rest] {
        &self.rest
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Removes all rows and keeps their room.
    pub fn clear(&mut self) {
        self.users.clear();
        self.items.clear();
        self.rest.clear();
    }
}

/// Hands the rows of a file over to the thread that takes them.
pub(super) struct Outlet {
    batch: RowBatch,
    full: SyncSender<RowBatch>,
    /// Batches that were taken, to be filled again.
    used: Receiver<RowBatch>,
}

impl Outlet {
    /// Hands over a row; an error where nobody takes rows any more.
    pub fn push(&mut self, row: &RawInteraction<'_>) -> Result<()> {
        if !self.batch.push(row) {
            self.hand_over()?;
            let pushed = self.batch.push(row);
            assert!(pushed, "an empty batch has room");
        }
        Ok(())
    }

    /// To be called after the last row.
    pub fn finish(mut self) -> Result<()> {
        self.hand_over()
    }

    fn hand_over(&mut self) -> Result<()> {
        let next = self.used.try_recv().unwrap_or_default();
        let full = std::mem::replace(&mut self.batch, next);
        self.full.send(full).map_err(|_| stopped())
    }
}

fn stopped() -> Error {
    Error::Usage("the thread that takes rows stopped".to_owned())
}

/// Reads a file with `read` while another thread gives its rows to `sink`: what a row's ids are looked up in lies all over the
/// memory, and lines can be parsed meanwhile.
pub(super) fn into_sink(sink: &dyn Sink, read: impl FnOnce(Outlet) -> Result<()>) -> Result<()> {
    let (full, batches) = sync_channel::<RowBatch>(WAITING);
    // Room for every batch there can be, so that giving one back never waits.
    let (give_back, used) = sync_channel(WAITING + 2);
    std::thread::scope(|scope| {
        let take = move || {
            let mut rows = sink.interactions();
            for mut batch in batches {
                rows.take(&batch)?;
                batch.clear();
                // A reader that is done wants no more batches.
                let _ = give_back.try_send(batch);
            }
            rows.finish()
        };
        let named = std::thread::Builder::new().name("pack".to_owned());
        let taker = named
            .spawn_scoped(scope, take)
            .map_err(|error| Error::Usage(format!("cannot start a thread: {error}")))?;
        let read = read(Outlet {
            batch: RowBatch::default(),
            full,
            used,
        });
        // What stopped the one that takes rows tells more than that they could not be handed over.
        taker.join().unwrap_or_else(|_| Err(stopped())).and(read)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use arrow::array::RecordBatch;

    use super::super::RowSink;
    use super::*;

    /// Notes rows, and fails at the row that it is told to.
    #[derive(Default)]
    struct Notes {
        rows: Mutex<Vec<(String, String, i64)>>,
        fails_at: Option<usize>,
    }

    struct Taking<'n>(&'n Notes);

    impl RowSink for Taking<'_> {
        fn take(&mut self, batch: &RowBatch) -> Result<()> {
            let mut rows = self.0.rows.lock().unwrap();
            for row in batch.rows_from(0) {
                if Some(rows.len()) == self.0.fails_at {
                    return Err(Error::Usage("the disk is full".to_owned()));
                }
                rows.push((row.user.to_owned(), row.item.to_owned(), row.time));
            }
            Ok(())
        }

        fn finish(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    impl Sink for Notes {
        fn interactions(&self) -> Box<dyn RowSink + '_> {
            Box::new(Taking(self))
        }

        fn items(&self, _: RecordBatch) -> Result<()> {
            Ok(())
        }
    }

    fn rows(count: usize) -> Vec<(String, String, i64)> {
        // One id is long enough to fill a batch by itself.
        let user = |at: usize| match at {
            3_000 => "u".repeat(ENOUGH + 1),
            _ => format!("u{}", at % 7),
        };
        (0..count)
            .map(|at| (user(at), format!("i{at}"), at as i64))
            .collect()
    }

    fn push_all(outlet: &mut Outlet, rows: &[(String, String, i64)]) -> Result<()> {
        rows.iter().try_for_each(|(user, item, time)| {
            outlet.push(&RawInteraction {
                user,
                item,
                rating: None,
                time: *time,
                place: 0,
            })
        })
    }

    #[test]
    fn rows_arrive_in_their_order() {
        for count in [0, 1, ROWS, ROWS + 1, 10 * ROWS + 5] {
            let (notes, rows) = (Notes::default(), rows(count));
            into_sink(&notes, |mut outlet| {
                push_all(&mut outlet, &rows)?;
                outlet.finish()
            })
            .unwrap();
            assert_eq!(notes.rows.into_inner().unwrap(), rows);
        }
    }

    #[test]
    fn an_error_of_either_side_is_the_one_that_is_told() {
        let notes = Notes {
            fails_at: Some(3 * ROWS),
            ..Notes::default()
        };
        let all = rows(20 * ROWS);
        let failed = into_sink(&notes, |mut outlet| {
            push_all(&mut outlet, &all)?;
            outlet.finish()
        });
        assert!(failed.unwrap_err().to_string().contains("the disk is full"));
        let notes = Notes::default();
        let failed = into_sink(&notes, |mut outlet| {
            push_all(&mut outlet, &all[..ROWS])?;
            Err(Error::Usage("the file is broken".to_owned()))
        });
        assert!(failed.unwrap_err().to_string().contains("the file is broken"));
    }
}
