//! Build context: the parts that all generations of a server share.

use std::sync::Arc;

use jackfield_config::Plugins;
use jackfield_sandbox::{Audience, Sandbox};

/// What generations are made with, the same for all of them.
pub struct BuildContext {
    /// Where plugins run.
    pub sandbox: Sandbox,
    /// What plugins may do.
    pub plugins: Plugins,
    /// What plugins may ask.
    pub audience: Arc<dyn Audience>,
}
