//! The part of a route that a plugin gets in `configure`.

/// A route to one of a plugin's handlers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
