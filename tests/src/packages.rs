//! Debian's packages that tests need: installed if this is root, otherwise named.

use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// The package manager permits one installation at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Ensures that a program is installed: installs its package if it is missing.
pub fn installed(program: &str, package: &str) {
    ensure(package, || {
        let mut found = Command::new("sh");
        let found = found.args(["-c", &format!("command -v {program}")]).stdout(Stdio::null());
        found.status().expect("sh runs").success().then_some(())
    });
}

/// Returns the result of `find`, after these packages are installed if there is none.
pub fn ensure<T>(packages: &str, find: impl Fn() -> Option<T>) -> T {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = find() {
        return found;
    }
    let install =
        format!("apt-get update -qq && apt-get install -qq -y --no-install-recommends {packages}");
    let mut apt = Command::new("sh");
    let output = apt.args(["-c", &install]).env("DEBIAN_FRONTEND", "noninteractive").output();
    let output = output.expect("sh runs");
    find().unwrap_or_else(|| {
        let text = String::from_utf8_lossy(&output.stderr);
        panic!("{packages}: not installed; as root: {install}\n{text}")
    })
}
