//! Syntax of requirements: the supported part of the predecessors' syntax, and the errors for the
//! rest.
//!
//! - `\d`, `\w`, `\s` and `\b` mean ASCII unless the route has the option `utf8`.
//! - The dot matches line breaks too. Matching is case-sensitive.
//! - A leading `^` or `\A` and a trailing `$` or `\z` are dropped: a requirement covers the whole
//!   value anyway. See [`strip_anchors`].
//! - Groups do not capture.
//! - Possessive repetition (`a++`) is read as plain repetition. It only forbids a backtracking
//!   engine to backtrack; this engine never does, and takes time linear in the topic regardless.
//! - Look-around, back-references, atomic groups and the like have no linear-time implementation.
//!   The error names the feature.

use std::ops::Range;

use regex_syntax::ast::{
    self, Ast, ClassAscii, ClassAsciiKind, ClassBracketed, ClassPerl, ClassPerlKind, ClassSet,
    ClassSetItem, Flag, Flags, FlagsItem, FlagsItemKind, Group, GroupKind, Span, parse::Parser,
};
use regex_syntax::hir::{Hir, translate::TranslatorBuilder};

use super::RequirementError;

/// Parses a pattern without anchors.
pub(crate) fn parse(pattern: &str, utf8: bool) -> Result<Hir, RequirementError> {
    let mut ast = Parser::new()
        .parse(pattern)
        .map_err(|error| refuse(pattern, range(error.span()), &error.kind().to_string()))?;
    adapt(&mut ast, utf8)?;
    TranslatorBuilder::new()
        .unicode(true)
        .utf8(true)
        .dot_matches_new_line(true)
        .build()
        .translate(pattern, &ast)
        .map_err(|error| refuse(pattern, range(error.span()), &error.kind().to_string()))
}

/// Returns the byte range of a requirement between its anchors.
pub(crate) fn strip_anchors(pattern: &str) -> Range<usize> {
    let start = ["^", "\\A"].iter().find(|anchor| pattern.starts_with(**anchor));
    let start = start.map_or(0, |anchor| anchor.len());
    let rest = pattern.get(start..).unwrap_or_default();
    let end = ["$", "\\z"].iter().find(|anchor| {
        // An escaped dollar is a literal, and `\\z` is a backslash before a `z`.
        rest.strip_suffix(**anchor)
            .is_some_and(|kept| kept.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 0)
    });
    start..pattern.len() - end.map_or(0, |anchor| anchor.len())
}

/// Adapts the syntax tree to the semantics of this engine.
fn adapt(ast: &mut Ast, utf8: bool) -> Result<(), RequirementError> {
    match ast {
        Ast::Flags(flags) => adapt_flags(&flags.flags),
        Ast::Empty(_) | Ast::Literal(_) | Ast::Dot(_) | Ast::ClassUnicode(_) => Ok(()),
        Ast::Assertion(assertion) => {
            use ast::AssertionKind as Kind;
            let word = match assertion.kind {
                Kind::WordBoundary | Kind::NotWordBoundary => true,
                Kind::StartLine | Kind::EndLine | Kind::StartText | Kind::EndText => false,
                Kind::WordBoundaryStart
                | Kind::WordBoundaryEnd
                | Kind::WordBoundaryStartAngle
                | Kind::WordBoundaryEndAngle
                | Kind::WordBoundaryStartHalf
                | Kind::WordBoundaryEndHalf => {
                    return Err(RequirementError {
                        range: range(&assertion.span),
                        message: "this escape means different things in different regex languages"
                            .to_owned(),
                        help: "write `<`, `>` or `\\b`".to_owned(),
                    });
                }
            };
            if word && !utf8 {
                let span = assertion.span;
                let inner = std::mem::replace(ast, Ast::empty(span));
                *ast = without_unicode(inner, span);
            }
            Ok(())
        }
        Ast::ClassPerl(class) => {
            if !utf8 {
                let span = class.span;
                let kind = ClassSet::Item(ascii(class));
                *ast = Ast::class_bracketed(ClassBracketed { span, negated: false, kind });
            }
            Ok(())
        }
        Ast::ClassBracketed(class) => adapt_set(&mut class.kind, utf8),
        Ast::Repetition(repetition) => {
            // `a++` is parsed as a repetition of a repetition without a group between.
            if repetition.op.kind == ast::RepetitionKind::OneOrMore
                && let Ast::Repetition(inner) = &mut *repetition.ast
            {
                let inner = std::mem::replace(&mut *inner.ast, Ast::empty(inner.span));
                let op = match &*repetition.ast {
                    Ast::Repetition(inner) => inner.op.clone(),
                    _ => repetition.op.clone(),
                };
                repetition.op = op;
                *repetition.ast = inner;
            }
            adapt(&mut repetition.ast, utf8)
        }
        Ast::Group(group) => {
            match &group.kind {
                GroupKind::NonCapturing(flags) => adapt_flags(flags)?,
                GroupKind::CaptureIndex(_) | GroupKind::CaptureName { .. } => {
                    let flags = Flags { span: group.span, items: Vec::new() };
                    group.kind = GroupKind::NonCapturing(flags);
                }
            }
            adapt(&mut group.ast, utf8)
        }
        Ast::Alternation(alternation) => {
            alternation.asts.iter_mut().try_for_each(|branch| adapt(branch, utf8))
        }
        Ast::Concat(concat) => concat.asts.iter_mut().try_for_each(|part| adapt(part, utf8)),
    }
}

/// Flags mean the same in both syntaxes, except `R`: `(?R)` is recursion in the predecessors'.
fn adapt_flags(flags: &Flags) -> Result<(), RequirementError> {
    match flags.flag_state(Flag::CRLF) {
        None => Ok(()),
        Some(_) => Err(unsupported(range(&flags.span), "recursion")),
    }
}

fn adapt_set(set: &mut ClassSet, utf8: bool) -> Result<(), RequirementError> {
    match set {
        ClassSet::Item(item) => adapt_item(item, utf8),
        ClassSet::BinaryOp(operation) => Err(RequirementError {
            range: range(&operation.span),
            message: "`&&`, `--` and `~~` between brackets would combine sets here".to_owned(),
            help: "escape the second character to mean it literally, as in `[&\\&]`".to_owned(),
        }),
    }
}

fn adapt_item(item: &mut ClassSetItem, utf8: bool) -> Result<(), RequirementError> {
    match item {
        ClassSetItem::Empty(_)
        | ClassSetItem::Literal(_)
        | ClassSetItem::Range(_)
        | ClassSetItem::Ascii(_)
        | ClassSetItem::Unicode(_) => Ok(()),
        ClassSetItem::Perl(class) => {
            if !utf8 {
                *item = ascii(class);
            }
            Ok(())
        }
        ClassSetItem::Bracketed(class) => Err(RequirementError {
            range: range(&class.span),
            message: "a `[` between brackets would open a set within the set here".to_owned(),
            help: "escape it: `\\[`".to_owned(),
        }),
        ClassSetItem::Union(union) => {
            union.items.iter_mut().try_for_each(|item| adapt_item(item, utf8))
        }
    }
}

fn ascii(class: &ClassPerl) -> ClassSetItem {
    let kind = match class.kind {
        ClassPerlKind::Digit => ClassAsciiKind::Digit,
        ClassPerlKind::Space => ClassAsciiKind::Space,
        ClassPerlKind::Word => ClassAsciiKind::Word,
    };
    ClassSetItem::Ascii(ClassAscii { span: class.span, kind, negated: class.negated })
}

fn without_unicode(inner: Ast, span: Span) -> Ast {
    let items = vec![
        FlagsItem { span, kind: FlagsItemKind::Negation },
        FlagsItem { span, kind: FlagsItemKind::Flag(Flag::Unicode) },
    ];
    let kind = GroupKind::NonCapturing(Flags { span, items });
    Ast::group(Group { span, kind, ast: Box::new(inner) })
}

/// Reports an unsupported feature under its name in the predecessors' syntax.
fn refuse(pattern: &str, range: Range<usize>, why: &str) -> RequirementError {
    let rest = pattern.get(range.start..).unwrap_or_default();
    let signs = [
        ("(?=", "look-ahead"),
        ("(?!", "negative look-ahead"),
        ("(?<=", "look-behind"),
        ("(?<!", "negative look-behind"),
        ("(?>", "an atomic group"),
        ("(?|", "a branch-reset group"),
        ("(?(", "a condition"),
        ("(?R", "recursion"),
        ("(?&", "a subroutine call"),
        ("(?P>", "a subroutine call"),
        ("(?P=", "a back-reference"),
        ("(*", "a control verb"),
        ("\\k", "a back-reference"),
        ("\\g", "a back-reference"),
        ("\\K", "`\\K`"),
        ("\\G", "`\\G`"),
        ("\\R", "`\\R`"),
        ("\\X", "`\\X`"),
        ("\\Q", "`\\Q…\\E`"),
        ("\\h", "`\\h`"),
        ("\\H", "`\\H`"),
        ("\\N", "`\\N`"),
        ("\\V", "`\\V`"),
    ];
    // The parser points somewhere into the prefix of an unknown group.
    let group = pattern.get(..range.end).and_then(|before| before.rfind("(?"));
    let group = group.filter(|at| range.start <= at + "(?P".len());
    let group = group.and_then(|at| pattern.get(at..)).unwrap_or_default();
    let named = signs
        .iter()
        .find(|(sign, _)| rest.starts_with(sign) || group.starts_with(sign))
        .map(|(_, name)| (*name).to_owned());
    let digit_reference = || {
        let digit = rest.strip_prefix('\\')?.chars().next()?;
        digit.is_ascii_digit().then(|| "a back-reference".to_owned())
    };
    match named.or_else(digit_reference) {
        Some(name) => unsupported(range, &name),
        None => RequirementError {
            range,
            message: format!("the pattern `{pattern}` is not a valid regular expression: {why}"),
            help: "correct the pattern; a character with a special meaning is escaped by `\\`"
                .to_owned(),
        },
    }
}

fn unsupported(range: Range<usize>, name: &str) -> RequirementError {
    RequirementError {
        range,
        message: format!("{name} is not supported"),
        help: "patterns are matched in linear time, which rules out look-around, back-references \
               and what needs backtracking; write the requirement without it"
            .to_owned(),
    }
}

fn range(span: &Span) -> Range<usize> {
    span.start.offset..span.end.offset
}
