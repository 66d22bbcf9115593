//! Readers of the keys that the predecessors have: channel, handler, requirements, defaults,
//! options.

use jackfield_yaml::{Node, NodeKind, Place, suggest};
use serde_json::Value;

use super::{OUR_KEYS, Pattern, Reader, Settings, get, put_all, set};
use crate::channel::{self, DefaultValue, Written};
use crate::parameter::unresolved;
use crate::requirement::strip_anchors;
use crate::route::Handler;

impl Reader<'_> {
    pub(super) fn channel(&mut self, node: &Node) -> Option<Written> {
        let text = self.spelt(node, "the channel")?;
        match channel::parse(&text) {
            Ok(written) => {
                for oddity in &written.oddities {
                    let place = node.place_within(self.source, oddity.range.clone());
                    let warning = place.problem(oddity.message.clone());
                    self.warnings.push(warning.with_help(oddity.help.clone()));
                }
                self.parameters("the channel", &text, node);
                Some(written)
            }
            Err(faults) => {
                for fault in faults {
                    let place = node.place_within(self.source, fault.range);
                    self.problems.push(place.problem(fault.message).with_help(fault.help));
                }
                None
            }
        }
    }

    /// Reads the handler. Also returns the place of its name, and that of its arguments.
    pub(super) fn handler(&mut self, node: &Node) -> Option<(Handler, Place, Option<Place>)> {
        match &node.kind {
            NodeKind::Text(_) | NodeKind::Number(..) => {
                let callback = self.callback(node)?;
                let handler = Handler { callback, args: Value::Null };
                Some((handler, node.place(self.source), None))
            }
            NodeKind::Map(entries) => {
                self.keys_of_handler(entries);
                let Some((_, name)) = get(entries, "callback") else {
                    let message = format!("the handler of {} has no `callback`", self.subject);
                    self.tell(
                        node,
                        message,
                        "add the name that a plugin offers: `callback: 'acme.chat'`",
                    );
                    return None;
                };
                let callback = self.callback(name)?;
                let args = get(entries, "args").map(|(_, args)| args);
                let handler = Handler { callback, args: args.map_or(Value::Null, Node::to_json) };
                let args = args.map(|args| args.place(self.source));
                Some((handler, name.place(self.source), args))
            }
            NodeKind::List(_) => self.several_handlers(node),
            NodeKind::Null | NodeKind::Bool(_) => {
                let message =
                    format!("a handler is a name or a map, but this is {}", node.describe());
                self.tell(node, message, "write the name that a plugin offers, in quotes");
                None
            }
        }
    }

    fn callback(&mut self, node: &Node) -> Option<String> {
        if matches!(node.kind, NodeKind::List(_)) {
            return self.several_handlers(node);
        }
        let name = self.spelt(node, "`callback`")?;
        if name.is_empty() {
            self.tell(node, "the handler's name is empty", "write the name that a plugin offers");
            return None;
        }
        self.parameters("the handler's name", &name, node);
        Some(name)
    }

    /// Checks the keys of a handler map. The predecessors take the callback and ignore the rest.
    /// Our own keys, such as access lists, are errors there, because they would have no effect.
    fn keys_of_handler(&mut self, entries: &[(Node, Node)]) {
        const THEIRS: [&str; 3] = ["requirements", "defaults", "options"];
        let help = "move it out of `handler`, so that it stands beside it";
        for (key, _) in entries {
            let name = key.spelling();
            if OUR_KEYS.contains(&name.as_str()) {
                let message = format!("`{name}` of {} stands within `handler`", self.subject);
                self.tell(key, message, help);
            } else if THEIRS.contains(&name.as_str()) {
                let message = format!("`{name}` within `handler` of {} is ignored", self.subject);
                self.warn(key, message, help);
            }
        }
        let known: Vec<&str> =
            ["callback", "args"].into_iter().chain(OUR_KEYS).chain(THEIRS).collect();
        let rest = entries.iter().filter(|(key, _)| !known.contains(&&*key.spelling()));
        self.ignored_keys(rest, "`handler`", &["callback", "args"]);
    }

    fn several_handlers<T>(&mut self, node: &Node) -> Option<T> {
        let message = format!("{} lists several handlers; a route has one", self.subject);
        self.tell(node, message, "keep one name; a handler that needs another's work can publish to a topic of that other's route");
        None
    }

    /// Reads the keys that routes and imports share.
    pub(super) fn settings(&mut self, entries: &[(Node, Node)], of_route: bool) -> Settings {
        let mut settings = Settings::default();
        for (key, value) in self.section(entries, "requirements") {
            if let Some(name) = self.variable_name(key)
                && let Some(mut pattern) = self.requirement(name, value)
            {
                pattern.of_route = of_route.then(|| key.place(self.source));
                settings.requirements.push((name.to_owned(), pattern));
            }
        }
        for (key, value) in self.section(entries, "defaults") {
            let Some(name) = key.name() else {
                self.no_variable_name(key);
                continue;
            };
            let default = self.default_value(&name, value);
            settings.defaults.push((name, default));
        }
        for (key, value) in self.section(entries, "options") {
            settings.options.insert(key.spelling(), value.to_json());
        }
        let utf8 = get(entries, "options").and_then(|(_, options)| match &options.kind {
            NodeKind::Map(options) => set(options, "utf8"),
            _ => None,
        });
        if let Some((_, utf8)) = utf8 {
            let utf8 = self.boolean(utf8, "the option `utf8`", "write `utf8: true`");
            settings.options.insert("utf8".to_owned(), utf8.into());
        }
        settings
    }

    /// Merges requirements and defaults inside braces with those under their own keys, which take
    /// precedence.
    pub(super) fn with_inline(
        &mut self,
        channel: &Written,
        node: &Node,
        written: Settings,
    ) -> Settings {
        let mut settings = Settings::default();
        for inline in &channel.inline {
            if let Some((text, range)) = &inline.requirement {
                let place = node.place_within(self.source, range.clone());
                let start = node.verbatim.map(|start| start + range.start);
                if let Some(mut pattern) = self.pattern(&inline.name, text, false, place, start) {
                    pattern.of_route = Some(node.place(self.source));
                    settings.requirements.push((inline.name.clone(), pattern));
                }
            }
            if let Some(default) = &inline.default {
                settings.defaults.push((inline.name.clone(), default.clone()));
            }
        }
        put_all(&mut settings.requirements, &written.requirements);
        put_all(&mut settings.defaults, &written.defaults);
        settings.options = written.options;
        settings
    }

    fn requirement(&mut self, variable: &str, node: &Node) -> Option<Pattern> {
        match &node.kind {
            NodeKind::Text(_) | NodeKind::Number(..) => {
                let text = self.spelt(node, &format!("the requirement of `{variable}`"))?;
                self.parameters(&format!("the requirement of `{variable}`"), &text, node);
                self.pattern(variable, &text, false, node.place(self.source), node.verbatim)
            }
            NodeKind::Map(entries) => {
                let of = format!("the requirement of `{variable}`");
                self.ignored_keys(entries, &of, &["pattern", "wildcard"]);
                let wildcard = set(entries, "wildcard").is_some_and(|(_, value)| {
                    self.boolean(value, "`wildcard`", "`true` also admits the text `*`")
                });
                let Some((_, pattern)) = set(entries, "pattern") else {
                    let message = format!("the requirement of `{variable}` has no `pattern`");
                    self.tell(node, message, "add one: `pattern: '\\d+'`");
                    return None;
                };
                let text = self.spelt(pattern, &format!("the pattern of `{variable}`"))?;
                let place = pattern.place(self.source);
                self.parameters(&of, &text, pattern);
                self.pattern(variable, &text, wildcard, place, pattern.verbatim)
            }
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::List(_) => {
                let message = format!(
                    "the requirement of `{variable}` is a pattern, but this is {}",
                    node.describe()
                );
                self.tell(node, message, "write a regular expression in single quotes: '\\d+'");
                None
            }
        }
    }

    fn pattern(
        &mut self,
        variable: &str,
        written: &str,
        wildcard: bool,
        place: Place,
        start: Option<usize>,
    ) -> Option<Pattern> {
        let kept = strip_anchors(written);
        let text_start = start.map(|start| start + kept.start);
        let text = written.get(kept).unwrap_or_default().to_owned();
        if text.is_empty() {
            let problem = place.problem(format!("the requirement of `{variable}` is empty"));
            self.problems.push(problem.with_help("write a regular expression, or remove the requirement; a variable without one takes a whole segment"));
            return None;
        }
        Some(Pattern { text, wildcard, place, text_start, of_route: None })
    }

    /// Converts a value to a boolean as PHP does: 0 and empty values are false. Warns about values
    /// that are neither null, a boolean, 0 nor 1.
    fn boolean(&mut self, node: &Node, subject: &str, help: &str) -> bool {
        let (boolean, is_plain) = match &node.kind {
            NodeKind::Null => (false, true),
            NodeKind::Bool(value) => (*value, true),
            NodeKind::Number(number, _) => {
                (number.as_f64() != Some(0.0), matches!(number.as_u64(), Some(0 | 1)))
            }
            NodeKind::Text(text) => (!matches!(text.as_str(), "" | "0"), false),
            NodeKind::List(items) => (!items.is_empty(), false),
            NodeKind::Map(entries) => (!entries.is_empty(), false),
        };
        if !is_plain {
            let message = format!(
                "{subject} is true or false, but this is {}, which counts as {boolean}",
                node.describe()
            );
            self.warn(node, message, help);
        }
        boolean
    }

    /// Reads the default of a variable. Lists and maps become JSON, since attributes are text.
    fn default_value(&mut self, variable: &str, node: &Node) -> DefaultValue {
        match &node.kind {
            NodeKind::Null => None,
            NodeKind::Bool(_) | NodeKind::Number(..) | NodeKind::Text(_) => {
                let text = node.spelling();
                self.parameters(&format!("the default of `{variable}`"), &text, node);
                Some(text)
            }
            NodeKind::List(_) | NodeKind::Map(_) => {
                let message = format!(
                    "the default of `{variable}` is {}: handlers are given its JSON",
                    node.describe()
                );
                let help = "attributes of a topic are text; put structures into `handler.args`";
                self.warn(node, message, help);
                Some(node.to_json().to_string())
            }
        }
    }

    /// Warns about parameters in a text, which are not resolved.
    fn parameters(&mut self, subject: &str, text: &str, node: &Node) {
        let within = |range| node.place_within(self.source, range);
        let warning = unresolved(subject, text, within);
        self.warnings.extend(warning);
    }

    fn variable_name<'n>(&mut self, key: &'n Node) -> Option<&'n str> {
        let name = key.text();
        if name.is_none() {
            self.no_variable_name(key);
        }
        name
    }

    fn no_variable_name(&mut self, key: &Node) {
        let message = format!("a variable's name is text, but this is {}", key.describe());
        self.tell(key, message, "write the name that stands between the braces of the channel");
    }

    /// Returns the entries of a map that may be missing or empty.
    fn section<'n>(&mut self, entries: &'n [(Node, Node)], name: &str) -> &'n [(Node, Node)] {
        let Some((_, node)) = get(entries, name) else { return &[] };
        match &node.kind {
            NodeKind::Null => &[],
            NodeKind::Map(entries) => entries,
            // PHP writes empty maps as empty lists.
            NodeKind::List(items) if items.is_empty() => &[],
            NodeKind::List(_) if name != "requirements" => {
                let message = format!("`{name}` of {} is a list and ignored", self.subject);
                self.warn(node, message, format!("write `{name}: {{ name: value }}`"));
                &[]
            }
            NodeKind::List(_) | NodeKind::Bool(_) | NodeKind::Number(..) | NodeKind::Text(_) => {
                let message = format!(
                    "`{name}` of {} is a map, but this is {}",
                    self.subject,
                    node.describe()
                );
                self.tell(node, message, format!("write `{name}: {{ name: value }}`"));
                &[]
            }
        }
    }

    /// Reads text, or a number whose spelling PHP keeps when it converts it to text. Other numbers,
    /// such as `007`, would become another text.
    fn spelt(&mut self, node: &Node, subject: &str) -> Option<String> {
        match &node.kind {
            NodeKind::Number(number, spelling) if number.to_string() == *spelling => {
                Some(spelling.clone())
            }
            _ => self.text(node, subject).map(str::to_owned),
        }
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node, subject: &str) -> Option<&'n str> {
        let text = node.text();
        if text.is_none() {
            let message = format!("{subject} is text, but this is {}", node.describe());
            let help = match &node.kind {
                NodeKind::Bool(_) | NodeKind::Number(..) => {
                    format!("put it in quotes: '{}'", node.spelling())
                }
                NodeKind::Null | NodeKind::Text(_) | NodeKind::List(_) | NodeKind::Map(_) => {
                    "write one value in quotes".to_owned()
                }
            };
            self.tell(node, message, help);
        }
        text
    }

    /// Reads a text or a list of texts.
    pub(super) fn texts(&mut self, node: &Node, subject: &str) -> Vec<String> {
        match &node.kind {
            NodeKind::List(items) => items
                .iter()
                .filter_map(|item| self.text(item, subject).map(str::to_owned))
                .collect(),
            NodeKind::Null
            | NodeKind::Bool(_)
            | NodeKind::Number(..)
            | NodeKind::Text(_)
            | NodeKind::Map(_) => self.text(node, subject).map(str::to_owned).into_iter().collect(),
        }
    }
}

/// Returns the help for a requirement or default of a variable that the channel does not have.
pub(crate) fn no_such_variable(name: &str, variables: &[&str]) -> String {
    if variables.is_empty() {
        "the channel has no variables: remove it".to_owned()
    } else {
        suggest::advice(name, variables)
    }
}
