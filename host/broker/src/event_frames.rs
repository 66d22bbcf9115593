//! The frames of one event: each is encoded once for a dialect, and compressed once.

use bytes::Bytes;
use jackfield_wamp::dialect::Dialect;

use crate::session::Session;

/// The frames of one event for the subscribers of one subscription, as far as they are needed.
#[derive(Debug, Default)]
pub(crate) struct EventFrames {
    plain: ByDialect,
    /// Compressed frames; boxed, as few events have any.
    compressed: Option<Box<ByDialect>>,
}

/// By [`Dialect::index`].
type ByDialect = [Option<Bytes>; Dialect::COUNT];

impl EventFrames {
    /// Returns the frame of a dialect, if there is one already.
    pub(crate) fn known(&self, dialect: Dialect) -> Option<Bytes> {
        self.plain.get(dialect.index())?.clone()
    }

    /// Returns the frame of a dialect, which `make` makes if there is none yet.
    pub(crate) fn plain(&mut self, dialect: Dialect, make: impl FnOnce() -> Bytes) -> Bytes {
        match self.plain.get_mut(dialect.index()) {
            Some(frame) => frame.get_or_insert_with(make).clone(),
            None => make(),
        }
    }

    /// Returns the form of a frame that a session takes: the frame itself, which is that of its dialect, or
    /// the result of `compress`, if it has one.
    #[inline]
    pub(crate) fn for_session(
        &mut self,
        session: &Session,
        plain: Bytes,
        compress: fn(&Bytes) -> Option<Bytes>,
    ) -> Bytes {
        if session.takes_compressed() {
            self.compressed(session.dialect, plain, compress)
        } else {
            plain
        }
    }

    fn compressed(
        &mut self,
        dialect: Dialect,
        plain: Bytes,
        compress: fn(&Bytes) -> Option<Bytes>,
    ) -> Bytes {
        let all = self.compressed.get_or_insert_default();
        let Some(compressed) = all.get_mut(dialect.index()) else { return plain };
        // An empty one stands for a frame that is not worth it, so that it is tried once.
        let compressed = compressed.get_or_insert_with(|| compress(&plain).unwrap_or_default());
        if compressed.is_empty() { plain } else { compressed.clone() }
    }

    /// Returns the memory of the frames in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let frames = self.plain.iter().chain(self.compressed.iter().flat_map(|it| it.iter()));
        frames.flatten().map(Bytes::len).sum()
    }
}
