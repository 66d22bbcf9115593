//! YAML with places, for configured files: parsing, deserialization, and errors that name the
//! place.
//!
//! Routing files, settings and files of users are read with this crate, and report errors in one
//! form, `path:LINE:COLUMN: error: …`. It knows none of their keys, does no I/O and has no clock.
//!
//! In reading order:
//!
//! | module | content |
//! |---|---|
//! | [`diagnosis`] | a problem with its place, and its rendering |
//! | [`node`] | one value of a document, with its place |
//! | [`mod@document`] | the parser from text to a tree of nodes |
//! | [`value`] | a tree of values from a file, a variable or a flag |
//! | [`de`] | the serde deserializer over such a tree |
//! | [`error`] | an error of a value, before it is rendered as a diagnosis |
//! | [`duration`], [`byte_size`] | the two types with units |
//! | [`suggest`] | "did you mean" for misspelt keys |

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
