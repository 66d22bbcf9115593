//! Where a plugin's stdout and stderr go: into a bounded buffer, from which the lines are taken
//! into the log when the call is over. Nothing of the host's own streams is reachable.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// What was written to one of the two streams during a call.
///
/// A std mutex: the stream writes and the host reads, never at the same time, and nothing is
/// awaited while it is held.
#[derive(Debug, Clone, Default)]
pub(crate) struct Console {
    buffer: Arc<Mutex<Buffer>>,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Bytes that came when the buffer was full.
    lost: usize,
}

/// Bytes of one call that are kept; the rest is counted.
const CAPACITY: usize = 64 << 10;
/// Bytes that a guest may write at once.
const PERMIT: usize = 16 << 10;

impl Console {
    /// Takes out what was written: the text, and how many bytes were lost after it.
    pub(crate) fn take(&self) -> Option<(String, usize)> {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.bytes.is_empty() {
            return None;
        }
        let Buffer { bytes, lost } = std::mem::take(&mut *buffer);
        Some((String::from_utf8_lossy(&bytes).into_owned(), lost))
    }

    fn write(&self, bytes: &[u8]) {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let room = CAPACITY - buffer.bytes.len().min(CAPACITY);
        let (kept, lost) = bytes.split_at(room.min(bytes.len()));
        buffer.bytes.extend_from_slice(kept);
        buffer.lost += lost.len();
    }
}

impl IsTerminal for Console {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Console {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only later versions of WASI ask for this kind, and those are not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Console {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        Console::write(self, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Console {
    async fn ready(&mut self) {}
}
