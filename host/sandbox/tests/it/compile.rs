//! Compiling by a process of its own: what is remembered, and that no process is left behind. A
//! shell script stands in for the compiler; that the real one does its work, and keeps its limits,
//! is tried with the server.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jackfield_sandbox::{CompileCommand, CompileLimits, Sandbox, SandboxError, SandboxSettings};

use crate::stage::{audience, policy};

/// A component without any code, whose export `handler` has no functions.
const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0\x05\x03\x01\x01\0\x0b\x24\x01\0\x1e\
                       jackfield:plugin/handler@0.2.0\x05\0\0";

/// A sandbox whose compiler is a script.
struct Fixture {
    folder: tempfile::TempDir,
    limits: CompileLimits,
}

impl Fixture {
    /// The script notes each of its starts first.
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let starts = folder.path().join("starts").display().to_string();
        let script = format!("echo $$ >> {starts}\n{script}\n");
        fs::write(folder.path().join("script"), script).unwrap();
        Self { folder, limits: CompileLimits::default() }
    }

    fn sandbox(&self) -> Sandbox {
        let command = CompileCommand {
            program: PathBuf::from("/no/such/program"),
            fallback: Some(PathBuf::from("/bin/sh")),
            subcommand: self.path("script").display().to_string(),
            environment: Vec::new(),
            limits: self.limits,
        };
        let settings = SandboxSettings {
            cache: Some(self.path("cache")),
            compile: Some(command),
            ..Default::default()
        };
        Sandbox::new(settings).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The processes that were started.
    fn starts(&self) -> Vec<String> {
        let starts = fs::read_to_string(self.path("starts")).unwrap_or_default();
        starts.lines().map(str::to_owned).collect()
    }
}

async fn load(sandbox: &Sandbox, bytes: &[u8]) -> SandboxError {
    sandbox.load("a.wasm", bytes, policy(), audience()).await.unwrap_err()
}

/// Waits until the process is gone, or only its parent's to be asked about.
async fn ended(pid: &str) {
    let stat = Path::new("/proc").join(pid).join("stat");
    while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn started(fixture: &Fixture) -> String {
    loop {
        if let Some(pid) = fixture.starts().pop() {
            return pid;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn remembers_files_that_failed_to_compile() {
    let mut fixture = Fixture::new("echo 'memory allocation of 9 bytes failed' >&2; kill -ABRT $$");
    let sandbox = fixture.sandbox();
    for _ in 0..2 {
        let text = load(&sandbox, EMPTY).await.to_string();
        assert!(
            text.contains("exceeded its memory limit (plugins.compile.memory = 2 GiB)"),
            "{text}"
        );
    }
    assert_eq!(fixture.starts().len(), 1);
    // Another process knows it as well, and tries again once it may take more.
    load(&fixture.sandbox(), EMPTY).await;
    assert_eq!(fixture.starts().len(), 1);
    fixture.limits.memory *= 2;
    load(&fixture.sandbox(), EMPTY).await;
    assert_eq!(fixture.starts().len(), 2);
    // Another file is another matter.
    load(&fixture.sandbox(), &[EMPTY, &[0, 1, 0]].concat()).await;
    assert_eq!(fixture.starts().len(), 3);
}

#[tokio::test]
async fn never_falls_back_to_compiling_in_the_server() {
    for script in ["exit 0", "exit 1", "kill -KILL $$", "echo nonsense", "kill -SEGV $$"] {
        let fixture = Fixture::new(script);
        let error = load(&fixture.sandbox(), EMPTY).await;
        assert!(matches!(error, SandboxError::Compiler { .. }), "{script}: {error}");
    }
    // Code for another engine is not looked for.
    let fixture = Fixture::new(r#"echo '{"engine":1,"failure":null}'"#);
    let text = load(&fixture.sandbox(), EMPTY).await.to_string();
    assert!(text.contains("its version differs from the server's"), "{text}");
}

#[tokio::test]
async fn compiles_with_low_priority_while_no_core_is_idle() {
    let fixture = Fixture::new(
        "case \" $* \" in *' --idle '*) echo idle >&2; exit 75;; esac
         echo 'it has low priority' >&2; exit 1",
    );
    let sandbox = fixture.sandbox();
    let text = load(&sandbox, EMPTY).await.to_string();
    assert!(text.contains("it has low priority"), "{text}");
    assert_eq!(fixture.starts().len(), 2);
    // The machine is still busy.
    let text = load(&sandbox, &[EMPTY, &[0, 1, 0]].concat()).await.to_string();
    assert!(text.contains("it has low priority"), "{text}");
    assert_eq!(fixture.starts().len(), 3);
}

#[tokio::test]
async fn gives_up_on_a_compiler_that_gives_up_twice() {
    let fixture = Fixture::new("exit 75");
    let text = load(&fixture.sandbox(), EMPTY).await.to_string();
    assert!(text.contains("it gave up for lack of CPU time"), "{text}");
    assert_eq!(fixture.starts().len(), 2);
}

/// The second process has the rest of the time.
#[tokio::test]
async fn kills_a_compiler_with_low_priority_at_the_same_deadline() {
    let mut fixture =
        Fixture::new("case \" $* \" in *' --idle '*) exit 75;; esac; exec sleep 1000");
    fixture.limits.time = Duration::from_millis(300);
    let text = load(&fixture.sandbox(), EMPTY).await.to_string();
    assert!(text.contains("exceeded its time limit (plugins.compile.time = 300ms)"), "{text}");
    for pid in fixture.starts() {
        ended(&pid).await;
    }
}

#[tokio::test]
async fn kills_a_compiler_at_its_deadline() {
    let mut fixture = Fixture::new("exec sleep 1000");
    fixture.limits.time = Duration::from_millis(300);
    let sandbox = fixture.sandbox();
    let text = load(&sandbox, EMPTY).await.to_string();
    assert!(text.contains("exceeded its time limit (plugins.compile.time = 300ms)"), "{text}");
    ended(&started(&fixture).await).await;
    assert!(sandbox.compiling().is_empty());
}

#[tokio::test]
async fn kills_a_compiler_whose_result_is_dropped() {
    let fixture = Fixture::new("exec sleep 1000");
    let sandbox = fixture.sandbox();
    let loading = load(&sandbox, EMPTY);
    let pid = tokio::select! {
        error = loading => panic!("{error}"),
        pid = async {
            let pid = started(&fixture).await;
            assert_eq!(sandbox.compiling()[0].file, "a.wasm");
            pid
        } => pid,
    };
    ended(&pid).await;
    assert!(sandbox.compiling().is_empty());
}

#[tokio::test]
async fn names_a_compiler_that_cannot_be_started() {
    let fixture = Fixture::new("");
    let command = CompileCommand {
        program: PathBuf::from("/no/such/program"),
        fallback: None,
        subcommand: String::new(),
        environment: Vec::new(),
        limits: fixture.limits,
    };
    let settings = SandboxSettings {
        cache: Some(fixture.path("cache")),
        compile: Some(command),
        ..Default::default()
    };
    let text = load(&Sandbox::new(settings).unwrap(), EMPTY).await.to_string();
    assert!(text.contains("/no/such/program cannot be started"), "{text}");
}
