//! Tests of the watcher with ordinary changes on real file systems.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;

/// Watches a new site, makes a change, and waits for it; hangs if it is not noticed.
async fn noticed(poll: Option<Duration>, before: fn(&Path), change: fn(&Path)) {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("site");
    fs::create_dir(&directory).unwrap();
    before(&directory);
    let site = Site::new(&directory);
    let settings = config::Watch { poll, settle: Duration::from_millis(10) };
    let mut watch = Watch::new(site.clone(), settings);
    watch.follow(&site.directories().unwrap());
    if matches!(watch.source, Source::Polling { .. }) {
        watch.settled().await;
    }
    change(&directory);
    watch.settled().await;
}

#[tokio::test]
async fn notices_every_ordinary_change() {
    for poll in [None, Some(Duration::from_millis(20))] {
        let nothing = |_: &Path| {};
        let bundle = |site: &Path| {
            fs::create_dir(site.join("a")).unwrap();
            fs::write(site.join("a/p.wasm"), "1").unwrap();
        };
        noticed(poll, nothing, |site| fs::write(site.join("p.wasm"), "1").unwrap()).await;
        noticed(poll, bundle, |site| fs::write(site.join("a/p.wasm"), "22").unwrap()).await;
        noticed(poll, bundle, |site| fs::remove_dir_all(site.join("a")).unwrap()).await;
        noticed(poll, bundle, |site| fs::rename(site.join("a"), site.join("b")).unwrap()).await;
        noticed(poll, bundle, |site| {
            fs::write(site.join(".p.new"), "22").unwrap();
            fs::rename(site.join(".p.new"), site.join("a/p.wasm")).unwrap();
        })
        .await;
        let linked = |site: &Path| {
            for version in ["..v1", "..v2"] {
                fs::create_dir(site.join(version)).unwrap();
                fs::write(site.join(version).join("p.wasm"), version).unwrap();
            }
            symlink("..v1", site.join("..data")).unwrap();
            symlink("..data/p.wasm", site.join("p.wasm")).unwrap();
        };
        noticed(poll, linked, |site| {
            symlink("..v2", site.join("..new")).unwrap();
            fs::rename(site.join("..new"), site.join("..data")).unwrap();
        })
        .await;
        noticed(poll, bundle, |site| {
            fs::rename(site, site.with_extension("old")).unwrap();
            fs::create_dir(site).unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn notices_a_change_through_another_hard_link() {
    for poll in [None, Some(Duration::from_millis(20))] {
        let linked = |site: &Path| {
            fs::write(site.with_extension("wasm"), "1").unwrap();
            fs::hard_link(site.with_extension("wasm"), site.join("p.wasm")).unwrap();
        };
        noticed(poll, linked, |site| fs::write(site.with_extension("wasm"), "22").unwrap()).await;
        // Two names of one file within the site are one watch for the system.
        let twice = |site: &Path| {
            fs::write(site.join("p.wasm"), "1").unwrap();
            fs::hard_link(site.join("p.wasm"), site.join("q.wasm")).unwrap();
            fs::hard_link(site.join("p.wasm"), site.with_extension("wasm")).unwrap();
        };
        noticed(poll, twice, |site| fs::write(site.with_extension("wasm"), "22").unwrap()).await;
        noticed(poll, twice, |site| fs::write(site.join("q.wasm"), "22").unwrap()).await;
    }
}

#[tokio::test]
async fn notices_a_hard_link_that_is_made_while_the_site_is_watched() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("site");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("p.wasm"), "1").unwrap();
    let site = Site::new(&directory);
    let settings = config::Watch { poll: None, settle: Duration::from_millis(10) };
    let mut watch = Watch::new(site.clone(), settings);
    watch.follow(&site.directories().unwrap());
    let other = root.path().join("other");
    fs::hard_link(directory.join("p.wasm"), &other).unwrap();
    watch.settled().await;
    watch.follow(&site.directories().unwrap());
    fs::write(&other, "22").unwrap();
    watch.settled().await;
    // A rename replaces the file under one name, and then a link that under the other name.
    fs::write(directory.join(".new"), "333").unwrap();
    fs::rename(directory.join(".new"), directory.join("p.wasm")).unwrap();
    watch.settled().await;
    watch.follow(&site.directories().unwrap());
    fs::remove_file(&other).unwrap();
    fs::hard_link(directory.join("p.wasm"), &other).unwrap();
    watch.settled().await;
    watch.follow(&site.directories().unwrap());
    fs::write(&other, "4444").unwrap();
    watch.settled().await;
}

/// A bind mount, removed when it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// Mounts `from` at `to`; an error if the test has no permission.
    fn bind(from: &Path, to: &Path) -> Result<Self, String> {
        let mount = std::process::Command::new("mount").arg("--bind").args([from, to]).output();
        let mount = mount.map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&mount.stderr).into_owned();
        if mount.status.success() { Ok(Self(to.to_owned())) } else { Err(said) }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _status = std::process::Command::new("umount").arg(&self.0).status();
    }
}

/// If mounting is not permitted, `notices_a_change_through_another_hard_link` has to be enough: for
/// the watch, both are another name of one inode.
#[tokio::test]
async fn notices_a_change_through_the_name_a_file_is_mounted_from() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("site");
    fs::create_dir(&directory).unwrap();
    let (from, to) = (root.path().join("from.wasm"), directory.join("p.wasm"));
    fs::write(&from, "1").unwrap();
    fs::write(&to, "").unwrap();
    let _mounted = match Mounted::bind(&from, &to) {
        Ok(mounted) => mounted,
        // Mounting requires root. CI has it, so that this test runs somewhere.
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "cannot mount: {error}");
            return;
        }
    };
    let site = Site::new(&directory);
    let settings = config::Watch { poll: None, settle: Duration::from_millis(10) };
    let mut watch = Watch::new(site.clone(), settings);
    watch.follow(&site.directories().unwrap());
    fs::write(&from, "22").unwrap();
    watch.settled().await;
}

#[tokio::test]
async fn watches_a_directory_again_after_it_was_recreated() {
    let root = tempfile::tempdir().unwrap();
    let site = Site::new(root.path());
    let bundle = root.path().join("a");
    let settings = config::Watch { poll: None, settle: Duration::from_millis(10) };
    let mut watch = Watch::new(site.clone(), settings);
    watch.follow(&site.directories().unwrap());
    for round in 0..5 {
        fs::create_dir(&bundle).unwrap();
        watch.settled().await;
        watch.follow(&site.directories().unwrap());
        fs::write(bundle.join("p.wasm"), round.to_string()).unwrap();
        watch.settled().await;
        fs::remove_dir_all(&bundle).unwrap();
        watch.settled().await;
        watch.follow(&site.directories().unwrap());
    }
}

#[tokio::test]
async fn waits_for_a_file_that_is_being_written() {
    let root = tempfile::tempdir().unwrap();
    let site = Site::new(root.path());
    let settings = config::Watch { poll: None, settle: Duration::from_millis(1) };
    let mut watch = Watch::new(site.clone(), settings);
    watch.follow(&site.directories().unwrap());
    let mut file = File::create(root.path().join("p.wasm")).unwrap();
    file.write_all(b"half").unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), watch.settled()).await;
    assert!(early.is_err(), "it settled while the file was open");
    drop(file);
    watch.settled().await;
}

#[tokio::test]
async fn waits_for_a_folder_that_is_being_copied() {
    let root = tempfile::tempdir().unwrap();
    let site = Site::new(root.path());
    let settings = config::Watch { poll: None, settle: Duration::from_millis(300) };
    let mut watch = Watch::new(site.clone(), settings);
    watch.follow(&site.directories().unwrap());
    fs::create_dir(root.path().join("a")).unwrap();
    let mut file = File::create(root.path().join("a/p.wasm")).unwrap();
    for _ in 0..40 {
        file.write_all(b"some").unwrap();
        let early = tokio::time::timeout(Duration::from_millis(20), watch.settled()).await;
        assert!(early.is_err(), "it settled while the file was being copied");
    }
    drop(file);
    watch.settled().await;
}

#[tokio::test]
async fn ignores_reads_and_editor_files() {
    let root = tempfile::tempdir().unwrap();
    let site = Site::new(root.path());
    fs::write(root.path().join("p.wasm"), "1").unwrap();
    let settings = config::Watch { poll: None, settle: Duration::from_millis(1) };
    let mut watch = Watch::new(site.clone(), settings);
    watch.follow(&site.directories().unwrap());
    fs::write(root.path().join(".p.swp"), "1").unwrap();
    fs::read(root.path().join("p.wasm")).unwrap();
    let quiet = tokio::time::timeout(Duration::from_millis(100), watch.settled()).await;
    assert!(quiet.is_err(), "reading or an editor's file counted as a change");
}
