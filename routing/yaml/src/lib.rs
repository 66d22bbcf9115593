//! Files that people write: YAML with places, and errors that name the place.
//!
//! The ground floor below routing files, settings and files of users: all three are read here, and
//! report errors in one form, `path:LINE:COLUMN: error: …`. This crate knows none of their keys, does
//! no I/O and has no clock.
//!
//! In reading order:
//!
//! | module | its one thing |
//! |---|---|
//! | [`diagnosis`] | a problem with its place, and how it is shown |
//! | [`node`] | one value of a document, with its place |
//! | [`mod@document`] | a text becomes a tree of nodes |
//! | [`value`] | a tree whose values come from a file, or from a variable or flag |
//! | [`de`] | reads such a tree with serde |
//! | [`error`] | what is wrong with a value, before it is rendered as a diagnosis |
//! | [`duration`], [`byte_size`] | two units that operators write |
//! | [`suggest`] | the key that a misspelt one means |

#![forbid(unsafe_code)]

pub mod byte_size;
pub mod de;
pub mod diagnosis;
pub mod document;
pub mod duration;
pub mod error;
pub mod node;
pub mod suggest;
pub mod value;

pub use byte_size::ByteSize;
pub use de::Reader;
pub use diagnosis::{Diagnosis, Place, Snippet, Source};
pub use document::document;
pub use duration::{Duration, NonZeroDuration};
pub use error::{Message, ValueError};
pub use node::{Node, NodeKind};
pub use value::{Entry, Kind, Origin, Path, Step, Value};
