//! A compiled route, as the host and `jackfield routes` read it. `compile` makes it; `matcher`
//! matches it.

use std::num::NonZeroU16;

use serde_json::{Map, Value};

use jackfield_yaml::{Diagnosis, Place};

use crate::allow::Allow;
use crate::channel::Channel;
use crate::matcher::Matcher;
use crate::timer::Timer;

/// One entry of a routing file, compiled.
#[derive(Debug, Clone)]
pub struct Route {
    /// Unique in the table.
    pub name: String,
    /// The pattern, `oro/email_event/{user_id}/{organization_id}`; requirements and defaults that
    /// were written inside the braces are taken out.
    pub channel: String,
    /// The handler.
    pub handler: Handler,
    /// Requirements by variable, as regular expressions that cover the whole value, in file order.
    /// A variable without one takes any text without a separator.
    pub requirements: Vec<(String, String)>,
    /// Defaults of attributes, in file order. One without a value counts for nothing: its variable
    /// stays required.
    pub defaults: Vec<(String, Option<String>)>,
    /// Free-form settings, unchanged.
    pub options: Map<String, Value>,
    /// Access lists.
    pub allow: Allow,
    /// The timer; none leaves it to the handler.
    pub timer: Option<Timer>,
    /// Number of plugin instances that serve the route's topics.
    pub lanes: NonZeroU16,
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
    }
}

/// The handler of a route.
#[derive(Debug, Clone, PartialEq)]
pub struct Handler {
    /// The handler's name.
    pub callback: String,
    /// Arguments from the routing file; `null` if none.
    pub args: Value,
}

/// The place of a route's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file, as its `SourceFile` or `Files` named it.
    pub path: String,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
}

/// A part of a route that a [`Diagnosis`] can point at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The route's name.
    Name,
    /// The value of `channel` or `pattern`.
    Channel,
    /// The handler's name.
    Callback,
    /// The value of `handler.args`; the handler's name where there is none.
    Args,
    /// The value of `allow`; the route's name where there is none.
    Allow,
    /// The value of `timer`; the route's name where there is none.
    Timer,
    /// The value of `lanes`; the route's name where there is none.
    Lanes,
}

/// The place of each part of a route.
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
    /// A diagnosis by the caller ("no plugin offers handler `x`"), shown at its place in the file.
    pub fn diagnose(&self, part: Part, message: impl Into<String>) -> Diagnosis {
        self.places.of(part).problem(message)
    }

    /// The names of the variables, in the order of the channel.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.pattern.variables()
    }

    /// Whether this one route's pattern takes the topic, whatever other routes there are.
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
