//! Results of taking a store over from another node of a cluster.

/// A store that was taken over.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// The number of its entries.
    pub entries: usize,
    /// The size of their keys and values, in bytes.
    pub bytes: usize,
}

/// A store cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    /// The other copies have more by now.
    #[error("another node has written to the store meanwhile")]
    Behind,
    /// It is in memory.
    #[error("the store is not saved")]
    NotSaved,
    /// A copy cannot be read or written.
    #[error("{0}")]
    Failed(String),
}
