//! Mailbox of a client: the transport of its session, in memory.
//!
//! It collects the frames that the broker queues for the session. If the script does not read them,
//! it blocks like a socket whose peer does not read, and the bounds of the outbox apply.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jackfield_broker::{Bounds, Outbox, Transport};
use tokio::sync::Notify;

use crate::frame;

/// The maximum size of a client's unread messages.
const MAX_UNREAD_BYTES: usize = 8 << 20;

/// Approximate memory of a message besides its bytes.
const MESSAGE_OVERHEAD_BYTES: usize = 128;

/// The transport of one session.
pub(super) struct Mailbox {
    outbox: Arc<Outbox>,
    /// A std mutex: a leaf, held for a push or a pop.
    unread: Mutex<Unread>,
    /// Wakes a script that waits for messages.
    arrived: Arc<Notify>,
}

#[derive(Default)]
struct Unread {
    messages: VecDeque<Bytes>,
    /// The size of all messages that the script has not read, here or with the client.
    bytes: usize,
}

impl Mailbox {
    pub(super) fn new(bounds: Bounds, arrived: Arc<Notify>) -> Arc<Self> {
        let (outbox, unread) = (Arc::new(Outbox::new(bounds)), Mutex::default());
        Arc::new(Self { outbox, unread, arrived })
    }

    pub(super) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Takes the messages that have arrived, without their frames. [`Mailbox::read`] makes room for
    /// others.
    pub(super) fn take(&self) -> VecDeque<Bytes> {
        self.collect();
        std::mem::take(&mut self.lock().messages)
    }

    /// Marks a message of this size as read.
    pub(super) fn read(&self, bytes: usize) {
        let mut unread = self.lock();
        unread.bytes = unread.bytes.saturating_sub(bytes + MESSAGE_OVERHEAD_BYTES);
    }

    /// Moves frames from the outbox, until the mailbox is full.
    fn collect(&self) {
        // The only error is a frame of no bytes, which no message has.
        let _drained = self.outbox.drain(|frames| {
            let mut unread = self.lock();
            let mut written = 0;
            for frame in frames {
                if unread.bytes >= MAX_UNREAD_BYTES {
                    break;
                }
                written += frame.len();
                let body = Bytes::copy_from_slice(frame::body(frame));
                unread.bytes += body.len() + MESSAGE_OVERHEAD_BYTES;
                unread.messages.push_back(body);
            }
            if written == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(written) }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Unread> {
        // A panic under the lock cannot leave the messages inconsistent.
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Mailbox {
    fn flush(&self) {
        self.collect();
        self.arrived.notify_one();
    }

    fn interrupt(&self) {
        self.arrived.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use jackfield_broker::Overflow;
    use jackfield_wamp::dialect::{Codec, Dialect};

    use super::*;

    const MESSAGE_BYTES: usize = 1 << 20;

    fn mailbox() -> Arc<Mailbox> {
        // Room for four messages in their frames.
        let bytes = 4 * MESSAGE_BYTES + 100;
        let bounds = Bounds { bytes, frames: 100, overflow: Overflow::Disconnect };
        Mailbox::new(bounds, Arc::default())
    }

    /// Queues an event, and returns whether it was accepted.
    fn push(mailbox: &Mailbox, message: &[u8]) -> bool {
        let _pushed = mailbox.outbox.push(frame::message(Dialect::V2(Codec::Json), message));
        mailbox.flush();
        mailbox.outbox.closing().is_none()
    }

    #[test]
    fn collects_messages_without_their_frames() {
        let mailbox = mailbox();
        let long = vec![b'x'; 70_000];
        assert!(push(&mailbox, b"[1]") && push(&mailbox, &long));
        assert_eq!(mailbox.take(), [&b"[1]"[..], &long]);
        assert!(mailbox.take().is_empty());
    }

    #[test]
    fn blocks_while_messages_are_unread() {
        let mailbox = mailbox();
        let message = vec![b'x'; MESSAGE_BYTES];
        for _ in 0..12 {
            assert!(push(&mailbox, &message), "8 MiB in the mailbox, 4 MiB in the outbox");
        }
        assert_eq!(mailbox.take().len(), 8);
        assert!(mailbox.take().is_empty(), "they are taken, and not read");
        for _ in 0..8 {
            mailbox.read(MESSAGE_BYTES);
        }
        assert_eq!(mailbox.take().len(), 4);
    }

    #[test]
    fn the_bounds_of_the_outbox_apply() {
        let mailbox = mailbox();
        let message = vec![b'x'; MESSAGE_BYTES];
        let accepted = (0..20).filter(|_| push(&mailbox, &message)).count();
        assert_eq!(accepted, 12);
    }
}
