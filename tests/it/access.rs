//! Access control of a running server: tickets, tokens, addresses, origins and paths; users and
//! keys that change; many clients at once.

mod application;
pub(crate) mod databases;
mod files;
mod limits;
mod tokens;

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::JoinSet;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v1::{self, Reach};
use jackfield_tests::client::v2::{self, NoSession};
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const USERS: &str = "\
users:
    ann: { id: 7, password: hash-of-ann, roles: [member], organization: 1 }
    bob: { id: 8, password: hash-of-bob, roles: [member] }
";
pub(crate) const ROUTES: &str = "\
open: { channel: 'open/{name}', handler: { callback: 'broadcast' } }
members:
    channel: 'members/{name}'
    handler: { callback: 'broadcast' }
    allow: { subscribe: [member], publish: [member] }
inbox: { channel: 'inbox/{user_id}', handler: { callback: 'secured' } }
";

/// A server that requires tickets, with its settings and users in its site.
pub(crate) struct Guarded {
    pub(crate) site: Site,
    pub(crate) server: Server,
}

impl Guarded {
    /// Starts the server; `more` are further settings.
    fn start(more: &str) -> Self {
        let site = Site::new();
        site.bundle("routes", ROUTES, &[build::plugin("broadcast"), build::plugin("secured")]);
        site.write("users.yml", USERS);
        let settings = format!(
            "auth:\n  tickets: {{ secret: kernel-secret }}\n  users: {{ file: users.yml }}\n{more}"
        );
        Self::with(site, &settings)
    }

    pub(crate) fn with(site: Site, settings: &str) -> Self {
        site.write("jackfield.yml", settings);
        let server = Server::start(site.path());
        Self { site, server }
    }

    /// Returns the ticket that `jackfield ticket` prints.
    pub(crate) async fn ticket(&self, user: Option<&str>) -> String {
        let mut command = Command::new(build::jackfield());
        command.arg("ticket").arg(self.site.path()).stdin(Stdio::null()).kill_on_drop(true);
        if let Some(user) = user {
            command.args(["--user", user]);
        }
        let output = within("jackfield ticket", command.output()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Connects a page of WAMP v1. Returns its client, or the status and text of the rejection.
    pub(crate) async fn page(&self, query: &str) -> Result<v1::Client, (Option<u16>, String)> {
        let mut options = v1::Options::default();
        options.handshake.path = format!("/?{query}");
        self.visit(options).await
    }

    async fn visit(&self, options: v1::Options) -> Result<v1::Client, (Option<u16>, String)> {
        let page = v1::Client::connect_with(self.server.addr, options).await;
        let mut page = page.map_err(|it| (it.refused.status, it.refused.text))?;
        page.session().await;
        Ok(page)
    }

    pub(crate) async fn page_of(&self, user: &str) -> v1::Client {
        let ticket = self.ticket(Some(user)).await;
        self.page(&in_query(&ticket)).await.unwrap()
    }
}

pub(crate) fn in_query(ticket: &str) -> String {
    format!("ticket={}", ticket.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"))
}

/// Returns whether the page may subscribe to the topic of user `id`.
pub(crate) async fn owns(page: &mut v1::Client, id: u32) -> bool {
    let before = page.ignored().len();
    page.subscribe(&format!("inbox/{id}"));
    page.round_trip().await;
    page.ignored().len() == before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_identifies_its_user() {
    let guarded = Guarded::start("");
    let mut ann = guarded.page_of("ann").await;
    assert!(owns(&mut ann, 7).await && !owns(&mut ann, 8).await);
    let mut nobody = guarded.page(&in_query(&guarded.ticket(None).await)).await.unwrap();
    assert!(!owns(&mut nobody, 7).await);
    let (status, text) = guarded.page("").await.err().unwrap();
    assert_eq!((status, text.trim()), (Some(403), "connect with a ticket or a token"));
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_authorize_and_refusals_keep_the_connection() {
    let guarded = Guarded::start("");
    let mut ann = guarded.page_of("ann").await;
    let mut backend = guarded.page(&in_query(&guarded.ticket(None).await)).await.unwrap();
    for topic in ["open/a", "members/a"] {
        ann.subscribe(topic);
    }
    ann.round_trip().await;
    backend.publish("open/a", &json!(1), &Reach::Plain);
    backend.publish("members/a", &json!(2), &Reach::Plain);
    backend.subscribe("members/a");
    backend.round_trip().await;
    let refused: Vec<_> = backend.ignored().iter().map(|it| (&it[0], &it[1], &it[2])).collect();
    let not_authorized = json!("wamp.error.not_authorized");
    let expect = (&json!(4), &json!("members/a"), &not_authorized);
    assert_eq!(refused, [expect, expect], "in a form that no page takes amiss");
    assert_eq!(ann.event().await.event, json!(1));
    ann.publish("open/a", &json!(3), &Reach::Plain);
    ann.publish("members/a", &json!(4), &Reach::Plain);
    assert_eq!(ann.event().await.event, json!(4), "a route's own list wins");
    ann.round_trip().await;
    assert_eq!(ann.ignored().len(), 1);
    assert!(ann.page_errors().is_empty() && backend.page_errors().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn challenges_version_2_for_a_ticket() {
    let guarded = Guarded::start("");
    let join = async |details: Value| {
        let mut options = v2::Options::new(Codec::Json);
        options.details["authmethods"] = details;
        let client = v2::Client::open(guarded.server.addr, Codec::Json, options.handshake).await;
        client.inspect(|client| client.send(&json!([1, "realm1", options.details])))
    };
    let mut client = join(json!(["ticket"])).await.unwrap();
    assert_eq!(client.message().await, json!([4, "ticket", {}]));
    client.send(&json!([5, guarded.ticket(Some("ann")).await, {}]));
    let welcome = client.message().await;
    assert_eq!(welcome[0], 2);
    assert_eq!(
        (&welcome[2]["authid"], &welcome[2]["authrole"], &welcome[2]["authmethod"]),
        (&json!("ann"), &json!("member"), &json!("ticket"))
    );
    assert!(client.try_subscribe("inbox/7", json!({})).await.is_ok());
    let refused = client.try_subscribe("inbox/8", json!({})).await.unwrap_err();
    assert_eq!(refused.uri, "wamp.error.not_authorized");

    let mut liar = join(json!(["ticket"])).await.unwrap();
    assert_eq!(liar.message().await[0], 4);
    liar.send(&json!([5, "made up", {}]));
    assert_eq!(liar.aborted().await.0, "wamp.error.authentication_denied");
    let mut nobody = join(json!(["anonymous"])).await.unwrap();
    assert_eq!(nobody.aborted().await.0, "wamp.error.no_matching_auth_method");
    // The ticket may also be in the handshake, as with version 1.
    let mut options = v2::Options::new(Codec::MsgPack);
    options.handshake.path = format!("/?{}", in_query(&guarded.ticket(Some("bob")).await));
    let joined =
        v2::Client::connect_with(guarded.server.addr, Codec::MsgPack, "realm1", options).await;
    assert!(joined.unwrap().try_subscribe("inbox/8", json!({})).await.is_ok());
    let mut options = v2::Options::new(Codec::Json);
    options.handshake.path = "/?ticket=bad".to_owned();
    let refused = v2::Client::connect_with(guarded.server.addr, Codec::Json, "realm1", options);
    let Err(NoSession::Refused(refused)) = refused.await else { panic!("it lets in") };
    assert_eq!(refused.status, Some(403));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authid_must_match_the_ticket() {
    let guarded = Guarded::start("");
    for (authid, user, becomes) in [
        ("ann", Some("ann"), Some("ann")),
        ("ANN", Some("ann"), Some("ann")),
        ("7", Some("ann"), Some("ann")),
        ("", Some("ann"), Some("ann")),
        ("bob", Some("ann"), None),
        ("8", Some("ann"), None),
        ("shop", None, Some("anonymous")),
    ] {
        let ticket = guarded.ticket(user).await;
        for in_handshake in [false, true] {
            let mut options = v2::Options::new(Codec::Json);
            if in_handshake {
                options.handshake.path = format!("/?{}", in_query(&ticket));
            }
            let client = v2::Client::open(guarded.server.addr, Codec::Json, options.handshake);
            let mut client = client.await.unwrap();
            options.details["authmethods"] = json!(["ticket"]);
            options.details["authid"] = json!(authid);
            client.send(&json!([1, "realm1", options.details]));
            if !in_handshake {
                assert_eq!(client.message().await[0], 4);
                client.send(&json!([5, ticket, {}]));
            }
            let Some(becomes) = becomes else {
                let (reason, _) = client.aborted().await;
                assert_eq!(reason, "wamp.error.authentication_denied", "{authid}");
                continue;
            };
            let welcome = client.message().await;
            let name = welcome[2]["authid"].as_str().unwrap_or_default();
            assert!(name.starts_with(becomes), "{authid}: {welcome}");
        }
    }
    guarded.server.logged(r#"it was asked for as "bob" with the proof of "ann""#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_for_one_use_is_accepted_once() {
    let guarded = Guarded::start("");
    let ticket = guarded.ticket(Some("ann")).await;
    for _ in 0..2 {
        guarded.page(&in_query(&ticket)).await.unwrap();
    }
    drop(guarded);
    let site = Site::open();
    site.write("users.yml", USERS);
    let settings = "auth: { tickets: { secret: s3cret, once: true }, users: { file: users.yml } }";
    let guarded = Guarded::with(site, settings);
    let ticket = guarded.ticket(Some("ann")).await;
    guarded.page(&in_query(&ticket)).await.unwrap();
    assert_eq!(guarded.page(&in_query(&ticket)).await.err().unwrap().0, Some(403));
    guarded.server.logged("the ticket of \"ann\" is refused: it was used before");
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_changes_of_the_users_file() {
    let guarded = Guarded::start("");
    let old = guarded.ticket(Some("ann")).await;
    let mut before = guarded.page(&in_query(&old)).await.unwrap();
    let changed = USERS.replace("hash-of-ann", "hash-of-ann-s-new-password");
    let logged = guarded.server.log().len();
    guarded.site.rename_over("users.yml", &changed);
    guarded.server.logged_after(logged, "the users have changed");
    assert_eq!(guarded.page(&in_query(&old)).await.err().unwrap().0, Some(403));
    guarded.page_of("ann").await;
    before.hangup().await;
    guarded.server.logged_after(logged, "sessions ended: their clients may no longer connect");
    let logged = guarded.server.log().len();
    guarded.site.write("users.yml", "users: { ann: { id: } }");
    let said = guarded.server.logged_after(logged, "the users stay as they were");
    assert!(said.contains("users.yml:1:"), "{said}");
    guarded.site.write("users.yml", &changed);
    guarded.page_of("ann").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_origins_networks_and_https() {
    let guarded = Guarded::start(
        "access: { path: /ws, origins: [shop.example], proxies: [127.0.0.1], \
         blocked: [192.0.2.0/24], https: true }",
    );
    // The application's own parameters are ignored.
    let ticket = in_query(&guarded.ticket(Some("ann")).await) + "&access_token=application";
    let visit = async |path: &str, headers: &str| {
        let mut stream = jackfield_tests::client::http::Http::connect(guarded.server.addr).await;
        let head = format!(
            "GET {path}?{ticket} HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: wamp\r\n{headers}\r\n"
        );
        stream.send(head).await;
        stream.answer().await.status
    };
    let good = "Origin: https://shop.example:8443\r\nX-Forwarded-For: 198.51.100.1\r\n\
                X-Forwarded-Proto: https\r\n";
    let cases = [
        ("/ws", good.to_owned(), 101),
        ("/ws/app", good.to_owned(), 101),
        ("ws://x/ws", good.to_owned(), 101),
        ("/", good.to_owned(), 404),
        ("/wsx", good.to_owned(), 404),
        ("/ws", good.replace("198.51.100.1", "192.0.2.7"), 403),
        ("/ws", good.replace("198.51.100.1", "198.51.100.1, 192.0.2.7"), 403),
        ("/ws", good.replace("198.51.100.1", "192.0.2.7, 198.51.100.1"), 101),
        ("/ws", good.replace("198.51.100.1", "\u{fffd}, 192.0.2.7"), 403),
        ("/ws", good.replace("198.51.100.1", "[::ffff:192.0.2.7]:443"), 403),
        ("/ws", good.replace("198.51.100.1", "unknown"), 403),
        ("/ws", good.replace("Proto: https", "Proto: http"), 403),
        ("/ws", good.replace("shop.example", "evil.example"), 403),
        ("/ws", good.replace("shop.example", "localhost"), 101),
        // A program other than a browser sends no origin; its ticket authenticates it.
        ("/ws", good.replace("Origin: https://shop.example:8443\r\n", ""), 101),
    ];
    for (path, headers, status) in cases {
        assert_eq!(visit(path, &headers).await, status, "{path} {headers}");
    }
    let log = guarded.server.logged("the origin `https://evil.example:8443` is not among");
    assert!(log.contains("the address 192.0.2.7 is blocked"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_requests_pass_the_same_checks() {
    let rules = "access: { proxies: [127.0.0.1], blocked: [192.0.2.0/24], https: true }";
    let guarded = Guarded::start(rules);
    let ask = async |request: &str, from: &str, proto: &str| {
        let mut stream = jackfield_tests::client::http::Http::connect(guarded.server.addr).await;
        let from = format!("X-Forwarded-For: {from}\r\nX-Forwarded-Proto: {proto}");
        stream
            .send(format!("{request} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{from}\r\n\r\n"))
            .await;
        stream.answer().await.status
    };
    for (request, from, proto, status) in [
        ("GET /health", "198.51.100.1", "http", 200),
        ("GET /health", "192.0.2.7", "https", 403),
        ("GET /sync.js", "198.51.100.1", "http", 200),
        ("GET /sync.js", "192.0.2.7", "https", 403),
        // Without tokens in the configuration there is no API.
        ("POST /api/publish", "198.51.100.1", "https", 404),
        ("POST /api/publish", "198.51.100.1", "http", 403),
        ("POST /api/call", "192.0.2.7", "https", 403),
        ("POST /ws/api/publish", "198.51.100.1", "https", 404),
    ] {
        assert_eq!(ask(request, from, proto).await, status, "{request} from {from} by {proto}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_connections_do_not_flood_the_log() {
    let guarded = Guarded::start("access: { path: /ws }");
    for _ in 0..60 {
        let path = format!("/wss&ticket=SECRET{}", "x".repeat(500));
        let mut options = v1::Options::default();
        options.handshake.path = path;
        let refused = v1::Client::connect_with(guarded.server.addr, options).await;
        assert_eq!(refused.map(drop).unwrap_err().refused.status, Some(404));
    }
    let log = guarded.server.logged("`/wss` was asked for");
    let warns = |line: &&str| line.contains("WARN") && line.contains("connection refused: ");
    let lines = log.lines().filter(warns).count();
    // One more line for each further second.
    assert!((20..50).contains(&lines), "{lines} lines");
    assert!(!log.contains("SECRET"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tickets_delay_no_message() {
    let guarded = Guarded::start("limits: { connections: 2000, user_connections: 2000 }");
    let mut page = guarded.page_of("ann").await;
    page.subscribe("members/a");
    page.round_trip().await;
    let mut crowd = JoinSet::new();
    let good = in_query(&guarded.ticket(Some("bob")).await);
    for _ in 0..700 {
        let (addr, path) = (guarded.server.addr, format!("/?{good}"));
        crowd.spawn(async move {
            let mut options = v1::Options::default();
            options.handshake.path = path;
            let connected = v1::Client::connect_with(addr, options).await;
            connected.map(drop).map_err(|it| it.refused.status)
        });
    }
    // Messages are delivered while all those digests are computed.
    let mut passed = 0;
    let mut came = Vec::new();
    while !crowd.is_empty() {
        page.publish("members/a", &json!(passed), &Reach::Plain);
        assert_eq!(page.event().await.event, json!(passed));
        passed += 1;
        while let Some(one) = crowd.try_join_next() {
            came.push(one.unwrap());
        }
    }
    assert!(passed > 50, "only {passed} messages passed meanwhile");
    let let_in = came.iter().filter(|it| it.is_ok()).count();
    assert!(let_in > 100, "{let_in}");
    assert!(came.iter().all(|it| matches!(it, Ok(()) | Err(Some(503)))), "{came:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged() {
    let guarded = Guarded::start("");
    let ticket = guarded.ticket(Some("ann")).await;
    guarded.page(&in_query(&ticket)).await.unwrap();
    guarded.page("ticket=bm90IGE7dGlja2V0O2F0O2FsbA").await.err().unwrap();
    let log = guarded.server.logged("cannot be read");
    for secret in ["kernel-secret", "hash-of-ann", ticket.as_str(), "bm90IGE7"] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}
