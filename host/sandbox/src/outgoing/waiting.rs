//! Callers that wait for a deferred result.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::sync::oneshot;

use crate::refusal::CallResult;

/// The deferred calls of one plugin, by number. A std mutex, held for one operation on the map.
#[derive(Debug, Default)]
pub(crate) struct Waiting(pub(super) Mutex<HashMap<u64, oneshot::Sender<CallResult>>>);
