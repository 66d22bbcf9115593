//! One route, ready to be matched: what the host and `jackfield routes` read.
//!
//! `compile` makes it; `matcher` holds how it is matched.

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
    /// What serves the route's topics.
    pub handler: Handler,
    /// What each variable may hold, as a regular expression that covers the whole value; in the
    /// order of the file. A variable that is not listed takes any text without a separator.
    pub requirements: Vec<(String, String)>,
    /// Attributes that a topic has even if its text does not carry them, in the order of the file.
    /// One without a value counts for nothing: its variable stays required.
    pub defaults: Vec<(String, Option<String>)>,
    /// Free-form settings, kept as they were written.
    pub options: Map<String, Value>,
    /// Who may do what.
    pub allow: Allow,
    /// When the handler's timer hook runs; none where that is the handler's own affair.
    pub timer: Option<Timer>,
    /// Over how many instances of the plugin the route's topics are spread.
    pub lanes: NonZeroU16,
    /// Where the route is written.
    pub origin: Origin,
    pub(crate) pattern: Channel,
    pub(crate) matcher: Matcher,
    pub(crate) places: Places,
}

/// Routes that say the same are the same, wherever they are written.
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

/// What a route's topics are served by.
#[derive(Debug, Clone, PartialEq)]
pub struct Handler {
    /// The name that a plugin offers.
    pub callback: String,
    /// What the routing file hands to the handler; `null` where it says nothing.
    pub args: Value,
}

/// Where a route is written: the place of its name.
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
    /// Its name.
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

/// Where each part of a route is written.
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
    /// A problem that only the caller can know ("no plugin offers handler `x`"), shown at its
    /// place in the file.
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
