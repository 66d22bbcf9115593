//! A wall clock that jumps, as after a suspension or by an operator's mistake: sessions and timers do not
//! depend on it, and tickets are refused only while their time is not that of the clock.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::{Client, NoSession, Options};
use jackfield_tests::packages;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// The library of Debian's package libfaketime.
fn faketime() -> PathBuf {
    packages::ensure("libfaketime", || {
        let libraries = std::fs::read_dir("/usr/lib").ok()?;
        let paths = libraries.flatten().map(|it| it.path().join("faketime/libfaketime.so.1"));
        paths.into_iter().find(|path| path.exists())
    })
}

/// Serves with a clock that is off by the content of a file.
fn serve(site: &Site, offset: &Path) -> Server {
    let mut command = Command::new(build::jackfield());
    command
        .env("RUST_LOG", "info,jackfield=debug")
        .env("LD_PRELOAD", faketime())
        .env("FAKETIME_TIMESTAMP_FILE", offset)
        .env("FAKETIME_NO_CACHE", "1")
        // The wall clock alone: timers of the runtime follow the monotonic clock.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let users = site.file("users.yml");
    site.write("users.yml", "users: { ann: { id: 7, password: hash-of-ann, roles: [member] } }\n");
    let settings = format!(
        "auth: {{ tickets: {{ secret: kernel-secret }}, users: {{ file: '{}' }} }}\n\
         allow: {{ publish: [member] }}\nkeepalive: {{ interval: 300ms, timeout: 3s }}\n",
        users.display()
    );
    site.write("jackfield.yml", &settings);
    Server::launch(command, site.path(), &settings, "127.0.0.1:0".parse().unwrap())
}

/// A ticket of the true time.
fn ticket(site: &Site) -> String {
    let output = Command::new(build::jackfield())
        .args(["ticket", "--user", "ann"])
        .arg(site.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn join(server: &Server, site: &Site) -> Result<Client, NoSession> {
    let mut options = Options::new(Codec::Json);
    let ticket = ticket(site).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    options.handshake.path = format!("/?ticket={ticket}");
    Client::connect_with(server.addr, Codec::Json, "realm1", options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn jumps_of_the_wall_clock_end_no_session() {
    let site = Site::open();
    let folder = tempfile::tempdir().unwrap();
    let offset = folder.path().join("offset");
    std::fs::write(&offset, "+0").unwrap();
    let server = serve(&site, &offset);
    let mut subscriber = join(&server, &site).await.map_err(drop).unwrap();
    subscriber.subscribe("open/a", json!({})).await;
    let mut publisher = join(&server, &site).await.map_err(drop).unwrap();
    for (number, (jump, is_admitted)) in
        [("+2h", false), ("+0", true), ("-2h", false), ("+3650d", false), ("+0", true)]
            .into_iter()
            .enumerate()
    {
        std::fs::write(&offset, jump).unwrap();
        // Old sessions, and the pings of several intervals.
        for _ in 0..3 {
            let publication =
                publisher.publish_acknowledged("open/a", json!({}), json!([number]), Value::Null);
            publication.await.unwrap();
            assert_eq!(subscriber.event().await.args, json!([number]), "{jump}");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        let joined = join(&server, &site).await;
        assert_eq!(joined.is_ok(), is_admitted, "{jump}: {}", server.log());
    }
}
