//! Durable histories: whether routes may have them.

use jackfield_config::Config;
use jackfield_routing::{Part, RouteTable};

use super::Generation;
use super::problem::Problem;

/// Whether the histories of topics can be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DurableHistories {
    /// They can, or the routes are not to be served.
    Possible,
    /// There is no data folder.
    WithoutData,
    /// The server is a node of a cluster: events of other nodes would be missing in the file.
    InCluster,
}

impl DurableHistories {
    /// Returns whether a server with these settings can save histories.
    pub(crate) fn of(config: &Config, has_data: bool) -> Self {
        if !config.cluster.urls.is_empty() {
            Self::InCluster
        } else if has_data {
            Self::Possible
        } else {
            Self::WithoutData
        }
    }

    /// Returns the problem of the first route that cannot be served.
    pub(super) fn problem(self, routes: &RouteTable) -> Option<Problem> {
        let (why, help) = match self {
            Self::Possible => return None,
            Self::WithoutData => (
                "needs a data folder, and there is none",
                "set `data` to a folder in jackfield.yml, or remove `durable`",
            ),
            Self::InCluster => (
                "is not possible in a cluster",
                "remove `durable`, or serve these topics by a server without `cluster`",
            ),
        };
        let route = routes.routes().iter().find(|it| it.history.is_some_and(|it| it.durable))?;
        let message = format!("`durable` of `history` of the route `{}` {why}", route.name);
        Some(route.diagnose(Part::Name, message).with_help(help).into())
    }
}

impl Generation {
    /// Returns whether a route has a durable history.
    pub(crate) fn has_durable(&self) -> bool {
        self.routes.has_durable()
    }
}
