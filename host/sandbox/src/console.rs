//! stdout and stderr of a plugin: a bounded buffer, logged after each call. The host's own streams
//! are not reachable.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Output of a call to one stream.
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
    /// Bytes discarded because the buffer was full.
    lost: usize,
}

/// Bytes kept of one call.
const MAX_BYTES: usize = 64 << 10;
/// Bytes of one write.
const MAX_WRITE_BYTES: usize = 16 << 10;

impl Console {
    /// Takes the text, and the number of discarded bytes.
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
        let room = MAX_BYTES - buffer.bytes.len().min(MAX_BYTES);
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
        // Only later versions of WASI use it, and they are not linked.
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
        Ok(MAX_WRITE_BYTES)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Console {
    async fn ready(&mut self) {}
}
