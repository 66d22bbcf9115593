//! The part of a route that a plugin gets in `configure`, and the routes of a started plugin.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::request::RouteId;

/// A route to one of a plugin's handlers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RouteConfig {
    /// The handler's name.
    pub handler: String,
    /// The route's name.
    pub name: String,
    /// The channel pattern.
    pub channel: String,
    /// `handler.args`: the text of a JSON value, `null` when absent.
    pub args: String,
}

/// The routes of a started plugin, by number.
#[derive(Debug)]
pub(crate) struct Routes {
    routes: Vec<RouteConfig>,
    ids: HashMap<String, RouteId>,
}

impl Routes {
    pub(crate) fn new(routes: &[RouteConfig]) -> Self {
        let routes = routes.to_vec();
        let ids = Self::numbered(&routes).map(|(id, route)| (route.name.clone(), id)).collect();
        Self { routes, ids }
    }

    /// The number of the route with this name.
    pub(crate) fn id(&self, name: &str) -> Option<RouteId> {
        self.ids.get(name).copied()
    }

    /// Every route, in the order of the numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RouteId, &RouteConfig)> {
        Self::numbered(&self.routes)
    }

    fn numbered(routes: &[RouteConfig]) -> impl Iterator<Item = (RouteId, &RouteConfig)> {
        let numbered = routes.iter().enumerate();
        numbered.filter_map(|(position, route)| Some((RouteId::new(position)?, route)))
    }
}
