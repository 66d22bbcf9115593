//! Generated components that are hard to compile, and access to the compiler process.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use jackfield_tests::client::PATIENCE;

pub(crate) const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
/// An export `handler` without functions: other components are refused before they are compiled.
pub(crate) const HANDLER: &[u8] =
    b"\x05\x03\x01\x01\0\x0b\x24\x01\0\x1ejackfield:plugin/handler@0.2.0\x05\0\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// Returns a number in WebAssembly's encoding (LEB128).
pub(crate) fn leb(mut value: usize) -> Vec<u8> {
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

pub(crate) fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(contents.len()), contents].concat()
}

/// Returns a component of one module, which looks like a plugin.
pub(crate) fn component(module: &[u8]) -> Vec<u8> {
    [COMPONENT, &section(1, module), HANDLER].concat()
}

/// Returns a module of identical functions.
pub(crate) fn functions(locals: usize, code: &[u8], count: usize) -> Vec<u8> {
    let body = [&[1][..], &leb(locals), &[0x7f], code, &[0x0b]].concat();
    let body = [&leb(body.len())[..], &body].concat();
    let code = [leb(count), body.repeat(count)].concat();
    let types = [leb(count), vec![0; count]].concat();
    let sections = [section(1, &[1, 0x60, 0, 0]), section(3, &types), section(10, &code)];
    [MODULE, &sections.concat()].concat()
}

/// Returns functions that are a loop with many jumps back to its beginning, each with other locals:
/// accepted by the checks of the structure, and expensive to compile.
pub(crate) fn thickets(locals: usize, jumps: usize, count: usize) -> Vec<u8> {
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
pub(crate) fn slowed(plugin: &[u8], tenths: usize) -> Vec<u8> {
    [plugin, &section(1, &thickets(500, 600, tenths))].concat()
}

/// Returns the compiler process of a server, after its `exec`: before that, it is a copy of the
/// server, which waits for the `exec`.
pub(crate) fn compiler_of(parent: u32) -> Option<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut pids = processes.filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parents = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1));
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        parents == Some(parent.to_string().as_str())
            && command.split(|byte| *byte == 0).nth(1) == Some(b"compile")
    })
}

/// Sends a signal by name, such as `STOP`.
pub(crate) fn signal(name: &str, pid: u32) {
    let mut kill = Command::new("kill");
    let status = kill.arg(format!("-{name}")).arg(pid.to_string()).status();
    assert!(status.expect("kill runs").success());
}

/// Polls until there is a result.
pub(crate) fn poll<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(Instant::now() < until, "it did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Returns whether a process has ended, including zombies.
pub(crate) fn ended(pid: u32) -> Option<()> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.contains(") Z ")).then_some(())
}
