//! Generated components that are hard to compile.

/// The head of a component.
pub const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
/// An export `handler` without functions: other components are refused before they are compiled.
pub const HANDLER: &[u8] =
    b"\x05\x03\x01\x01\0\x0b\x24\x01\0\x1ejackfield:plugin/handler@0.2.0\x05\0\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// Returns a number in WebAssembly's encoding (LEB128).
pub fn leb(mut value: usize) -> Vec<u8> {
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

/// Returns a section of a module or component.
pub fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(contents.len()), contents].concat()
}

/// Returns a component of one module, which looks like a plugin.
pub fn component(module: &[u8]) -> Vec<u8> {
    [COMPONENT, &section(1, module), HANDLER].concat()
}

/// Returns a module of identical functions.
pub fn functions(locals: usize, code: &[u8], count: usize) -> Vec<u8> {
    let body = [&[1][..], &leb(locals), &[0x7f], code, &[0x0b]].concat();
    let body = [&leb(body.len())[..], &body].concat();
    let code = [leb(count), body.repeat(count)].concat();
    let types = [leb(count), vec![0; count]].concat();
    let sections = [section(1, &[1, 0x60, 0, 0]), section(3, &types), section(10, &code)];
    [MODULE, &sections.concat()].concat()
}

/// Returns functions that are a loop with many jumps back to its beginning, each with other locals:
/// accepted by the checks of the structure, and expensive to compile.
pub fn thickets(locals: usize, jumps: usize, count: usize) -> Vec<u8> {
    let mut code = vec![0x03, 0x40];
    for at in 0..jumps {
        let (read, written) = (leb(at % locals), leb(at * 7 % locals));
        code.extend([&[0x20][..], &read, &[0x41, 1, 0x6a, 0x21], &written].concat());
        code.extend([&[0x20][..], &read, &[0x0d, 0]].concat());
    }
    code.push(0x0b);
    functions(locals, &code, count)
}

/// Returns the same plugin with an unused module that takes at least `tenths` tenths of a second to
/// compile.
pub fn slowed(plugin: &[u8], tenths: usize) -> Vec<u8> {
    [plugin, &section(1, &thickets(500, 600, tenths))].concat()
}
