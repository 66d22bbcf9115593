//! Requirement of a variable: a regular expression made safe and linear.
//!
//! Requirements are written for a backtracking library. [`parse`] supports a part of that syntax
//! and reports the rest as unsupported. Simple forms (`\d+`, `[a-z]+`, `\d+|\*`, the default) need
//! no regex engine. It knows nothing of channels; `compile` and `matcher` use it.

mod budget;
mod cover;
mod dialect;
mod sample;

use std::ops::Range;

use regex_automata::meta::Regex;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};

pub(crate) use budget::{Budget, TooLarge};
use budget::{MAX_PATTERN_BYTES, MAX_PROGRAM_BYTES};
use dialect::parse;
pub(crate) use dialect::strip_anchors;

/// Compiled requirement, usable alone or within a channel's expression.
#[derive(Debug, Clone)]
pub(crate) struct Requirement {
    /// The displayed text: without anchors, with `|\*` where the route adds it.
    pub(crate) pattern: String,
    pub(crate) hir: Hir,
    pub(crate) check: Check,
}

/// Check of a whole value.
#[derive(Debug, Clone)]
pub(crate) enum Check {
    /// Every character is in the set; `star` also admits the text `*`.
    Characters {
        set: CharacterSet,
        star: bool,
    },
    Regex(Regex),
}

/// Set of ASCII characters, with all or no other characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CharacterSet {
    ascii: u128,
    others: bool,
}

/// Error of a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RequirementError {
    /// The range in the pattern, in bytes.
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Requirement {
    pub(crate) fn new(
        pattern: &str,
        utf8: bool,
        budget: &mut Budget,
    ) -> Result<Self, RequirementError> {
        let hir = read(pattern, utf8, budget)?;
        let check = Check::new(&hir, budget).map_err(|error| too_large(pattern, &error))?;
        Ok(Self { pattern: pattern.to_owned(), hir, check })
    }

    /// Creates the requirement of a variable without one: one or more characters that are neither
    /// `/` nor the next separator.
    pub(crate) fn unwritten(next: Option<char>) -> Self {
        let next = next.filter(|c| *c != '/');
        let pattern = match next {
            // Separators with a meaning between brackets.
            Some('-') => "[^/\\-]+".to_owned(),
            Some('~') => "[^/\\~]+".to_owned(),
            Some(c) => format!("[^/{c}]+"),
            None => "[^/]+".to_owned(),
        };
        let set = CharacterSet::all_but(['/', next.unwrap_or('/')]);
        Self { pattern, hir: set.one_or_more(), check: Check::Characters { set, star: false } }
    }

    /// Returns whether a value is always exactly one segment: it cannot contain `/` or be empty,
    /// and no anchor looks beyond it.
    pub(crate) fn is_one_segment(&self) -> bool {
        self.shortest() > 0 && !self.may_hold_slash() && !self.has_anchor()
    }

    /// Returns the length of the shortest value, in bytes.
    pub(crate) fn shortest(&self) -> usize {
        self.hir.properties().minimum_len().unwrap_or_default()
    }

    /// Returns whether the expression anchors to an end of the whole topic.
    pub(crate) fn has_anchor(&self) -> bool {
        let looks = self.hir.properties().look_set();
        let anchors = [Look::Start, Look::End, Look::StartLF, Look::EndLF];
        anchors.into_iter().any(|anchor| looks.contains(anchor))
    }

    pub(crate) fn may_hold_slash(&self) -> bool {
        may_hold_slash(&self.hir)
    }
}

/// Checks an expression that a schema searches in texts: its syntax, and its size within the budget.
pub(crate) fn check_search(pattern: &str, budget: &mut Budget) -> Result<(), RequirementError> {
    let hir = read(pattern, false, budget)?;
    build(&hir, budget).map(drop).map_err(|error| too_large(pattern, &error))
}

fn read(pattern: &str, utf8: bool, budget: &mut Budget) -> Result<Hir, RequirementError> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(RequirementError {
            range: 0..1,
            message: format!(
                "the pattern is {} bytes long; at most {MAX_PATTERN_BYTES} are read",
                pattern.len()
            ),
            help: "write a shorter one; a handler can check long lists of values".to_owned(),
        });
    }
    budget.read(pattern, utf8).map_err(|error| too_large(pattern, &error))?;
    parse(pattern, utf8)
}

fn too_large(pattern: &str, error: &TooLarge) -> RequirementError {
    RequirementError {
        range: 0..pattern.len(),
        message: error.message(&format!("the pattern `{pattern}`")),
        help: error.help().to_owned(),
    }
}

impl Check {
    fn new(hir: &Hir, budget: &mut Budget) -> Result<Self, TooLarge> {
        let simple = match hir.kind() {
            HirKind::Alternation(branches) => match branches.as_slice() {
                [characters, star] if is_star(star) => {
                    CharacterSet::of(characters).map(|set| (set, true))
                }
                _ => None,
            },
            _ => CharacterSet::of(hir).map(|set| (set, false)),
        };
        match simple {
            Some((set, star)) => Ok(Self::Characters { set, star }),
            None => whole(vec![hir.clone()], budget).map(Self::Regex),
        }
    }

    pub(crate) fn holds(&self, text: &str) -> bool {
        match self {
            Self::Characters { set, star } => {
                (!text.is_empty() && text.bytes().all(|byte| set.contains(byte)))
                    || (*star && text == "*")
            }
            Self::Regex(regex) => regex.is_match(Input::new(text).anchored(Anchored::Yes)),
        }
    }
}

impl CharacterSet {
    fn all_but(excluded: [char; 2]) -> Self {
        let mut ascii = u128::MAX;
        for c in excluded {
            ascii &= !1u128.checked_shl(c.into()).unwrap_or(0);
        }
        Self { ascii, others: true }
    }

    /// Returns the set, if the expression is one or more characters of one class.
    fn of(hir: &Hir) -> Option<Self> {
        let HirKind::Repetition(Repetition { min: 1, max: None, sub, .. }) = hir.kind() else {
            return None;
        };
        let HirKind::Class(Class::Unicode(class)) = sub.kind() else { return None };
        let mut set = Self { ascii: 0, others: false };
        for range in class.ranges() {
            let (start, end) = (u32::from(range.start()), u32::from(range.end()));
            if end > 127 {
                if start > 128 || end != u32::from(char::MAX) {
                    return None;
                }
                set.others = true;
            }
            for code in start..=end.min(127) {
                set.ascii |= 1u128.checked_shl(code)?;
            }
        }
        Some(set)
    }

    fn one_or_more(self) -> Hir {
        use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};
        let ascii = (0..128u8)
            .filter(|byte| self.contains(*byte))
            .map(|byte| ClassUnicodeRange::new(byte.into(), byte.into()));
        let others = self.others.then(|| ClassUnicodeRange::new('\u{80}', char::MAX));
        let class = Hir::class(Class::Unicode(ClassUnicode::new(ascii.chain(others))));
        Hir::repetition(Repetition { min: 1, max: None, greedy: true, sub: Box::new(class) })
    }

    fn contains(self, byte: u8) -> bool {
        if byte < 128 { self.ascii >> byte & 1 == 1 } else { self.others }
    }
}

/// Compiles an expression that covers a whole text.
pub(crate) fn whole(parts: Vec<Hir>, budget: &mut Budget) -> Result<Regex, TooLarge> {
    let mut all = vec![Hir::look(Look::Start)];
    all.extend(parts);
    all.push(Hir::look(Look::End));
    build(&Hir::concat(all), budget)
}

fn build(hir: &Hir, budget: &mut Budget) -> Result<Regex, TooLarge> {
    let most = budget.program_bytes()?;
    let built =
        Regex::builder().configure(Regex::config().nfa_size_limit(Some(most))).build_from_hir(hir);
    budget.spend(built.as_ref().map_or(most, Regex::memory_usage));
    built.map_err(|error| match error.size_limit() {
        Some(limit) if limit < MAX_PROGRAM_BYTES => TooLarge::Together,
        Some(limit) => TooLarge::Alone(format!("it needs more than {limit} bytes")),
        None => TooLarge::Alone(error.to_string()),
    })
}

fn is_star(hir: &Hir) -> bool {
    matches!(hir.kind(), HirKind::Literal(literal) if *literal.0 == *b"*")
}

fn may_hold_slash(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(literal) => literal.0.contains(&b'/'),
        HirKind::Class(Class::Unicode(class)) => {
            class.ranges().iter().any(|range| range.start() <= '/' && '/' <= range.end())
        }
        HirKind::Class(Class::Bytes(class)) => {
            class.ranges().iter().any(|range| range.start() <= b'/' && b'/' <= range.end())
        }
        HirKind::Repetition(repetition) => may_hold_slash(&repetition.sub),
        HirKind::Capture(capture) => may_hold_slash(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(may_hold_slash),
    }
}
