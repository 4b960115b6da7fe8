//! What a pass makes, hashed and written by a thread of its own while the next block is computed.

use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use super::TensorInfo;
use super::identity::Identity;
use super::pass::Sink;
use super::source::Bytes;
use crate::{Error, Result};

/// Blocks that wait to be written, at most.
const WAITING: usize = 2;

enum Part {
    Begin(TensorInfo),
    Block(Bytes),
}

/// Takes tensors, one after another, each in blocks.
pub(super) struct Behind {
    sender: SyncSender<Part>,
    /// What blocks were made in that are written.
    spare: Receiver<Vec<u8>>,
}

impl Behind {
    /// The next tensor begins.
    pub fn begin(&self, info: &TensorInfo) -> Result<()> {
        self.send(Part::Begin(info.clone()))
    }

    /// Its next bytes.
    pub fn block(&self, bytes: Bytes) -> Result<()> {
        self.send(Part::Block(bytes))
    }

    /// Bytes to make a block in: whatever one that is written has left, so that memory is asked for only at first.
    pub fn spare(&self) -> Vec<u8> {
        self.spare.try_recv().unwrap_or_default()
    }

    fn send(&self, part: Part) -> Result<()> {
        // Why it stopped, the writer says itself.
        let stopped = |_| Error::Merge("what is merged is no longer written".into());
        self.sender.send(part).map_err(stopped)
    }
}

/// Does some work and writes what it makes. Gives what the work gave, and the identity of what was written.
///
/// # Errors
/// Those of the work and of the sink.
pub(super) fn written<T>(
    sink: &mut dyn Sink,
    work: impl FnOnce(&Behind) -> Result<T>,
) -> Result<(T, String)> {
    thread::scope(|scope| {
        let (sender, parts) = sync_channel(WAITING);
        let (give_back, spare) = channel();
        let writer = scope.spawn(move || -> Result<String> {
            let (mut identity, mut of) = (Identity::new(), None);
            for part in parts {
                match part {
                    Part::Begin(info) => {
                        identity.begin(&info.name, &info.shape);
                        sink.begin(&info.name)?;
                        of = Some(info.element);
                    }
                    Part::Block(bytes) => {
                        if let Some(element) = of {
                            element.as_f32(&bytes, &mut |values| identity.values(values));
                        }
                        sink.write(&bytes)?;
                        if let Bytes::Made(bytes) = bytes {
                            // Whoever made it may have ended already.
                            let _ = give_back.send(bytes);
                        }
                    }
                }
            }
            Ok(identity.end())
        });
        let made = work(&Behind { sender, spare });
        let identity = match writer.join() {
            // Where writing failed the work could not go on either.
            Ok(ended) => ended?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        Ok((made?, identity))
    })
}
