//! Compiled route, as used by the host and `jackfield routes`. `compile` builds it; `matcher`
//! matches it.

use std::num::NonZeroU16;

use serde_json::{Map, Value};

use jackfield_yaml::{Diagnosis, Place};

use crate::allow::Allow;
use crate::channel::Channel;
use crate::history::History;
use crate::matcher::Matcher;
use crate::schema::RouteSchemas;
use crate::slow_subscriber::SlowSubscriber;
use crate::timer::Timer;

/// Compiled entry of a routing file.
#[derive(Debug, Clone)]
pub struct Route {
    /// The name, unique in the table.
    pub name: String,
    /// The pattern, `oro/email_event/{user_id}/{organization_id}`, without inline requirements and
    /// defaults.
    pub channel: String,
    /// The handler.
    pub handler: Handler,
    /// Requirements by variable, as regular expressions that cover the whole value, in file order.
    /// A variable without a requirement matches one or more characters without a separator.
    pub requirements: Vec<(String, String)>,
    /// Defaults of attributes, in file order. A default without a value has no effect: its variable
    /// stays required.
    pub defaults: Vec<(String, Option<String>)>,
    /// Free-form settings, unchanged.
    pub options: Map<String, Value>,
    /// Access lists.
    pub allow: Allow,
    /// The timer; `None` leaves it to the handler.
    pub timer: Option<Timer>,
    /// Number of plugin instances that serve the route's topics.
    pub lanes: NonZeroU16,
    /// The policy for subscribers that do not keep up; `None` is the one of the settings.
    pub slow_subscriber: Option<SlowSubscriber>,
    /// The recent events that are kept of each topic, if any.
    pub history: Option<History>,
    /// The schemas of the payloads of publications and calls.
    pub schemas: RouteSchemas,
    /// The route's place in its file.
    pub origin: Origin,
    pub(crate) pattern: Channel,
    pub(crate) matcher: Matcher,
    pub(crate) places: Places,
}

/// Routes are equal regardless of their place.
impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        let Self { name, channel, handler, requirements, defaults, options, allow, .. } = self;
        *name == other.name
            && *channel == other.channel
            && *handler == other.handler
            && *requirements == other.requirements
            && *defaults == other.defaults
            && *options == other.options
            && *allow == other.allow
            && (self.timer, self.lanes) == (other.timer, other.lanes)
            && (self.slow_subscriber, self.history) == (other.slow_subscriber, other.history)
            && self.schemas == other.schemas
    }
}

/// Handler of a route.
#[derive(Debug, Clone, PartialEq)]
pub struct Handler {
    /// The handler's name.
    pub callback: String,
    /// Arguments from the routing file; `null` if none.
    pub args: Value,
}

/// Place of a route's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file, under the name in its `SourceFile` or `Files`.
    pub path: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

/// Part of a route that a [`Diagnosis`] can point at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The route's name.
    Name,
    /// The value of `channel` or `pattern`.
    Channel,
    /// The handler's name.
    Callback,
    /// The value of `handler.args`; the handler's name if there is none.
    Args,
    /// The value of `allow`; the route's name if there is none.
    Allow,
    /// The value of `timer`; the route's name if there is none.
    Timer,
    /// The value of `lanes`; the route's name if there is none.
    Lanes,
}

/// Place of each part of a route.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) name: Place,
    pub(crate) channel: Place,
    pub(crate) callback: Place,
    pub(crate) args: Option<Place>,
    pub(crate) allow: Option<Place>,
    pub(crate) timer: Option<Place>,
    pub(crate) lanes: Option<Place>,
}

impl Route {
    /// Creates a diagnosis of the caller's ("no plugin offers handler `x`") at the part's place in
    /// the file.
    pub fn diagnose(&self, part: Part, message: impl Into<String>) -> Diagnosis {
        self.places.of(part).problem(message)
    }

    /// Returns the names of the variables, in the order of the channel.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.pattern.variables()
    }

    /// Returns whether this route's pattern matches the topic, regardless of other routes.
    pub fn matches(&self, topic: &str) -> bool {
        self.matcher.matches(topic)
    }
}

impl Places {
    fn of(&self, part: Part) -> &Place {
        match part {
            Part::Name => &self.name,
            Part::Channel => &self.channel,
            Part::Callback => &self.callback,
            Part::Args => self.args.as_ref().unwrap_or(&self.callback),
            Part::Allow => self.allow.as_ref().unwrap_or(&self.name),
            Part::Timer => self.timer.as_ref().unwrap_or(&self.name),
            Part::Lanes => self.lanes.as_ref().unwrap_or(&self.name),
        }
    }
}
