//! Entry functions of the fuzz targets: each takes bytes of a stranger, and panics if an invariant
//! does not hold. libFuzzer runs them with `make fuzz`; `tests/corpus.rs` runs them over the corpus
//! and over random changes of it with every `make test`.
//!
//! | module | input |
//! |---|---|
//! | `codecs` | messages of WAMP: version 1, and version 2 in each codec |
//! | `frames` | bytes of a WebSocket and of a RawSocket |
//! | `routes` | routing files with schemas, and payloads |
//! | `peers` | messages between nodes of a cluster |
//! | `histories` | files with histories |
//! | `sessions` | messages of several sessions, one after the other |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "an invariant that does not hold has to stop the run"
)]

mod codecs;
mod frames;
mod histories;
mod history_bytes;
mod input;
mod peers;
mod routes;
mod sessions;

pub use codecs::{v1_json, v2_cbor, v2_json, v2_message_pack};
pub use frames::{raw_socket, web_socket};
pub use histories::histories;
pub use peers::peers;
pub use routes::routes;
pub use sessions::sessions;

/// A target: the name of its corpus, and its entry function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 10] = [
    ("v1_json", v1_json),
    ("v2_json", v2_json),
    ("v2_message_pack", v2_message_pack),
    ("v2_cbor", v2_cbor),
    ("web_socket", web_socket),
    ("raw_socket", raw_socket),
    ("routes", routes),
    ("peers", peers),
    ("histories", histories),
    ("sessions", sessions),
];
