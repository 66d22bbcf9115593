//! Servers of names that hang: a look-up of `*.hang.test` never returns. A library that is loaded before
//! glibc takes the place of `getaddrinfo`, as a resolver whose packets are lost would block in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::packages::installed;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

use crate::outgoing::{member, order, report, settings, site};

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef int Lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *name, const char *port, const struct addrinfo *hints, struct addrinfo **found) {
    if (name && strstr(name, ".hang.test")) {
        dprintf(2, "looking up %s\n", name);
        for (;;) pause();
    }
    return ((Lookup *)dlsym(RTLD_NEXT, "getaddrinfo"))(name, port, hints, found);
}
"#;

/// Compiles the library.
fn hanging(folder: &Path) -> PathBuf {
    installed("cc", "gcc");
    let [source, library] = ["names.c", "names.so"].map(|name| folder.join(name));
    std::fs::write(&source, SOURCE).unwrap();
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

/// Names of a plugin's server, of the source of users, and of the collector of spans.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_hang_hold_no_message() {
    let (site, folder) = (site(), tempfile::tempdir().unwrap());
    let more = "auth:\n  tickets: { secret: s3cret }\n  users: { http: { url: 'http://users.hang.test/{username}', \
                connect_timeout: 500ms, timeout: 500ms } }\naccess: { anonymous: true }\n\
                allow: { publish: [anonymous], register: [anonymous] }\nshutdown: { wait: 0s, spread: 0s, grace: 1s }\n\
                traces: { endpoint: 'http://collector.hang.test/v1/traces' , sample: 1 }\n";
    let policy = "http: { allow: ['http://plugin.hang.test'], timeout: 500ms }";
    let config = settings(policy, more);
    let mut command = Command::new(build::jackfield());
    command.env("RUST_LOG", "info,jackfield=debug").env("LD_PRELOAD", hanging(folder.path()));
    let any_port = "127.0.0.1:0".parse().unwrap();
    let mut server = Server::launch(command, site.path(), &config, any_port);

    // Requests of a plugin end at their deadline. Its other hooks run meanwhile.
    let mut client = member(&server).await;
    for tag in 0..8 {
        order(&mut client, json!({ "url": "http://plugin.hang.test/", "tag": tag })).await;
    }
    let echo = json!([{ "do": "echo" }]);
    let (args, _) = client.call("out/a", json!({}), echo.clone(), json!({})).await.unwrap();
    assert_eq!(args, echo);
    for _ in 0..8 {
        let report = report(&mut client).await;
        assert_eq!(report[0], "failed", "{report}");
    }
    server.logged("looking up plugin.hang.test");
    server.logged("http://plugin.hang.test");

    // Clients without a ticket, and open sessions, do not notice the source of users.
    let mut options = Options::new(Codec::Json);
    options.handshake.path = format!("/?ticket={}", ticket());
    let refused = Client::connect_with(server.addr, Codec::Json, "realm1", options).await;
    let refused = format!("{:?}", refused.err().unwrap());
    assert!(refused.contains("status: Some(503)"), "{refused}");
    server.logged("users.hang.test");
    let mut other = Client::connect(server.addr, Codec::Json, "realm1").await;
    other.subscribe("open/a", json!({})).await;
    client.publish_acknowledged("open/a", json!({}), json!([1]), json!(null)).await.unwrap();
    assert_eq!(other.event().await.args, json!([1]));

    // Spans are lost; no message has waited for them.
    server.logged("collector.hang.test");
    for number in 0..100 {
        client
            .publish_acknowledged("open/a", json!({}), json!([number]), json!(null))
            .await
            .unwrap();
        assert_eq!(other.event().await.args, json!([number]));
    }
    // A look-up cannot be stopped, and does not hold up the end of the server.
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
}

/// A ticket of ann, made with another source of users.
fn ticket() -> String {
    let desk = Site::open();
    let users = desk.file("users.yml");
    desk.write("users.yml", "users: { ann: { id: 7, password: hash-of-ann } }\n");
    let settings = format!(
        "auth: {{ tickets: {{ secret: s3cret }}, users: {{ file: '{}' }} }}\n",
        users.display()
    );
    desk.write("jackfield.yml", settings);
    let made = Command::new(build::jackfield())
        .args(["ticket", "--user", "ann"])
        .arg(desk.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let ticket = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    ticket.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}
