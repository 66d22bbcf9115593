//! The file of the settings, replaced by something else, and written in unusual ways.

use std::fs;
use std::io::Write as _;

use super::{changed, jackfield, page};
use crate::control::status;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const BLOCKED: &str = "access: { blocked: [127.0.0.9] }\n";

/// A site with its own file, which blocks an address.
fn served() -> (Site, Server) {
    let site = Site::open();
    site.write("jackfield.yml", BLOCKED);
    let server = Server::start(site.path());
    (site, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_at_the_place_of_the_file_is_refused() {
    let (site, server) = served();
    let path = site.file("jackfield.yml");
    let check = async |expected: &str, replace: &dyn Fn()| {
        let logged = server.log().len();
        replace();
        server.logged_after(logged, expected);
        server.logged_after(logged, "the settings on disk are refused");
        assert_eq!(page(&server, 9).await.err(), Some(Some(403)), "{expected}");
        let logged = server.log().len();
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
        }
        site.rename_over("jackfield.yml", BLOCKED);
        server.logged_after(logged, "problems of the settings resolved");
    };
    check("it is a directory", &|| {
        site.remove("jackfield.yml");
        fs::create_dir(&path).unwrap();
    })
    .await;
    check("the file of the settings is gone", &|| site.remove("jackfield.yml")).await;
    check("the file of the settings is empty", &|| site.rename_over("jackfield.yml", "")).await;
    check("it is longer than 67108864 bytes", &|| {
        let file = fs::File::create(site.file("large")).unwrap();
        file.set_len(100 << 20).unwrap();
        fs::rename(site.file("large"), &path).unwrap();
    })
    .await;
    check("error: ", &|| site.rename_over("jackfield.yml", [0xff, 0xfe, b'a'])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_appears_is_followed() {
    let site = Site::open();
    let server = Server::start(site.path());
    page(&server, 9).await.unwrap();
    let logged = server.log().len();
    site.write("jackfield.yml", BLOCKED);
    server.logged_after(logged, "settings changed: access.blocked");
    assert_eq!(page(&server, 9).await.err(), Some(Some(403)));
}

#[tokio::test(flavor = "multi_thread")]
async fn kubernetes_replaces_the_folder_behind_a_link() {
    let site = Site::open();
    let volume = tempfile::tempdir().unwrap();
    let version = |name: &str, text: &str| {
        fs::create_dir(volume.path().join(name)).unwrap();
        fs::write(volume.path().join(name).join("jackfield.yml"), text).unwrap();
        std::os::unix::fs::symlink(name, volume.path().join("..next")).unwrap();
        fs::rename(volume.path().join("..next"), volume.path().join("..data")).unwrap();
    };
    version("..1", BLOCKED);
    let link = volume.path().join("jackfield.yml");
    std::os::unix::fs::symlink("..data/jackfield.yml", &link).unwrap();
    let set = format!("--config={}", link.display());
    let server = Server::serving(site.path(), &[&set]);
    let logged = server.log().len();
    version("..2", "access: { blocked: [127.0.0.8] }\n");
    fs::remove_dir_all(volume.path().join("..1")).unwrap();
    server.logged_after(logged, "settings changed: access.blocked");
    assert_eq!(page(&server, 8).await.err(), Some(Some(403)));
    page(&server, 9).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_back_and_forth_is_none() {
    let site = Site::open();
    let server = Server::configured(site.path(), BLOCKED);
    for _ in 0..20 {
        server.reconfigure("access: { blocked: [] }\n");
        server.reconfigure(BLOCKED);
    }
    changed(&server, "access: { blocked: [127.0.0.8] }\n", "settings changed: access.blocked");
    let reloads = status(&server).await["settings"]["reloads"].as_array().unwrap().len();
    assert!(reloads <= 3, "{reloads} for changes that were undone at once");
    assert_eq!(page(&server, 8).await.err(), Some(Some(403)));
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_and_options_stay_above_the_file() {
    let site = Site::open();
    site.write("jackfield.yml", "limits: { connections: 5 }\n");
    let _server = Server::serving(site.path(), &["--set", "limits.user_connections=3"]);
    site.write("jackfield.yml", "limits: { connections: 6, user_connections: 4 }\n");
    let said = jackfield("reload", site.path(), &["--json"]).json();
    assert_eq!(said["settings"]["changed"], serde_json::json!(["limits.connections"]));
}

/// The commands ask the server, which keeps its settings, and do not end at the errors of the file.
#[test]
fn commands_reach_a_server_whose_file_is_wrong() {
    let site = Site::open();
    site.write("jackfield.yml", "limits: { connections: 500 }\n");
    let server = Server::start(site.path());
    let listen = format!("listen: '{}'\n", server.addr);
    site.write("jackfield.yml", format!("{listen}limits: {{ conections: 500 }}\n"));
    for (command, code) in [("status", 0), ("sessions", 0), ("health", 0), ("reload", 1)] {
        let output = jackfield(command, site.path(), &[]);
        assert_eq!(output.code, Some(code), "{command}: {output:?}");
    }
    drop(server);
    for command in ["status", "health"] {
        let output = jackfield(command, site.path(), &[]);
        assert_eq!(output.code, Some(2), "{command}: {output:?}");
        assert!(output.err.contains("error: unknown key `conections`"), "{command}: {output:?}");
    }
}

/// A file that is written in place is empty for a moment, and then a part. Its defaults would admit
/// anybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_being_written_never_admits_anybody() {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let site = Site::open();
    let text = format!("unrouted: broadcast\nauth: {{ jwt: {{ keys: {{ secret: {KEY} }} }} }}\n");
    site.write("jackfield.yml", &text);
    let server = Server::start(site.path());
    let path = site.file("jackfield.yml");
    let writing = tokio::task::spawn_blocking(move || {
        for _ in 0..200 {
            let mut file = fs::File::create(&path).unwrap();
            for part in text.split_inclusive('\n') {
                file.write_all(part.as_bytes()).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    });
    while !writing.is_finished() {
        server.signal("HUP");
        // Refused by the rules, or by the rate of new connections.
        assert!(page(&server, 1).await.is_err());
    }
}
