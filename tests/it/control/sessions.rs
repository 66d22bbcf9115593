//! Sessions of a running server: lists in pages, one of them with its subscriptions, its end by the
//! operator, the sessions that have ended, topics, and counters.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Output, ask, command, jackfield, status};
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::http::Http;
use jackfield_tests::client::socket::Ending;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::{v1, within};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

async fn get(socket: &Path, path: &str) -> Value {
    let (code, body) = ask(socket, "GET", path, "").await;
    assert_eq!(code, 200, "{path}: {body}");
    body
}

fn ids(page: &Value) -> Vec<u64> {
    let sessions = page["sessions"].as_array().unwrap();
    sessions.iter().map(|session| session["id"].as_u64().unwrap()).collect()
}

/// Asks until the answer is as expected: a server learns of some things after its client.
async fn until(socket: &Path, path: &str, mut is_so: impl FnMut(&Value) -> bool) -> Value {
    within(format!("the expected answer of {path}"), async {
        loop {
            let body = get(socket, path).await;
            if is_so(&body) {
                return body;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_sessions_are_listed_in_bounded_pages() {
    let site = Site::open();
    let server = Server::start(site.path());
    let socket = server.control_socket();
    let mut clients = Vec::new();
    for _ in 0..10 {
        let connecting = (0..100).map(|_| Client::connect(server.addr, Codec::Json, "realm1"));
        clients.extend(join_all(connecting).await);
    }
    let all = until(&socket, "/v1/sessions?limit=1000", |it| it["session_count"] == 1_000).await;
    assert_eq!(
        (ids(&all).len(), &all["has_more"], &all["next"]),
        (1_000, &json!(false), &Value::Null)
    );
    assert!(all.to_string().len() < 1 << 20, "{} bytes", all.to_string().len());
    let mut expect: Vec<u64> = clients.iter().map(Client::session).collect();
    expect.sort_unstable();
    assert_eq!(ids(&all), expect);

    let (mut paged, mut path) = (Vec::new(), "/v1/sessions?limit=300".to_owned());
    loop {
        let page = get(&socket, &path).await;
        assert_eq!(page["session_count"], 1_000);
        paged.extend(ids(&page));
        if page["has_more"] == false {
            break;
        }
        path = format!("/v1/sessions?limit=300&after={}", page["next"]);
    }
    assert_eq!(paged, expect);

    clients[0].subscribe("open/a", json!({})).await;
    clients[1].subscribe("open/", json!({ "match": "prefix" })).await;
    let mut subscribed = [clients[0].session(), clients[1].session()];
    subscribed.sort_unstable();
    assert_eq!(ids(&get(&socket, "/v1/sessions?topic=open/a").await), subscribed);
    let user = format!("anonymous-{}", subscribed[0]);
    let of_user = get(&socket, &format!("/v1/sessions?user={user}")).await;
    assert_eq!((ids(&of_user), &of_user["session_count"]), (vec![subscribed[0]], &json!(1)));
    assert_eq!(get(&socket, "/v1/sessions?user=ann").await["session_count"], 0);
    for (query, code) in
        [("limit=1001", 400), ("limit=0", 400), ("after=x", 400), ("us=a", 400), ("realm=a", 404)]
    {
        let (found, problem) = ask(&socket, "GET", &format!("/v1/sessions?{query}"), "").await;
        assert_eq!(found, code, "{query}: {problem}");
    }
    let Output { code, out, err } = jackfield("sessions", site.path(), &["--limit", "2"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("SESSION "), "{out}");
    let rest = format!("1000 sessions; the next page: --after {}\n", expect[1]);
    assert!(out.ends_with(&rest), "{out}");
    let one = jackfield("sessions", site.path(), &["--user", &user, "--json"]).json();
    assert_eq!(ids(&one), [subscribed[0]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_shown_with_its_subscriptions_and_traffic() {
    let site = Site::open();
    let server = Server::configured(site.path(), "unrouted: broadcast\n");
    let socket = server.control_socket();
    let mut client = Client::connect(server.addr, Codec::Cbor, "realm1").await;
    let id = client.session();
    client.subscribe("open/a", json!({})).await;
    client.subscribe("other.", json!({ "match": "prefix" })).await;
    client.register("a.procedure", json!({})).await.unwrap();
    for number in 0..10 {
        client.publish("open/a", json!({ "exclude_me": false }), json!([number]), Value::Null);
        assert_eq!(client.event().await.args[0], number);
    }
    let session = get(&socket, &format!("/v1/session?id={id}")).await;
    assert_eq!((&session["id"], &session["realm"]), (&json!(id), &json!("realm1")));
    assert_eq!(session["user"], format!("anonymous-{id}"));
    assert_eq!(
        (&session["is_anonymous"], &session["roles"]),
        (&json!(true), &json!(["anonymous"]))
    );
    assert_eq!(
        (&session["protocol"], &session["address"]),
        (&json!("wamp.2.cbor"), &json!("127.0.0.1"))
    );
    let routed =
        json!({ "uri": "open/a", "match": "exact", "route": "test.open", "handler": "broadcast" });
    let pattern = json!({ "uri": "other.", "match": "prefix", "route": null, "handler": null });
    assert_eq!(session["subscriptions"], json!([routed, pattern]));
    assert_eq!(session["registrations"], json!([{ "uri": "a.procedure", "match": "exact" }]));
    // HELLO, two SUBSCRIBE, REGISTER and ten PUBLISH; their answers, and ten EVENT.
    assert_eq!((&session["in"]["messages"], &session["out"]["messages"]), (&json!(14), &json!(14)));
    let bytes = |of: &str| session[of]["bytes"].as_u64().unwrap();
    assert!(bytes("in") > 14 * 5 && bytes("out") > 14 * 5, "{session}");
    assert_eq!(session["outbox"], json!({ "bytes": 0, "dropped": 0, "replaced": 0 }));
    let Output { code, out, .. } = jackfield_at("session", site.path(), &[&id.to_string()]);
    assert_eq!(code, Some(0), "{out}");
    for line in
        ["protocol       wamp.2.cbor\n", "subscriptions  2\n", "open/a        exact   test.open"]
    {
        assert!(out.contains(line), "{line:?} is not in\n{out}");
    }

    let traffic = json!({
        "messages_in": 14, "bytes_in": bytes("in"), "messages_out": 14, "bytes_out": bytes("out")
    });
    until(&socket, "/v1/status", |it| it["traffic"] == traffic).await;
    // Samples are taken each second.
    let rated =
        until(&socket, "/v1/status", |it| it["rates"]["over_seconds"].as_f64() > Some(0.0)).await;
    assert!(rated["rates"]["messages_in"].is_u64(), "{}", rated["rates"]);

    let (code, problem) = ask(&socket, "GET", "/v1/session?id=5", "").await;
    assert_eq!((code, &problem["error"]), (404, &json!("jackfield.error.not_found")));
    let (code, _) = ask(&socket, "GET", "/v1/session", "").await;
    assert_eq!(code, 400);
}

/// Runs `jackfield COMMAND --site SITE …`.
fn jackfield_at(name: &str, site: &Path, more: &[&str]) -> Output {
    super::run(command(&[&[name, "--site", site.to_str().unwrap()], more].concat()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_ends_sessions_of_both_versions() {
    let site = Site::open();
    let server = Server::start(site.path());
    let socket = server.control_socket();
    let mut new = Client::connect(server.addr, Codec::Json, "realm1").await;
    let mut old = v1::Client::connect(server.addr).await;
    old.round_trip().await;
    let page = until(&socket, "/v1/sessions", |it| it["session_count"] == 2).await;
    let of_v1 = ids(&page).into_iter().find(|id| *id != new.session()).unwrap();

    let kicked = jackfield_at(
        "session",
        site.path(),
        &[&new.session().to_string(), "kick", "--reason", "maintenance"],
    );
    let user = format!("anonymous-{}", new.session());
    assert_eq!(kicked.out, format!("session {} of {user}: ended\n", new.session()), "{kicked:?}");
    let goodbye = loop {
        let message = new.message().await;
        if message[0] == 6 {
            break message;
        }
    };
    assert_eq!(goodbye, json!([6, { "message": "maintenance" }, "wamp.close.killed"]));
    assert!(matches!(new.ended().await, Ending::Clean { .. }));

    let body = json!({ "id": of_v1 }).to_string();
    let (code, kicked) = ask(&socket, "POST", "/v1/session/kick", &body).await;
    assert_eq!((code, &kicked["result"], &kicked["id"]), (200, &json!("ok"), &json!(of_v1)));
    assert!(matches!(old.ended().await, Ending::Lost(_)), "a page connects again");

    let gone = |it: &Value| it["session_count"] == 0;
    until(&socket, "/v1/sessions", gone).await;
    let (code, problem) = ask(&socket, "POST", "/v1/session/kick", &body).await;
    assert_eq!(code, 404, "{problem}");
    for wrong in ["{}", r#"{"id":0}"#, r#"{"id":5,"message":"a\nb"}"#] {
        let (code, problem) = ask(&socket, "POST", "/v1/session/kick", wrong).await;
        assert_eq!(code, 400, "{wrong}: {problem}");
    }
    let log = server.logged(&format!("session={of_v1} of_user="));
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("jackfield::audit")).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains(r#"action="kick""#) && lines[0].contains(&user), "{}", lines[0]);

    let ended = until(&socket, "/v1/ended", |it| it["ended"]["count"] == 2).await;
    assert_eq!(ended["ended"]["by_reason"], json!({ "kicked": 2 }));
    let of = |id: u64| {
        let mut sessions = ended["sessions"].as_array().unwrap().iter();
        sessions.find(|session| session["id"] == id).unwrap()
    };
    assert_eq!(of(of_v1)["protocol"], "wamp");
    let (uri, message) = (&of(new.session())["uri"], &of(new.session())["message"]);
    assert_eq!((uri, message), (&json!("wamp.close.killed"), &json!("maintenance")));
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_sessions_have_their_reason() {
    let site = Site::open();
    let server = Server::start(site.path());
    let socket = server.control_socket();
    let join = || Client::connect(server.addr, Codec::Json, "realm1");
    let mut polite = join().await;
    polite.goodbye().await;
    drop(join().await);
    let mut wrong = join().await;
    wrong.send(&json!(["no message"]));
    wrong.aborted().await;
    let ended = until(&socket, "/v1/ended", |it| it["ended"]["count"] == 3).await;
    assert_eq!(ended["ended"]["by_reason"], json!({ "goodbye": 1, "left": 1, "violation": 1 }));
    let of_polite = get(&socket, "/v1/ended?reason=goodbye").await;
    let [session] = &of_polite["sessions"].as_array().unwrap()[..] else { panic!("{of_polite}") };
    assert_eq!(session["id"], polite.session());
    assert_eq!((&session["in"]["messages"], &session["uri"]), (&json!(2), &Value::Null));
    assert!(session["seconds"].as_f64().unwrap() >= 0.0 && session["ended"].is_string());
    let violation = get(&socket, "/v1/ended?reason=violation&limit=1").await;
    assert!(violation["sessions"][0]["message"].is_string(), "{violation}");
    let Output { code, out, err } = jackfield("ended", site.path(), &["--reason", "goodbye"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("ENDED ") && out.contains(" goodbye "), "{out}");
    assert!(
        out.ends_with("3 sessions ended since the start: goodbye 1, left 1, violation 1\n"),
        "{out}"
    );
    let now = status(&server).await;
    assert_eq!(now["ended"]["count"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_uri_of_a_handler_is_not_the_reason_of_an_end() {
    let site = Site::open();
    let routes = "methods: { channel: 'acme/{method}', handler: { callback: 'methods' } }\n";
    site.bundle("methods", routes, &[build::guest("methods")]);
    let server = Server::configured(site.path(), "metrics: { enabled: true }\n");
    let socket = server.control_socket();
    let uris = [
        "wamp.close.killed",
        "wamp.close.system_shutdown",
        "wamp.error.protocol_violation",
        "wamp.error.timeout",
        "jackfield.close.slow_subscriber",
        "jackfield.close.connection_lost",
    ];
    for uri in uris {
        let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
        client.call("acme/close_with", json!({}), json!([uri]), Value::Null).await.unwrap();
        assert_eq!(client.dismissed().await, uri);
    }
    let ended = until(&socket, "/v1/ended", |it| it["ended"]["count"] == uris.len()).await;
    assert_eq!(ended["ended"]["by_reason"], json!({ "handler": uris.len() }));
    // Connections that end at about the same time have no order.
    let sessions = ended["sessions"].as_array().unwrap().iter();
    let mut found: Vec<&str> = sessions.filter_map(|it| it["uri"].as_str()).collect();
    found.sort_unstable();
    let mut expected = uris;
    expected.sort_unstable();
    assert_eq!(found, expected);
    let mut http = Http::connect(server.addr).await;
    http.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let page = http.answer().await.body;
    let line = format!("jackfield_closes_total{{reason=\"handler\"}} {}", uris.len());
    assert!(page.lines().any(|it| it == line), "{page}");
    let (code, problem) = ask(&socket, "GET", "/v1/ended?reason=bogus", "").await;
    assert_eq!(code, 400, "{problem}");
    assert!(problem["message"].as_str().unwrap().contains("slow_subscriber"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_listed_with_their_routes() {
    let site = Site::open();
    let server = Server::configured(site.path(), "unrouted: broadcast\nrealms: [realm1, shop]\n");
    let socket = server.control_socket();
    let mut one = Client::connect(server.addr, Codec::Json, "realm1").await;
    let mut two = Client::connect(server.addr, Codec::Json, "realm1").await;
    for topic in ["open/a", "open/b", "com.acme.x"] {
        one.subscribe(topic, json!({})).await;
    }
    two.subscribe("open/b", json!({})).await;
    two.subscribe("com..x", json!({ "match": "wildcard" })).await;
    let topics = get(&socket, "/v1/topics").await;
    let entry = |uri: &str, policy: &str, subscribers: u64, routed: bool| {
        let [route, handler, plugin] = ["test.open", "broadcast", "jackfield-broadcast"]
            .map(|it| if routed { json!(it) } else { Value::Null });
        json!({ "uri": uri, "match": policy, "subscribers": subscribers,
                "route": route, "handler": handler, "plugin": plugin })
    };
    let expect = json!([
        entry("com..x", "wildcard", 1, false),
        entry("com.acme.x", "exact", 1, false),
        entry("open/a", "exact", 1, true),
        entry("open/b", "exact", 2, true),
    ]);
    assert_eq!(topics["topics"], expect);
    let page = get(&socket, "/v1/topics?limit=2").await;
    assert_eq!((&page["topic_count"], &page["next"]), (&json!(4), &json!("exact:com.acme.x")));
    let rest = get(&socket, "/v1/topics?limit=2&after=exact:com.acme.x").await;
    assert_eq!((&rest["topics"][0]["uri"], &rest["has_more"]), (&json!("open/a"), &json!(false)));
    assert_eq!(get(&socket, "/v1/topics?realm=shop").await["topic_count"], 0);
    let Output { code, out, err } = jackfield_at("topics", site.path(), &["open/"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        out.contains("open/b  exact  2            test.open  broadcast  jackfield-broadcast\n"),
        "{out}"
    );
    assert!(out.ends_with("2 topics\n"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn top_shows_the_state_again_and_again() {
    let site = Site::open();
    let server = Server::start(site.path());
    let _client = Client::connect(server.addr, Codec::Json, "realm1").await;
    server.until_health("sessions", 1);
    let Output { code, out, err } = jackfield("top", site.path(), &["--once"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("\nmessages     ") && out.contains("\nended        0 sessions"), "{out}");
    assert!(!out.contains('\u{1b}'), "{out:?}");
    let once = jackfield("top", site.path(), &["--once", "--json"]).json();
    assert_eq!((&once["sessions"]["open"], &once["pid"]), (&json!(1), &json!(server.pid())));

    let site = site.path().to_str().unwrap();
    let mut top = command(&["top", site, "--json", "--interval", "20ms"]);
    let mut top = top.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(top.stdout.take().unwrap()).lines().take(3);
    let lines: Vec<Value> =
        lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    top.kill().unwrap();
    top.wait().unwrap();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2]["traffic"]["messages_in"], 1);
    let time = lines[2]["rates"]["over_seconds"].as_f64().unwrap();
    assert!(time > 0.0, "{}", lines[2]["rates"]);
}
