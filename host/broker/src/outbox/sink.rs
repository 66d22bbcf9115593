//! Transports as an outbox writes to them.

use std::io::{self, IoSlice};

/// Result of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything is written.
    Empty,
    /// The transport is blocked; drain again when it is writable.
    Blocked,
}

/// A transport as an outbox writes to it. It may keep bytes that it has taken, for example encrypted
/// ones.
pub trait Sink {
    /// Takes bytes; returns how many.
    ///
    /// # Errors
    /// `WouldBlock` if it takes none now.
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Passes on the bytes that it keeps.
    ///
    /// # Errors
    /// `WouldBlock` if it keeps some.
    fn flush(&mut self) -> io::Result<()>;

    /// Returns the number of bytes that it keeps.
    fn kept(&self) -> usize;
}

/// A transport that keeps nothing.
pub(super) struct Direct<W>(pub(super) W);

impl<W: FnMut(&[IoSlice<'_>]) -> io::Result<usize>> Sink for Direct<W> {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (self.0)(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn kept(&self) -> usize {
        0
    }
}
