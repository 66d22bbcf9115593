//! The compiler process of a server under test, and signals to it.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use jackfield_tests::client::PATIENCE;

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

/// Returns the threads of a process: names, and scheduling policies (field 41 of `proc(5)`).
pub(crate) fn policies(pid: u32) -> Vec<(String, u32)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    // A thread may end meanwhile.
    let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    let policies = stats.map(|stat| {
        let (name, rest) =
            stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") ")).unwrap();
        (name.to_owned(), rest.split(' ').nth(38).unwrap().parse().unwrap())
    });
    policies.collect()
}
