//! Facts about the process from `/proc`, in the names that monitoring systems know.

use std::fs;

use jackfield_metrics::Page;
use rustix::process::{Resource, getrlimit};

use super::catalogue;

/// Clock ticks of a second in `/proc/self/stat`: a constant of Linux for programs (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Writes what can be read; other systems have no `/proc`.
pub(super) fn write(page: &mut Page) {
    if let Some(ticks) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_ticks) {
        page.single(&catalogue::CPU, ticks / TICKS_PER_SECOND);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(bytes) = resident_bytes(&status) {
        page.single(&catalogue::RESIDENT, bytes);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder itself.
        page.single(&catalogue::OPEN_FILES, files.count().saturating_sub(1));
    }
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        page.single(&catalogue::MAX_FILES, limit);
    }
}

/// Returns the CPU ticks in user and system mode: fields 14 and 15, of which the second one, the
/// program's name, may have spaces.
fn cpu_ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// Returns the resident memory.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_cpu_time_and_memory() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 900 0 3 0 250 50 0 0 20 0 3 0 12345 0 0";
        assert_eq!(cpu_ticks(stat), Some(300.0));
        assert_eq!(cpu_ticks("42 (a"), None);
        assert_eq!(resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t   12 kB\n"), Some(12 << 10));
        assert_eq!(resident_bytes(""), None);
    }

    #[test]
    fn finds_this_process() {
        let mut page = Page::default();
        write(&mut page);
        let text = page.into_text();
        for name in
            ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"]
        {
            assert!(text.contains(&format!("\n{name} ")), "{text}");
        }
    }
}
