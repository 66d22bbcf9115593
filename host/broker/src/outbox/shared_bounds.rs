//! Bounds that change while an outbox is in use. Each read is a plain load: a push costs no more.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use super::{Bounds, Overflow};

/// Bounds of an outbox, as they are now. While they change, a push may see a part of the new ones.
#[derive(Debug)]
pub(super) struct SharedBounds {
    bytes: AtomicUsize,
    frames: AtomicUsize,
    overflow: AtomicU8,
    /// The longest frame that the client takes; it does not change.
    pub(super) max_frame_bytes: Option<usize>,
}

const DISCONNECT: u8 = 0;
const DROP_EVENT: u8 = 1;
const LATEST: u8 = 2;

impl SharedBounds {
    pub(super) const fn new(bounds: Bounds) -> Self {
        let Bounds { bytes, frames, overflow } = bounds;
        Self {
            bytes: AtomicUsize::new(bytes),
            frames: AtomicUsize::new(frames),
            overflow: AtomicU8::new(code(overflow)),
            max_frame_bytes: None,
        }
    }

    pub(super) fn get(&self) -> Bounds {
        Bounds {
            bytes: self.bytes.load(Ordering::Relaxed),
            frames: self.frames.load(Ordering::Relaxed),
            overflow: self.overflow(),
        }
    }

    pub(super) fn overflow(&self) -> Overflow {
        match self.overflow.load(Ordering::Relaxed) {
            DROP_EVENT => Overflow::DropEvent,
            LATEST => Overflow::Latest,
            _ => Overflow::Disconnect,
        }
    }

    pub(super) fn set(&self, bounds: Bounds) {
        let Bounds { bytes, frames, overflow } = bounds;
        self.bytes.store(bytes, Ordering::Relaxed);
        self.frames.store(frames, Ordering::Relaxed);
        self.overflow.store(code(overflow), Ordering::Relaxed);
    }
}

const fn code(overflow: Overflow) -> u8 {
    match overflow {
        Overflow::Disconnect => DISCONNECT,
        Overflow::DropEvent => DROP_EVENT,
        Overflow::Latest => LATEST,
    }
}
