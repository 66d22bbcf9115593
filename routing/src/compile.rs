//! Compiler from a draft to a [`Route`]: compiles requirements and builds the pattern.
//!
//! `load` calls it for the drafts left after all files are merged.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use jackfield_yaml::{Diagnosis, Place};

use crate::channel::{Channel, Token};
use crate::entry::{Draft, Pattern, no_such_variable};
use crate::files::Files;
use crate::lints;
use crate::matcher::Matcher;
use crate::requirement::{Budget, Requirement, TooLarge};
use crate::route::{Origin, Route};
use crate::schema::SchemaCompiler;
use crate::timer::TimerFrom;

/// Compiler of drafts. Equal requirements are compiled once: sites have many variables and few
/// patterns.
pub(crate) struct Compiler<'a> {
    schemas: SchemaCompiler<'a>,
    written: HashMap<(String, bool), Arc<Requirement>>,
    unwritten: HashMap<Option<char>, Arc<Requirement>>,
    budget: Budget,
    /// Whether the exhausted budget has been reported.
    stopped: bool,
}

impl<'a> Compiler<'a> {
    /// `files` are those of the schemas of payloads.
    pub(crate) fn new(files: &'a dyn Files) -> Self {
        Self {
            schemas: SchemaCompiler::new(files),
            written: HashMap::new(),
            unwritten: HashMap::new(),
            budget: Budget::default(),
            stopped: false,
        }
    }

    /// Compiles a route. Returns `None` after reporting its errors.
    #[expect(clippy::too_many_lines, reason = "one step for each key of a route")]
    pub(crate) fn route(
        &mut self,
        draft: Draft,
        problems: &mut Vec<Diagnosis>,
        warnings: &mut Vec<Diagnosis>,
    ) -> Option<Route> {
        if self.stopped {
            return None;
        }
        let before = problems.len();
        warnings.extend(lints::defaults(&draft));
        let Draft {
            name,
            channel,
            handler,
            settings,
            allow,
            timer,
            lanes,
            slow_subscriber,
            history,
            schema,
            places,
            warnings: own,
        } = draft;
        warnings.extend(own);
        let has_default = |variable: &str| {
            settings.defaults.iter().any(|(name, value)| name == variable && value.is_some())
        };
        let pattern = Channel::new(channel.tokens, has_default);
        let variables: Vec<&str> = pattern.variables().collect();
        let utf8 = settings.options.get("utf8") == Some(&Value::Bool(true));
        let mut requirements = Vec::new();
        let mut compiled = HashMap::new();
        for (variable, written) in settings.requirements {
            if !variables.contains(&variable.as_str()) {
                // The predecessors ignore it, although a misspelt name leaves the variable without
                // a requirement.
                if let Some(place) = written.of_route {
                    let message = format!(
                        "the channel of route `{name}` has no variable `{variable}`: the \
                         requirement is ignored"
                    );
                    let help = no_such_variable(&variable, &variables);
                    warnings.push(place.problem(message).with_help(help));
                }
                continue;
            }
            match self.requirement(&variable, &written, utf8) {
                Ok(requirement) => {
                    warnings.extend(lints::requirement(&variable, &written, &requirement));
                    requirements.push((variable.clone(), requirement.pattern.clone()));
                    compiled.insert(variable, requirement);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if let Some(variable) = variables.first()
            && timer.is_some_and(|timer| timer.from == TimerFrom::Start)
        {
            let message = format!(
                "the timer of route `{name}` runs from the start, for which topics is not known: \
                 its channel has the variable `{variable}`"
            );
            let place = places.timer.as_ref().unwrap_or(&places.name);
            let help = "leave `from` out: each topic has a timer while it has subscribers";
            problems.push(place.problem(message).with_help(help));
        }
        let schemas = schema.map(|schema| {
            self.schemas.route(&name, &schema, &mut self.budget, warnings).inspect_err(|_| {
                self.stopped = self.budget.is_spent();
            })
        });
        let schemas = match schemas.transpose() {
            Ok(schemas) => schemas.unwrap_or_default(),
            Err(problem) => {
                problems.push(problem);
                return None;
            }
        };
        if problems.len() > before {
            return None;
        }
        let of_variables = pattern
            .tokens
            .iter()
            .filter_map(|token| match token {
                Token::Text(_) => None,
                Token::Variable { name, next, .. } => {
                    Some(compiled.remove(name).unwrap_or_else(|| self.unwritten(*next)))
                }
            })
            .collect();
        let matcher = match Matcher::new(&pattern, of_variables, &mut self.budget) {
            Ok(matcher) => matcher,
            Err(error) => {
                self.stopped = error == TooLarge::Together;
                let message = error.message(&format!("the channel of route `{name}`"));
                problems.push(places.channel.problem(message).with_help(error.help()));
                return None;
            }
        };
        let (line, column) = places.name.position();
        let origin = Origin { path: places.name.source.path.clone(), line, column };
        Some(Route {
            name,
            channel: channel.text,
            handler,
            requirements,
            defaults: settings.defaults,
            options: settings.options,
            allow,
            timer,
            lanes,
            slow_subscriber,
            history,
            schemas,
            origin,
            pattern,
            matcher,
            places,
        })
    }

    fn requirement(
        &mut self,
        variable: &str,
        written: &Pattern,
        utf8: bool,
    ) -> Result<Arc<Requirement>, Diagnosis> {
        let mut pattern = written.text.clone();
        if written.wildcard {
            pattern.push_str("|\\*");
        }
        if let Some(known) = self.written.get(&(pattern.clone(), utf8)) {
            return Ok(Arc::clone(known));
        }
        // Checked without `|\*`, so that messages quote the file.
        let checked = Requirement::new(&written.text, utf8, &mut self.budget);
        let requirement = checked
            .and_then(|plain| {
                if written.wildcard {
                    Requirement::new(&pattern, utf8, &mut self.budget)
                } else {
                    Ok(plain)
                }
            })
            .map_err(|fault| {
                self.stopped = self.budget.is_spent();
                let place = match written.text_start {
                    Some(start) => {
                        let end = start + fault.range.end.min(written.text.len());
                        let range = start + fault.range.start.min(written.text.len())..end;
                        Place::new(&written.place.source, range)
                    }
                    None => written.place.clone(),
                };
                let message = format!("in the requirement of `{variable}`, {}", fault.message);
                place.problem(message).with_help(fault.help)
            })?;
        let requirement = Arc::new(requirement);
        self.written.insert((pattern, utf8), Arc::clone(&requirement));
        Ok(requirement)
    }

    fn unwritten(&mut self, next: Option<char>) -> Arc<Requirement> {
        let made =
            self.unwritten.entry(next).or_insert_with(|| Arc::new(Requirement::unwritten(next)));
        Arc::clone(made)
    }
}
