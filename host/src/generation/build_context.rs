//! Build context: the parts that all generations of a server share.

use std::sync::Arc;

use jackfield_config::Plugins;
use jackfield_sandbox::{Audience, Sandbox};

use crate::signatures::HighestNumbers;

/// The parts with which all generations are built.
pub(crate) struct BuildContext {
    /// The sandbox in which plugins run.
    pub(crate) sandbox: Sandbox,
    /// The settings of plugins.
    pub(crate) plugins: Plugins,
    /// The subscribers that plugins may query.
    pub(crate) audience: Arc<dyn Audience>,
    /// The releases of signed plugins so far, where downgrades are refused.
    pub(crate) highest: Option<Arc<HighestNumbers>>,
}
