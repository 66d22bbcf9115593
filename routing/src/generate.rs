//! URL generation: makes a topic from a route and values, the reverse of matching.

use thiserror::Error;

use crate::channel::Token;
use crate::route::Route;

/// A topic cannot be generated. Completes "failed to generate a topic: ".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GenerateError {
    /// A variable has neither a value nor a default.
    #[error("route `{route}` needs a value for `{variable}` of channel `{channel}`")]
    Missing {
        /// The route's name.
        route: String,
        /// The route's channel.
        channel: String,
        /// The variable's name.
        variable: String,
    },
    /// A value does not match the variable's requirement, so that the topic would not match the
    /// route.
    #[error("route `{route}` wants `{variable}` to match `{pattern}`, and `{value}` does not")]
    Mismatch {
        /// The route's name.
        route: String,
        /// The variable's name.
        variable: String,
        /// The variable's requirement.
        pattern: String,
        /// The value given.
        value: String,
    },
}

impl Route {
    /// Generates the topic of the route for values of its variables.
    ///
    /// Trailing optional variables are left out where their value is the default. Values of unknown
    /// names are ignored, so that the attributes of a match can be passed. Unlike in the
    /// predecessors, values are compared case-sensitively, as in matching.
    pub fn generate(&self, params: &[(&str, &str)]) -> Result<String, GenerateError> {
        let mut pieces: Vec<String> = Vec::new();
        let mut may_end_here = true;
        let mut requirements = self.matcher.requirements.iter().rev();
        for token in self.pattern.tokens.iter().rev() {
            match token {
                Token::Text(text) => {
                    may_end_here = false;
                    pieces.push(text.clone());
                }
                Token::Variable { separator, name, .. } => {
                    let requirement = requirements.next();
                    let default = self.defaults.iter().find(|(of, _)| of == name);
                    let given = params.iter().find(|(of, _)| of == name).map(|(_, value)| *value);
                    let default_value = default.and_then(|(_, value)| value.as_deref());
                    if may_end_here
                        && default_value.is_some()
                        && (given.is_none() || given == default_value)
                    {
                        continue;
                    }
                    let Some(value) = given.or(default_value) else {
                        return Err(GenerateError::Missing {
                            route: self.name.clone(),
                            channel: self.channel.clone(),
                            variable: name.clone(),
                        });
                    };
                    if let Some(requirement) =
                        requirement.filter(|requirement| !requirement.check.holds(value))
                    {
                        return Err(GenerateError::Mismatch {
                            route: self.name.clone(),
                            variable: name.clone(),
                            pattern: requirement.pattern.clone(),
                            value: value.to_owned(),
                        });
                    }
                    may_end_here = false;
                    pieces.push(format!(
                        "{}{value}",
                        separator.map(String::from).unwrap_or_default()
                    ));
                }
            }
        }
        // The separator before a channel that is all optional stays.
        if pieces.is_empty()
            && let Some(Token::Variable { separator: Some(separator), .. }) =
                self.pattern.tokens.first()
        {
            pieces.push(separator.to_string());
        }
        Ok(pieces.into_iter().rev().collect())
    }
}
