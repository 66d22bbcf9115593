//! Build context: the parts that all generations of a server share.

use std::sync::Arc;

use jackfield_config::Plugins;
use jackfield_sandbox::{Audience, Sandbox};

/// What generations are made with, the same for all of them.
pub(crate) struct BuildContext {
    /// Where plugins run.
    pub(crate) sandbox: Sandbox,
    /// What plugins may do.
    pub(crate) plugins: Plugins,
    /// What plugins may ask.
    pub(crate) audience: Arc<dyn Audience>,
}
