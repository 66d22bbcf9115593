//! Structure check of a component before it is compiled: one linear pass that rejects structures no
//! language's compiler produces.
//!
//! It does not validate; the engine does. Expensive structures that it misses meet the compiler's
//! limits. It exists for its clear errors, and because compilers grow faster than the file in the
//! figures counted here.

use wasmparser::{FunctionBody, Operator, Parser, Payload};

/// Nesting of components. Composition tools nest two or three.
const MAX_NESTING: usize = 32;
/// Components and modules, at all depths.
const MAX_PARTS: usize = 1_000;
/// Functions of all modules. A component with a JavaScript engine has some 20 000.
const MAX_FUNCTIONS: usize = 500_000;
/// Product of a function's locals and jumps: each local may have another value on each path, so
/// that the compiler's memory grows with the product. An interpreter's main loop has less than a
/// million.
const MAX_LOCALS_TIMES_JUMPS: u64 = 32_000_000;

/// Counters.
#[derive(Default)]
struct Count {
    depth: usize,
    parts: usize,
    functions: usize,
}

/// Checks the structure. Parse errors are left to the engine, whose messages are better.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut count = Count::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { return Ok(()) };
        count.take(&payload)?;
    }
    Ok(())
}

impl Count {
    fn take(&mut self, payload: &Payload<'_>) -> Result<(), String> {
        match payload {
            Payload::Version { .. } => {
                self.depth += 1;
                self.parts += 1;
                bound("components nest", self.depth, MAX_NESTING, "deep")?;
                bound("it consists of", self.parts, MAX_PARTS, "components and modules")
            }
            Payload::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                Ok(())
            }
            Payload::CodeSectionEntry(body) => {
                self.functions += 1;
                bound("it has", self.functions, MAX_FUNCTIONS, "functions")?;
                let Some((locals, jumps)) = figures(body) else { return Ok(()) };
                if locals.saturating_mul(jumps) > MAX_LOCALS_TIMES_JUMPS {
                    return Err(format!(
                        "one of its functions has {locals} locals and jumps to {jumps} places; \
                         the product may be at most {MAX_LOCALS_TIMES_JUMPS}"
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn bound(what: &str, found: usize, limit: usize, of: &str) -> Result<(), String> {
    if found <= limit { Ok(()) } else { Err(format!("{what} more than {limit} {of}")) }
}

/// The numbers of locals and jumps of a function; none where it cannot be parsed.
fn figures(body: &FunctionBody<'_>) -> Option<(u64, u64)> {
    let mut locals: u64 = 0;
    for declared in body.get_locals_reader().ok()? {
        let (count, _) = declared.ok()?;
        locals = locals.saturating_add(count.into());
    }
    let mut jumps: u64 = 0;
    // Jumps take two bytes or more each, and entries of tables one.
    let limit = u64::try_from(body.range().len()).unwrap_or(u64::MAX);
    if locals.saturating_mul(limit) > MAX_LOCALS_TIMES_JUMPS {
        for operator in body.get_operators_reader().ok()? {
            jumps += match operator.ok()? {
                Operator::Br { .. }
                | Operator::BrIf { .. }
                | Operator::If { .. }
                | Operator::Else => 1,
                Operator::BrTable { targets } => u64::from(targets.len()) + 1,
                _ => 0,
            };
        }
    }
    Some((locals, jumps))
}

#[cfg(test)]
mod tests {
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    fn leb(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let low = u8::try_from(value & 0x7f).unwrap();
            value >>= 7;
            bytes.push(if value == 0 { low } else { low | 0x80 });
            if value == 0 {
                return bytes;
            }
        }
    }

    fn section(id: u8, contents: &[u8]) -> Vec<u8> {
        [&[id][..], &leb(contents.len()), contents].concat()
    }

    /// Components within one another.
    fn nested(depth: usize) -> Vec<u8> {
        (1..depth).fold(COMPONENT.to_vec(), |inner, _| {
            [COMPONENT, section(4, &inner).as_slice()].concat()
        })
    }

    /// A component with one function, whose only instruction is a table of jumps out of it.
    fn table(locals: usize, targets: usize) -> Vec<u8> {
        let body = [
            &[1][..],
            &leb(locals),
            &[0x7f, 0x41, 0, 0x0e],
            &leb(targets),
            &vec![0; targets + 1],
            &[0x0b],
        ]
        .concat();
        let code = [&[1][..], &leb(body.len()), &body].concat();
        let module =
            [MODULE, &section(1, &[1, 0x60, 0, 0]), &section(3, &[1, 0]), &section(10, &code)]
                .concat();
        [COMPONENT, section(1, &module).as_slice()].concat()
    }

    fn check(bytes: &[u8], expected: &str) {
        let found = super::check(bytes).err().unwrap_or_default();
        assert_eq!(found.is_empty(), expected.is_empty(), "{found}");
        assert!(found.contains(expected), "{found}");
    }

    #[test]
    fn rejects_components_nested_too_deeply() {
        check(&nested(32), "");
        check(&nested(33), "components nest more than 32 deep");
        check(&nested(20_000), "components nest more than 32 deep");
    }

    #[test]
    fn counts_parts_side_by_side() {
        let parts = |count| [COMPONENT, &section(4, COMPONENT).repeat(count)].concat();
        check(&parts(999), "");
        check(&parts(1_000), "it consists of more than 1000 components and modules");
    }

    #[test]
    fn refuses_many_locals_with_many_jumps() {
        check(&table(8_000, 40_000), "8000 locals and jumps to 40001 places");
        check(&table(8_000, 1_000), "");
        check(&table(10, 100_000), "");
    }

    #[test]
    fn passes_unparsable_components_to_the_engine() {
        check(b"", "");
        check(&[COMPONENT, &[1, 200, 1, 0]].concat(), "");
        let whole = table(8_000, 40_000);
        check(&whole[..whole.len() - 3], "");
    }
}
