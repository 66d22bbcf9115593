//! CPU time and memory of processes and threads, from Linux' `/proc`. On other systems the figures
//! are omitted.

use std::fs;
use std::path::Path;

/// Clock ticks per second in `/proc/PID/stat`: the kernel's `USER_HZ`, 100 on every server
/// architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resources of processes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// CPU time, in seconds.
    pub(crate) cpu: f64,
    /// Memory in bytes.
    pub(crate) memory: u64,
}

/// Returns the resources of several processes together. `None` if one of them does not exist.
pub(crate) fn usage(pids: &[u32]) -> Option<Usage> {
    if pids.is_empty() {
        return None;
    }
    let mut sum = Usage::default();
    for pid in pids {
        let folder = format!("/proc/{pid}");
        sum.cpu += cpu(Path::new(&folder))?;
        sum.memory += memory(&fs::read_to_string(format!("{folder}/status")).ok()?)?;
    }
    Some(sum)
}

/// CPU time of each thread of this process, in seconds.
pub(crate) fn threads(ids: &[u32]) -> Vec<f64> {
    let folders = ids.iter().map(|id| format!("/proc/self/task/{id}"));
    folders.filter_map(|folder| cpu(Path::new(&folder))).collect()
}

/// Returns the calling thread's id.
pub(crate) fn thread_id() -> Option<u32> {
    fs::read_link("/proc/thread-self").ok()?.file_name()?.to_str()?.parse().ok()
}

/// Sets the timer slack to a minimum: with the default of 50 µs, each latency at a fixed rate would
/// include it. If that fails, the reported lag shows it.
pub(crate) fn minimize_timer_slack() {
    if let Some(id) = thread_id() {
        let _best_effort = fs::write(format!("/proc/{id}/timerslack_ns"), "1");
    }
}

/// CPU time of the whole machine in seconds: used, and total.
pub(crate) fn machine() -> Option<(f64, f64)> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let fields = stat.lines().next()?.split_whitespace().skip(1);
    // Guest time, after the first eight fields, is part of user time.
    let ticks: Vec<f64> = fields.take(8).filter_map(|field| field.parse().ok()).collect();
    let all: f64 = ticks.iter().sum();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    Some(((all - idle) / TICKS_PER_SECOND, all / TICKS_PER_SECOND))
}

fn cpu(folder: &Path) -> Option<f64> {
    ticks(&fs::read_to_string(folder.join("stat")).ok()?)
}

/// User and system time: fields 14 and 15, counted after the name, which may contain anything.
fn ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// Private memory, without mapped files such as the executable.
fn memory(status: &str) -> Option<u64> {
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse().ok()
    };
    let own = match (field("RssAnon"), field("RssShmem")) {
        (Some(anonymous), Some(shared)) => anonymous + shared,
        _ => field("VmRSS")?,
    };
    Some(own * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_may_contain_anything() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 77 1 1";
        assert_eq!(ticks(stat), Some(3.0));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn memory_excludes_mapped_files() {
        let status = "Name:\tx\nVmRSS:\t    900 kB\nRssAnon:\t     500 kB\nRssFile:\t 380 kB\n\
                      RssShmem:\t      20 kB\n";
        assert_eq!(memory(status), Some(520 * 1024));
        assert_eq!(memory("VmRSS:\t    900 kB\n"), Some(900 * 1024));
        assert_eq!(memory("Name:\tx\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn measures_this_process() {
        let usage = usage(&[std::process::id()]).unwrap();
        assert!(usage.memory > 0);
        assert_eq!(threads(&[thread_id().unwrap()]).len(), 1);
        assert!(machine().unwrap().1 > 0.0);
        assert_eq!(super::usage(&[u32::MAX]), None);
        assert_eq!(super::usage(&[]), None);
    }
}
