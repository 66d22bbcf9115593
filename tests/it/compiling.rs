//! Components that are hard to compile: a separate process bears the cost, and the server continues
//! to serve.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use crate::compiler_process::{compiler_of, ended, policies, poll, signal};
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::heavy_component::{
    COMPONENT, HANDLER, component, functions, leb, section, thickets,
};
use jackfield_tests::server::Server;
use jackfield_tests::site::{Site, renamed};

/// Scheduling policies of `sched(7)`, as `/proc/PID/stat` has them.
const SCHED_OTHER: u32 = 0;
const SCHED_IDLE: u32 = 5;
/// Less than any compiled component has, and more than the files about them.
const MIN_CODE_BYTES: u64 = 4_096;

/// Returns nested empty components.
fn nested(depth: usize) -> Vec<u8> {
    let all =
        (1..depth).fold(COMPONENT.to_vec(), |inner, _| [COMPONENT, &section(4, &inner)].concat());
    [&all[..], HANDLER].concat()
}

/// Returns a function whose only instruction is a jump table.
fn table(locals: usize, targets: usize) -> Vec<u8> {
    let code = [&[0x41, 0, 0x0e][..], &leb(targets), &vec![0; targets + 1]].concat();
    component(&functions(locals, &code, 1))
}

/// Returns a component that needs gigabytes of memory to compile.
fn thicket() -> Vec<u8> {
    component(&thickets(5_000, 6_000, 1))
}

fn check(site: &Site, cache: &Path, setting: &str) -> Output {
    Command::new(build::jackfield())
        .arg("check")
        .arg(site.path())
        .args(["--set", setting])
        .env("XDG_CACHE_HOME", cache)
        .output()
        .expect("jackfield runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn components_that_are_hard_to_compile_do_not_delay_the_server() {
    let site = Site::open();
    let config = "plugins: { compile: { memory: 200 MiB } }";
    let mut server = Server::configured(site.path(), config);
    let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
    for (name, bytes, expected) in [
        ("nested", nested(20_000), "components nest more than 32 deep"),
        ("table", table(8_000, 40_000), "8000 locals and jumps to 40001 places"),
        ("thicket", thicket(), "exceeded its memory limit (plugins.compile.memory = 200 MiB)"),
    ] {
        let before = server.log().len();
        site.rename_over(&format!("open/{name}.wasm"), bytes);
        let log = server.logged_after(before, "reload failed;");
        assert!(log.contains(expected), "{name}: {log}");
        let published = client.publish_acknowledged("open/a", json!({}), json!([]), json!({}));
        published.await.unwrap();
        site.remove(&format!("open/{name}.wasm"));
        server.logged_after(before, "problems resolved;");
    }
    assert!(server.is_alive());
    assert!(server.memory() < 300 << 20, "{} bytes", server.memory());
}

/// The failure is cached over a restart.
#[test]
fn files_that_failed_are_not_compiled_again_until_a_limit_changes() {
    let site = Site::new();
    site.write("a/thicket.wasm", thicket());
    let cache = tempfile::tempdir().unwrap();
    let results = cache.path().join("jackfield/results");
    let written = || {
        let entries = fs::read_dir(&results).unwrap().map(|entry| entry.unwrap().metadata());
        entries.map(|it| it.unwrap().modified().unwrap()).collect::<Vec<_>>()
    };
    let failed = |setting: &str, expected: &str| {
        let output = check(&site, cache.path(), setting);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(expected) && said.contains("= help: "), "{said}");
        assert_eq!(output.status.code(), Some(1));
    };
    failed("plugins.compile.memory=150MiB", "plugins.compile.memory = 150 MiB");
    let first = written();
    failed("plugins.compile.memory=150MiB", "plugins.compile.memory = 150 MiB");
    assert_eq!(written(), first);
    failed("plugins.compile.cpu=1s", "CPU time limit (plugins.compile.cpu = 1s)");
    assert_ne!(written(), first);
}

#[test]
fn a_compiler_ends_with_its_server() {
    let site = Site::new();
    site.write("a/thicket.wasm", thicket());
    let cache = tempfile::tempdir().unwrap();
    let mut server = Command::new(build::jackfield())
        .arg("check")
        .arg(site.path())
        .env("XDG_CACHE_HOME", cache.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let compiler = poll(|| compiler_of(server.id()));
    server.kill().unwrap();
    server.wait().unwrap();
    poll(|| ended(compiler));
}

/// All threads of a compiler but those that watch it use only cores that no other thread wants.
#[test]
fn a_compiler_uses_idle_cores() {
    let site = Site::new();
    site.write("a/thicket.wasm", thicket());
    let cache = tempfile::tempdir().unwrap();
    let mut check = Command::new(build::jackfield())
        .arg("check")
        .arg(site.path())
        .env("XDG_CACHE_HOME", cache.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let compiler = poll(|| compiler_of(check.id()));
    let watches = ["cpu-watch", "parent-watch"];
    poll(|| {
        let threads = policies(compiler);
        let others = threads.iter().filter(|(name, _)| !watches.contains(&name.as_str()));
        let others: Vec<_> = others.collect();
        // The compiler starts its threads once it has read the file.
        (others.len() > 1 && others.iter().all(|(_, policy)| *policy == SCHED_IDLE)).then_some(())
    });
    for (name, policy) in policies(compiler) {
        let is_watch = watches.contains(&name.as_str());
        assert_eq!(policy, if is_watch { SCHED_OTHER } else { SCHED_IDLE }, "{name}");
    }
    signal("KILL", check.id());
    check.wait().unwrap();
    poll(|| ended(compiler));
}

/// Its only core belongs to a process of normal priority.
#[test]
fn a_compiler_without_idle_cores_is_started_again() {
    let site = Site::open();
    let pin = |program: &str| {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", "0", program]);
        command
    };
    let mut busy = pin("sh").args(["-c", "while :; do :; done"]).spawn().expect("taskset runs");
    let cache = tempfile::tempdir().unwrap();
    let config = format!("plugins: {{ cache: {} }}", cache.path().display());
    let mut command = pin(&build::jackfield().display().to_string());
    command.env("RUST_LOG", "info");
    let server = Server::launch(command, site.path(), &config, "127.0.0.1:0".parse().unwrap());
    let log = server.log();
    busy.kill().unwrap();
    busy.wait().unwrap();
    assert!(log.contains("is compiled again with a higher priority"), "{log}");
    assert!(!compiled(cache.path()).is_empty(), "{log}");
}

/// A folder that others may write is not used, nor another user's folder.
#[test]
fn ignores_a_cache_that_others_can_write() {
    use std::os::unix::fs::PermissionsExt;

    let site = Site::open();
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().join("jackfield");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let mut command = Command::new(build::jackfield());
    command.env("RUST_LOG", "info");
    let config = format!("plugins: {{ cache: {} }}", folder.display());
    let server = Server::launch(command, site.path(), &config, "127.0.0.1:0".parse().unwrap());
    let log = server.log();
    assert!(log.contains("jackfield can be written by others (mode 777)"), "{log}");
    assert!(log.contains("compiled at each start"), "{log}");
    assert!(fs::read_dir(&folder).unwrap().next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_bundles_only_the_changed_one_is_compiled() {
    const BUNDLES: usize = 40;
    let site = Site::of_bundles(BUNDLES);
    let cache = tempfile::tempdir().unwrap();
    let config = format!("plugins: {{ cache: {} }}", cache.path().display());
    drop(Server::configured(site.path(), &config));
    let first = compiled(cache.path());
    assert_eq!(first.len(), BUNDLES);

    let server = Server::configured(site.path(), &config);
    assert_eq!(compiled(cache.path()), first, "a warm start compiles nothing");
    let bytes = fs::read(site.file("b7/counter.wasm")).unwrap();
    let before = server.log().len();
    site.rename_over("b7/counter.wasm", renamed(&bytes, "1.0.0", "1.0.1"));
    server.logged_after(before, "generation ready");
    let second = compiled(cache.path());
    assert_eq!(second.len(), BUNDLES + 1);
    assert!(first.is_subset(&second));
}

/// Returns the files of compiled components in a cache.
fn compiled(cache: &Path) -> BTreeSet<PathBuf> {
    let (mut folders, mut files) = (vec![cache.to_owned()], BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.metadata().is_ok_and(|it| it.len() > MIN_CODE_BYTES) {
                // A temporary file may be gone already.
                files.insert(path);
            }
        }
    }
    files
}
