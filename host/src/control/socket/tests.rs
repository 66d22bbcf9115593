//! Control sockets in temporary folders: modes, locks, leftovers, and files of others.

use std::os::unix::fs::symlink;

use super::*;

fn open(path: &Path) -> Result<ControlSocket, SocketError> {
    ControlSocket::open(path)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn is_open_to_its_user_alone() {
    let folder = folder();
    let path = folder.path().join("a.sock");
    let socket = open(&path).unwrap();
    assert_eq!(path.symlink_metadata().unwrap().mode() & 0o777, 0o600);
    assert!(socket.is_there());
    socket.remove();
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

/// A name appears together with its mode: a watcher that looks all the time sees no other.
#[tokio::test]
async fn has_its_mode_from_the_first_moment() {
    let folder = folder();
    let path = folder.path().join("a.sock");
    let (seen, stop) =
        (path.clone(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let stopped = std::sync::Arc::clone(&stop);
    let watcher = std::thread::spawn(move || {
        let mut modes = std::collections::BTreeSet::new();
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            modes.extend(seen.symlink_metadata().map(|it| it.mode() & 0o777));
        }
        modes
    });
    for _ in 0..2_000 {
        open(&path).unwrap().remove();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(watcher.join().unwrap().into_iter().all(|mode| mode == 0o600));
}

#[tokio::test]
async fn one_server_has_it_at_a_time() {
    let folder = folder();
    let path = folder.path().join("a.sock");
    let first = open(&path).unwrap();
    let error = open(&path).err().unwrap().to_string();
    let pid = std::process::id();
    assert!(error.ends_with(&format!("is in use by another server (pid {pid})")), "{error}");
    // A dropped one is as one of a killed process: the socket is left, the lock is free.
    drop(first);
    assert!(path.exists());
    open(&path).unwrap().remove();
    open(&path).unwrap();
}

/// Two servers that start and stop at the same time never both have it.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_race_have_it_in_turn() {
    let folder = folder();
    let path = folder.path().join("a.sock");
    let holders = std::sync::atomic::AtomicUsize::new(0);
    let runtime = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let _within = runtime.enter();
                for _ in 0..300 {
                    let Ok(socket) = open(&path) else { continue };
                    assert_eq!(holders.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                    assert!(socket.is_there());
                    holders.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    socket.remove();
                }
            });
        }
    });
}

#[tokio::test]
async fn replaces_a_leftover_and_no_living_socket() {
    let folder = folder();
    let path = folder.path().join("a.sock");
    let living = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert!(matches!(open(&path), Err(SocketError::InUse { pid: None, .. })));
    drop(living);
    let socket = open(&path).unwrap();
    assert!(socket.is_there());
}

#[tokio::test]
async fn leaves_alone_everything_that_is_no_socket() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("file"), "precious").unwrap();
    std::fs::create_dir(at("dir")).unwrap();
    symlink(at("file"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    for name in ["file", "dir", "link", "dangling"] {
        let error = open(&at(name)).err().unwrap();
        assert!(matches!(error, SocketError::Foreign { .. }), "{name}: {error}");
        assert!(at(name).symlink_metadata().is_ok(), "{name}");
    }
    assert_eq!(std::fs::read_to_string(at("file")).unwrap(), "precious");
    // Nor through its lock.
    symlink(at("file"), at("a.sock.lock")).unwrap();
    let error = open(&at("a.sock")).err().unwrap();
    assert!(matches!(error, SocketError::Foreign { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(at("file")).unwrap(), "precious");
}

#[tokio::test]
async fn removes_only_itself() {
    let folder = folder();
    let path = folder.path().join("a.sock");
    let socket = open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "another").unwrap();
    assert!(!socket.is_there());
    socket.remove();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "another");
}

#[tokio::test]
async fn rejects_places_that_others_can_change() {
    let folder = folder();
    let shared = folder.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::set_permissions(&shared, Permissions::from_mode(0o777)).unwrap();
    let error = open(&shared.join("a.sock")).err().unwrap();
    assert!(matches!(error, SocketError::Folder { .. }), "{error}");
    let error = make_folder(&shared).unwrap_err();
    assert!(error.to_string().contains("is open to other users"), "{error}");
    // A sticky folder keeps the names of others.
    std::fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
    open(&shared.join("a.sock")).unwrap().remove();
    symlink(&shared, folder.path().join("link")).unwrap();
    let error = make_folder(&folder.path().join("link")).unwrap_err();
    assert!(error.to_string().contains("is not a folder"), "{error}");
}

#[tokio::test]
async fn a_path_that_is_too_long_is_told() {
    let folder = folder();
    let name = "x".repeat(120);
    let error = open(&folder.path().join(name)).err().unwrap();
    assert!(matches!(error, SocketError::TooLong { .. }), "{error}");
    let longest = MAX_PATH_BYTES - folder.path().as_os_str().len() - 1;
    open(&folder.path().join("x".repeat(longest))).unwrap().remove();
    // Of the default places, the next one is taken.
    let long = folder.path().join("x".repeat(120));
    let short = folder.path().join("short");
    let places = [&long, &short]
        .map(|folder| SocketPlace { path: folder.join("a.sock"), makes_folder: true });
    let socket = Places::Default(places.into()).open().unwrap();
    assert!(socket.path.starts_with(&short));
}
