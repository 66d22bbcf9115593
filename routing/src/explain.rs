//! Explanation of a match: the reason why each route takes a topic or not, printed by `jackfield
//! match`.

use crate::matcher::{Segment, Shape};
use crate::route::Route;

/// Result of matching one route against a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// The route takes the topic, with these attributes.
    Matched {
        /// As in [`crate::Match`].
        attributes: Vec<(&'a str, &'a str)>,
    },
    /// The route would take the topic, but another one does.
    Shadowed {
        /// The name of the route that takes it.
        by: &'a str,
    },
    /// The route does not match.
    Unmatched {
        /// The reason, such as "segment 3 `5x` does not match `\d+` of {user_id}".
        reason: String,
    },
}

/// Explains each route. `winner` is the position of the route that takes the topic.
pub(crate) fn explain<'a>(
    routes: &'a [Route],
    winner: Option<usize>,
    topic: &'a str,
) -> Vec<(&'a Route, Outcome<'a>)> {
    let taken_by = winner.and_then(|winner| routes.get(winner));
    routes
        .iter()
        .enumerate()
        .map(|(number, route)| {
            let outcome = match (route.attributes(topic), taken_by) {
                (Some(attributes), _) if Some(number) == winner => Outcome::Matched { attributes },
                (Some(_), Some(other)) => Outcome::Shadowed { by: &other.name },
                (Some(_) | None, _) => Outcome::Unmatched { reason: reason(route, topic) },
            };
            (route, outcome)
        })
        .collect()
}

fn reason(route: &Route, topic: &str) -> String {
    match &route.matcher.shape {
        Shape::Literal(text) => {
            if text.eq_ignore_ascii_case(topic) {
                "the letters' case differs".to_owned()
            } else if topic.strip_suffix('/') == Some(text) {
                "a channel without variables tolerates no `/` at the end".to_owned()
            } else {
                "the literal text differs".to_owned()
            }
        }
        Shape::Segments { segments, required } => {
            let topic = route.matcher.without_slash(topic).unwrap_or(topic);
            let mut variables = route.variables();
            let mut values = topic.split('/');
            for (segment, number) in segments.iter().zip(1..) {
                let variable = match segment {
                    Segment::Text(_) => None,
                    Segment::Variable(_) => variables.next(),
                };
                let Some(value) = values.next() else { break };
                match segment {
                    Segment::Text(text) if text != value => {
                        return format!("segment {number} is `{value}`, not `{text}`");
                    }
                    Segment::Variable(requirement) if !requirement.check.holds(value) => {
                        let name = variable.unwrap_or_default();
                        let pattern = &requirement.pattern;
                        return format!(
                            "segment {number} `{value}` does not match `{pattern}` of {{{name}}}"
                        );
                    }
                    Segment::Text(_) | Segment::Variable(_) => {}
                }
            }
            let count = topic.split('/').count();
            let most = segments.len();
            let wanted =
                if *required == most { format!("{most}") } else { format!("{required} to {most}") };
            format!("the topic has {count} segments, the channel {wanted}")
        }
        Shape::Regex(_) => {
            let requirements: Vec<String> = route
                .variables()
                .zip(&route.matcher.requirements)
                .map(|(name, requirement)| format!("{{{name}}} = `{}`", requirement.pattern))
                .collect();
            let (channel, with) = (&route.channel, requirements.join(", "));
            format!("the text does not fit `{channel}` with {with}")
        }
    }
}
