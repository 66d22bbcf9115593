//! Routing files of a site: parses texts into a table of routes, or a list of problems.
//!
//! A routing file (`websocket_routing.yml`) declares channels, the handler of each, and the
//! requirements of its variables. This crate reads those files, follows their imports, and finds
//! the route that takes a topic and the values of its variables. It does no I/O, has no clock, and
//! knows neither WAMP nor plugins. `jackfield-yaml` reads YAML and reports problems with places;
//! the host supplies texts through [`SourceFile`] and [`Files`].
//!
//! ```
//! use jackfield_routing::{NoFiles, SourceFile, load};
//!
//! let file = SourceFile {
//!     path: "acme/websocket_routing.yml".to_owned(),
//!     text: "acme.chat: { channel: 'acme/chat/{room}', handler: acme.chat }".to_owned(),
//! };
//! let table = load(&[file], &NoFiles).map_err(|problems| problems[0].to_string())?;
//! let found = table.find("acme/chat/lobby").ok_or("no route")?;
//! assert_eq!(found.route.handler.callback, "acme.chat");
//! assert_eq!(found.attributes, [("room", "lobby")]);
//! # Ok::<(), String>(())
//! ```
//!
//! In reading order:
//!
//! | module | content |
//! |---|---|
//! | `entry` | one entry of a file, before it is compiled: a draft of a route, or an import |
//! | `history` | the recent events that are kept of each topic |
//! | `schema` | the schemas of payloads, and their bounds |
//! | `slow_subscriber` | the policy for subscribers that do not keep up |
//! | `timer` | the interval and start of a handler's timer hook |
//! | `files` | the files of a site, behind a trait |
//! | `load` | files in order, imports, replacement of routes of the same name |
//! | `channel` | the pattern of a channel, split into text and variables |
//! | `requirement` | the requirement of a variable: a regular expression made safe and linear |
//! | `compile` | the compiler from a draft to a [`Route`] |
//! | `matcher` | one route against one topic |
//! | `index` | the trie that selects candidate routes for a topic |
//! | `table` | the [`RouteTable`]: find, explain |
//! | `generate` | a topic from a route and values |
//! | `lints` | warnings about values that load and probably mean something else |
//! | `parameter` | warnings about parameters of Symfony, which are not resolved |
//! | `reach` | warnings about routes that no topic reaches |

mod allow;
mod channel;
mod compile;
mod entry;
mod explain;
mod files;
mod generate;
mod history;
mod index;
mod lints;
mod load;
mod matcher;
mod parameter;
mod reach;
mod requirement;
mod restriction;
mod route;
mod schema;
mod slow_subscriber;
mod table;
mod timer;

pub use allow::{Action, Allow};
pub use explain::Outcome;
pub use files::{Files, NoFiles};
pub use generate::GenerateError;
pub use history::History;
pub use jackfield_yaml::{Diagnosis, Snippet};
pub use load::{SourceFile, load};
pub use restriction::{Restriction, RestrictionOrigin, restrictions};
pub use route::{Handler, Origin, Part, Route};
pub use schema::{PayloadSchema, RouteSchemas, SchemaViolation};
pub use slow_subscriber::SlowSubscriber;
pub use table::{Match, RouteTable};
pub use timer::{Timer, TimerFrom};
