//! Reachability: warns about routes that no topic reaches, because an earlier route takes all their
//! topics.
//!
//! One example topic of each route is looked up. If an earlier route takes it, and covers every
//! topic of this route, the route is dead. Coverage is decided for simple cases only (equal text,
//! wider character sets, a trailing `.+`); otherwise there is no warning.

use jackfield_yaml::Diagnosis;

use crate::channel::Token;
use crate::matcher::{Segment, Shape};
use crate::route::Route;

/// Returns a warning for each unreachable route. `find` returns the position of the route that
/// takes a topic.
pub(crate) fn unreachable(
    routes: &[Route],
    find: impl Fn(&str) -> Option<usize>,
) -> Vec<Diagnosis> {
    let dead = routes.iter().enumerate().filter_map(|(number, route)| {
        let taken_by = find(&route.example()?)?;
        let earlier = routes.get(taken_by).filter(|_| taken_by < number)?;
        covers(earlier, route).then(|| warning(route, earlier))
    });
    dead.collect()
}

fn warning(route: &Route, earlier: &Route) -> Diagnosis {
    let (name, by, origin) = (&route.name, &earlier.name, &earlier.origin);
    let message = format!(
        "no topic reaches route `{name}`: route `{by}` ({}:{}) takes them all, `{}`",
        origin.path, origin.line, earlier.channel
    );
    let help = format!("put `{name}` before `{by}`, or remove one of them");
    route.places.name.problem(message).with_help(help)
}

impl Route {
    /// Returns an example topic of the route; `None` if no value of a requirement is easily found.
    pub fn example(&self) -> Option<String> {
        let mut topic = String::new();
        let mut requirements = self.matcher.requirements.iter();
        for token in &self.pattern.tokens {
            match token {
                Token::Text(text) => topic.push_str(text),
                Token::Variable { separator, .. } => {
                    topic.extend(*separator);
                    topic.push_str(&requirements.next()?.sample()?);
                }
            }
        }
        self.matches(&topic).then_some(topic)
    }

    /// Returns the common prefix of all topics of the route.
    fn prefix(&self) -> String {
        let mut prefix = String::new();
        for (at, token) in self.pattern.tokens.iter().enumerate() {
            match token {
                Token::Text(text) => prefix.push_str(text),
                Token::Variable { separator, .. } => {
                    prefix.extend(separator.filter(|_| at < self.pattern.first_optional));
                    break;
                }
            }
        }
        prefix
    }

    /// Returns whether every topic is longer than the common prefix.
    fn has_more_than_its_prefix(&self) -> bool {
        let is_variable = |token: &Token| matches!(token, Token::Variable { .. });
        let first = self.pattern.tokens.iter().position(is_variable);
        first.is_some_and(|first| first < self.pattern.first_optional)
            && self.matcher.requirements.first().is_some_and(|first| first.shortest() > 0)
    }
}

/// Returns whether `wide` certainly takes every topic of `narrow`.
fn covers(wide: &Route, narrow: &Route) -> bool {
    if let Shape::Literal(topic) = &narrow.matcher.shape {
        return wide.matches(topic);
    }
    let segments = match (&wide.matcher.shape, &narrow.matcher.shape) {
        (
            Shape::Segments { segments, required },
            Shape::Segments { segments: narrow, required: needed },
        ) => {
            required <= needed
                && narrow.len() <= segments.len()
                && segments.iter().zip(narrow).all(|(wide, narrow)| wide.covers(narrow))
        }
        _ => false,
    };
    segments || takes_everything_below(wide, narrow)
}

/// Returns whether `wide` is a prefix followed by any text, and `narrow` begins with that prefix.
fn takes_everything_below(wide: &Route, narrow: &Route) -> bool {
    let [requirement] = wide.matcher.requirements.as_slice() else { return false };
    let ends_in_variable = matches!(wide.pattern.tokens.last(), Some(Token::Variable { .. }));
    if !ends_in_variable || !requirement.is_anything() || wide.pattern.first_optional == 0 {
        return false;
    }
    let (open, prefix) = (wide.prefix(), narrow.prefix());
    let Some(rest) = prefix.strip_prefix(&open) else { return false };
    !rest.is_empty() || requirement.shortest() == 0 || narrow.has_more_than_its_prefix()
}

impl Segment {
    fn covers(&self, narrow: &Self) -> bool {
        match (self, narrow) {
            (Self::Text(text), Self::Text(other)) => text == other,
            (Self::Variable(requirement), Self::Text(text)) => requirement.check.holds(text),
            (Self::Variable(wide), Self::Variable(narrow)) => wide.covers(narrow),
            (Self::Text(_), Self::Variable(_)) => false,
        }
    }
}
