//! YAML reader: parses a text into a tree in which every node has its place.
//!
//! Made for diagnoses: keys keep their order, duplicate keys and unknown tags are problems, and a
//! scalar has the offset of its text if the file spells it verbatim.

mod scalar;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::diagnosis::{Diagnosis, Place, Source};
use crate::node::{Node, NodeKind};
use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

/// Bytes that the aliases of one file may copy: otherwise a file of a few lines could exhaust the
/// memory.
const MAX_COPIES: usize = 16 << 20;
/// Size of a node without its text, in bytes.
const NODE: usize = size_of::<Node>();

/// Parses a document. Returns the readable part and the problems.
pub fn document(path: &str, text: &str) -> (Option<Node>, Vec<Diagnosis>) {
    let source = Arc::new(Source::new(path.to_owned(), text.to_owned()));
    let mut problems = Vec::new();
    let root = parse(&source, &mut problems);
    (root, problems)
}

/// Parses one file. An empty file is null. Invalid YAML is `None`, and adds its problem.
pub fn parse(source: &Arc<Source>, problems: &mut Vec<Diagnosis>) -> Option<Node> {
    let mut reader = Reader {
        source,
        events: Parser::new_from_str(&source.text),
        anchors: HashMap::new(),
        copies: 0,
        tag: None,
        problems,
    };
    reader.document().ok()
}

/// Parsing cannot continue; the problem has been reported.
struct Stop;

/// An event, its byte range, and the offset of its text if the file spells it verbatim.
type Placed<'a> = (Event<'a>, Range<usize>, Option<usize>);

struct Reader<'a> {
    source: &'a Arc<Source>,
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    copies: usize,
    /// Range of the latest event's tag.
    tag: Option<Range<usize>>,
    problems: &'a mut Vec<Diagnosis>,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Node, Stop> {
        let mut root = None;
        while let Some((event, range, verbatim)) = self.event()? {
            match event {
                Event::DocumentStart(..) if root.is_some() => {
                    self.tell(range, "a second YAML document starts here", "keep one document a file: delete this `---`, or move what follows into another file");
                    return Err(Stop);
                }
                Event::Scalar(..)
                | Event::SequenceStart(..)
                | Event::MappingStart(..)
                | Event::Alias(_) => root = Some(self.node(event, range, verbatim)?),
                _ => {}
            }
        }
        Ok(root.unwrap_or(Node { kind: NodeKind::Null, range: 0..0, verbatim: None }))
    }

    fn node(
        &mut self,
        event: Event<'a>,
        range: Range<usize>,
        verbatim: Option<usize>,
    ) -> Result<Node, Stop> {
        let (kind, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(&text, style, tag.as_deref(), &range), anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), "seq", &range);
                (NodeKind::List(self.list()?), anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), "map", &range);
                (NodeKind::Map(self.map()?), anchor)
            }
            Event::Alias(id) => return self.alias(id, range),
            _ => (NodeKind::Null, 0),
        };
        let range = match kind {
            NodeKind::List(_) | NodeKind::Map(_) => range.start..range.start,
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(..) | NodeKind::Text(_) => range,
        };
        let node = Node { kind, range, verbatim };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self) -> Result<Vec<Node>, Stop> {
        let mut items = Vec::new();
        while let Some((event, range, verbatim)) = self.event()? {
            match event {
                Event::SequenceEnd => break,
                event => items.push(self.node(event, range, verbatim)?),
            }
        }
        Ok(items)
    }

    fn map(&mut self) -> Result<Vec<(Node, Node)>, Stop> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut merged = Vec::new();
        let mut lines: HashMap<String, Range<usize>> = HashMap::new();
        while let Some((event, range, verbatim)) = self.event()? {
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let key = self.node(event, range.clone(), verbatim)?;
            let Some((event, range, verbatim)) = self.event()? else { break };
            let value = self.node(event, range, verbatim)?;
            if merge {
                self.merge(&value, &mut merged);
                continue;
            }
            if matches!(key.kind, NodeKind::List(_) | NodeKind::Map(_)) {
                let message = format!("{} cannot be a key", key.describe());
                self.tell(key.range, &message, "write a name before the colon");
                continue;
            }
            let name = key.spelling();
            if let Some(first) = lines.get(&name) {
                let (line, _) = Place::new(self.source, first.clone()).position();
                let message = format!("the key `{name}` appears twice, first on line {line}");
                self.tell(key.range, &message, "keep one of the two, or rename one");
                continue;
            }
            lines.insert(name, key.range.clone());
            entries.push((key, value));
        }
        // Keys of the map itself override merged ones.
        for (key, value) in merged {
            if lines.insert(key.spelling(), key.range.clone()).is_none() {
                entries.push((key, value));
            }
        }
        Ok(entries)
    }

    fn merge(&mut self, value: &Node, merged: &mut Vec<(Node, Node)>) {
        match &value.kind {
            NodeKind::Map(entries) => merged.extend(entries.iter().cloned()),
            NodeKind::List(maps) => maps.iter().for_each(|map| self.merge(map, merged)),
            NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(..) | NodeKind::Text(_) => {
                let message = format!("`<<` merges maps, but this is {}", value.describe());
                self.tell(value.range.clone(), &message, "name an anchored map: `<<: *defaults`");
            }
        }
    }

    fn alias(&mut self, id: usize, range: Range<usize>) -> Result<Node, Stop> {
        let node = self.anchors.get(&id).cloned();
        let Some(mut node) = node else {
            self.tell(
                range,
                "this alias names an anchor that is not complete yet",
                "an anchored value cannot contain itself",
            );
            return Err(Stop);
        };
        self.copies = self.copies.saturating_add(size(&node));
        if self.copies > MAX_COPIES {
            let message = format!("the aliases of this file copy more than {MAX_COPIES} bytes");
            self.tell(range, &message, "write the values out, or split the file");
            return Err(Stop);
        }
        node.range = range;
        node.verbatim = None;
        Ok(node)
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        range: &Range<usize>,
    ) -> NodeKind {
        let as_text = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"))
            || (tag.is_none() && style != ScalarStyle::Plain);
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            self.tell_tag(tag, range);
        }
        if as_text { NodeKind::Text(text.to_owned()) } else { scalar::plain(text) }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, own: &str, range: &Range<usize>) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema_tag(own)) {
            self.tell_tag(tag, range);
        }
    }

    fn tell_tag(&mut self, tag: &Tag, range: &Range<usize>) {
        let tag = tag.original();
        let help = if tag.starts_with("!php/") {
            "PHP does not run here: write the constant's value itself"
        } else {
            "write the value without a tag"
        };
        let range = self.tag.clone().unwrap_or_else(|| range.clone());
        self.tell(range, &format!("the tag `{tag}` is not supported"), help);
    }

    fn event(&mut self) -> Result<Option<Placed<'a>>, Stop> {
        // The parser also emits comments if any crate of the build enables its feature for them.
        // The feature is therefore on here too, and comments are skipped.
        let next = loop {
            match self.events.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                next => break next,
            }
        };
        match next {
            None => Ok(None),
            Some(Ok((event, span))) => {
                let range = bytes(&self.source.text, &span);
                self.tag = span.tag_span().map(|span| bytes(&self.source.text, &span));
                let verbatim = match &event {
                    Event::Scalar(value, ..) => verbatim(&self.source.text, &range, value),
                    _ => None,
                };
                Ok(Some((event, range, verbatim)))
            }
            Some(Err(error)) => {
                let text = &self.source.text;
                let at = error.marker().byte_offset().unwrap_or_else(|| {
                    text.char_indices().nth(error.marker().index()).map_or(text.len(), |(at, _)| at)
                });
                let problem = Place::new(self.source, at..at + 1)
                    .problem(format!("not valid YAML: {}", error.info()));
                let line = problem.snippet.as_ref().map_or("", |snippet| &snippet.text);
                let help = syntax_advice(line, &error.info());
                self.problems.push(problem.with_help(help));
                Err(Stop)
            }
        }
    }

    fn tell(&mut self, range: Range<usize>, message: &str, help: &str) {
        self.problems.push(Place::new(self.source, range).problem(message).with_help(help));
    }
}

/// Cost of a node's copy in bytes: about one for each byte of text, and the node's own size.
fn size(node: &Node) -> usize {
    match &node.kind {
        NodeKind::Null | NodeKind::Bool(_) | NodeKind::Number(..) => NODE,
        NodeKind::Text(text) => NODE + text.len(),
        NodeKind::List(items) => NODE + items.iter().map(size).sum::<usize>(),
        NodeKind::Map(entries) => {
            NODE + entries.iter().map(|(key, value)| size(key) + size(value)).sum::<usize>()
        }
    }
}

fn bytes(text: &str, span: &Span) -> Range<usize> {
    let range = span.byte_range().unwrap_or(0..0);
    range.start.min(text.len())..range.end.min(text.len())
}

/// Returns the offset of `value` if the file spells it verbatim, bare or in quotes.
fn verbatim(text: &str, range: &Range<usize>, value: &str) -> Option<usize> {
    let raw = text.get(range.clone())?;
    if raw == value {
        return Some(range.start);
    }
    let inner = raw.get(1..raw.len().checked_sub(1)?)?;
    (inner == value && raw.starts_with(['\'', '"'])).then_some(range.start + 1)
}

/// Returns advice for the most likely cause of a syntax error.
fn syntax_advice(line: &str, message: &str) -> String {
    let value = line.split_once(": ").map_or(line, |(_, value)| value).trim_start();
    if line.trim_start_matches(' ').starts_with('\t') || message.contains("tab") {
        "indent with spaces; YAML allows no tabs there".to_owned()
    } else if value.starts_with(['@', '`', '%']) {
        "a value that begins with this character must be quoted: '…'".to_owned()
    } else if value.starts_with('"') && value.contains('\\') {
        "put patterns in single quotes: '\\d+'; in double quotes a backslash is an escape"
            .to_owned()
    } else {
        "look at the indentation, quotes and brackets of this line and the one before".to_owned()
    }
}
