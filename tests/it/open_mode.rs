//! `jackfield serve --open`: all topics without a routing file, for clients of this machine.

use std::io::Read as _;
use std::process::{Command, Stdio};

use serde_json::json;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::{Client, NoSession, Options};
use jackfield_tests::peer::{Library, Peer};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn serves_every_topic_without_a_site() {
    let temporary = tempfile::tempdir().unwrap();
    let server = Server::open_mode(temporary.path(), &["--realm", "AppRealm"]);
    let log = server.logged("open mode: every program on this machine may publish");
    assert!(log.contains("help: to close it, serve a site without --open"), "{log}");
    for realm in ["realm1", "AppRealm"] {
        // A program names no page.
        let mut options = Options::new(Codec::Json);
        options.handshake.origin = None;
        let one = Client::connect_with(server.addr, Codec::Json, realm, options);
        let mut one = one.await.unwrap();
        let mut other = Client::connect(server.addr, Codec::MsgPack, realm).await;
        one.subscribe("com.myapp.hello", json!({})).await;
        other
            .publish_acknowledged("com.myapp.hello", json!({}), json!(["hi"]), json!({}))
            .await
            .unwrap();
        assert_eq!(one.event().await.args, json!(["hi"]));
        one.register("com.myapp.add2", json!({})).await.unwrap();
        other.send(&json!([48, 50, {}, "com.myapp.add2", [2, 3]]));
        let invocation = one.invocation().await;
        one.send(&json!([70, invocation[1], {}, [5]]));
        assert_eq!(other.message().await, json!([50, 50, {}, [5]]));
    }
    let mut old = v1::Client::connect(server.addr).await;
    old.subscribe("http://example.com/simple");
    let unknown =
        Client::connect_with(server.addr, Codec::Json, "realm2", Options::new(Codec::Json)).await;
    let Err(NoSession::Aborted { reason, .. }) = unknown else { panic!("an unknown realm") };
    assert_eq!(reason, "wamp.error.no_such_realm");
}

/// A page of the web that a browser on this machine shows could use the server otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_machines_are_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let server = Server::open_mode(temporary.path(), &[]);
    for (origin, is_accepted) in [
        ("https://evil.example", false),
        ("null", false),
        ("http://localhost:3000", true),
        ("http://127.0.0.1", true),
    ] {
        let mut options = Options::new(Codec::Json);
        options.handshake.origin = Some(origin.to_owned());
        let joined = Client::connect_with(server.addr, Codec::Json, "realm1", options).await;
        assert_eq!(joined.is_ok(), is_accepted, "{origin}");
    }
}

#[test]
fn refuses_what_would_open_more_than_this_machine() {
    let site = Site::open();
    let check = |settings: &str, more: &[&str], expect: &str| {
        site.write("jackfield.yml", settings);
        let mut command = Command::new(build::jackfield());
        command.args(["serve", "--open"]).arg(site.path()).args(more);
        let output = command.stdin(Stdio::null()).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{errors}");
        assert!(errors.contains(expect), "{expect}\n{errors}");
    };
    check("# none\n", &["--listen", "0.0.0.0:0"], "0.0.0.0:0 is open to others");
    check("listen: '[::]:0'\n", &[], "[::]:0 is open to others");
    check("listeners: [{ address: 10.0.0.1:0 }]\n", &[], "10.0.0.1:0 is open to others");
    let auth = "auth: { jwt: { keys: { secret: 0123456789abcdef0123456789abcdef } } }\n";
    check(auth, &["--listen", "127.0.0.1:0"], "the settings have `auth`");
    let proxies = "access: { proxies: [127.0.0.1] }\n";
    check(proxies, &["--listen", "127.0.0.1:0"], "clients of `access.proxies` are elsewhere");
    let cluster = "cluster: { nats: { urls: ['nats://127.0.0.1:4222'] } }\n";
    check(cluster, &["--listen", "127.0.0.1:0"], "the settings have `cluster`");
    check("# none\n", &["--realm", "a b"], "write a URI, such as realm1");
    let mut help = String::new();
    let mut serve = Command::new(build::jackfield());
    let mut serve = serve.arg("serve").stderr(Stdio::piped()).spawn().unwrap();
    serve.stderr.take().unwrap().read_to_string(&mut help).unwrap();
    assert!(!serve.wait().unwrap().success());
    assert!(help.contains("<DIR>"), "{help}");
}

#[test]
fn leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let mut server = Server::open_mode(temporary.path(), &[]);
    let names = || std::fs::read_dir(temporary.path()).unwrap().count();
    assert_eq!(names(), 1);
    server.signal("TERM");
    assert_eq!(server.exit_code(), Some(0));
    assert_eq!(names(), 0);
}

/// The first steps of each client library, at the path of its examples.
#[tokio::test(flavor = "multi_thread")]
async fn client_libraries_work_without_a_routing_file() {
    let temporary = tempfile::tempdir().unwrap();
    let server = Server::open_mode(temporary.path(), &["--realm", "AppRealm"]);
    for library in Library::all_v2() {
        for realm in ["realm1", "AppRealm"] {
            let (topic, procedure) = ("com.myapp.hello", "com.myapp.add2");
            let mut peer = Peer::start(library, server.addr, realm, "/ws");
            peer.until("to join", |line| line.get("joined").is_some()).await;
            let mut other = Client::connect(server.addr, Codec::Json, realm).await;
            peer.subscribe(topic, json!({})).await;
            let args = json!(["hello"]);
            other.publish_acknowledged(topic, json!({}), args.clone(), json!({})).await.unwrap();
            assert_eq!(peer.event().await, (topic.to_owned(), args, json!({})), "{library:?}");
            other.subscribe("com.myapp.", json!({ "match": "prefix" })).await;
            let acknowledged = json!({ "acknowledge": true });
            peer.publish(topic, json!([1]), json!({}), acknowledged).await;
            assert_eq!(other.event().await.args, json!([1]), "{library:?}");
            peer.done(json!({ "do": "register", "procedure": procedure })).await;
            other.call(procedure, json!({}), json!([2, 3]), json!({})).await.unwrap();
            peer.leave().await;
        }
    }
}
