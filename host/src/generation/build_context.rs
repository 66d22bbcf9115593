//! Build context: the parts that all generations of a server share.

use std::sync::Arc;

use arc_swap::ArcSwap;
use jackfield_config::Plugins;
use jackfield_sandbox::{Audience, Sandbox};

use super::durable::DurableHistories;
use super::route_access::RouteAccess;
use crate::signatures::HighestNumbers;

/// The parts with which all generations are built.
pub(crate) struct BuildContext {
    /// The sandbox in which plugins run.
    pub(crate) sandbox: Sandbox,
    /// The access by the settings, which changes with them.
    pub(crate) access: ArcSwap<RouteAccess>,
    /// The settings of plugins, which change with the others.
    pub(crate) plugins: ArcSwap<Plugins>,
    /// The subscribers that plugins may query.
    pub(crate) audience: Arc<dyn Audience>,
    /// The releases of signed plugins so far, where downgrades are refused.
    pub(crate) highest: Option<Arc<HighestNumbers>>,
    /// Whether the histories of topics can be saved.
    pub(crate) durable: DurableHistories,
}
