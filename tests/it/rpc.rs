//! Procedures that handlers answer, over real sockets: results for callers of both versions, the
//! order of effects, and the cost of a failed handler. Procedures of clients are in
//! `rpc/clients.rs`.

mod callees;
mod cancellation;
mod clients;
mod parts;

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::codec::{Codec, binary};
use jackfield_tests::client::socket::Ending;
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::{Client, WampError};
use jackfield_tests::peer::{Library, Peer};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const ROUTES: &str = "\
sample:
    channel: 'sample/{method}'
    handler: { callback: 'methods' }
    requirements: { method: '[a-z_]+' }
dotted: { channel: 'sample.{method}', handler: { callback: 'methods' } }
members: { channel: 'members/{method}', handler: { callback: 'methods' }, allow: { call: [member] } }
mute: { channel: 'mute', handler: { callback: 'mute' } }
";

const FAILED: &str = "jackfield.error.handler_failed";
const UNKNOWN: &str = "wamp.error.no_such_procedure";

fn serve() -> (Site, Server) {
    let site = Site::open();
    site.bundle("methods", ROUTES, &[build::guest("methods")]);
    let server = Server::start(site.path());
    (site, server)
}

async fn join(server: &Server, codec: Codec) -> Client {
    Client::connect(server.addr, codec, "realm1").await
}

/// Returns the result's args, or the URI of the error.
async fn call(client: &mut Client, procedure: &str, args: Value) -> Result<Value, String> {
    let answer = client.call(procedure, json!({}), args, Value::Null).await;
    answer.map(|(args, _kwargs)| args).map_err(|error| error.uri)
}

#[tokio::test]
async fn every_codec_calls_procedures() {
    let (_site, server) = serve();
    for codec in Codec::ALL {
        let mut client = join(&server, codec).await;
        assert!(client.welcome()["roles"]["dealer"]["features"].is_object());
        assert_eq!(call(&mut client, "sample/sum", json!([2, 5])).await, Ok(json!([7])));
        assert_eq!(call(&mut client, "sample.sum", json!([])).await, Ok(json!([0])));
        let named = client.call("sample/add", json!({}), Value::Null, json!({"a": 1, "b": 2}));
        assert_eq!(named.await.unwrap(), (json!([{"result": 3}]), Value::Null));
        for (args, kwargs) in [
            (Value::Null, Value::Null),
            (json!([1, "ü", [null, {"deep": [0.5]}], -7]), Value::Null),
            (json!([]), json!({"k": {"n": true}})),
            (json!([binary(&[0, 1, 255])]), json!({"in": binary(b"deep")})),
        ] {
            let echo = client.call("sample/echo", json!({}), args.clone(), kwargs.clone()).await;
            assert_eq!(echo.unwrap(), (args, kwargs), "{codec:?}");
        }
        let who = json!(["anonymous", "sample/who", [["method", "who"]]]);
        assert_eq!(call(&mut client, "sample/who", json!([])).await, Ok(who));
    }
}

#[tokio::test]
async fn refuses_invalid_calls_with_a_message() {
    let (_site, server) = serve();
    for codec in Codec::ALL {
        let mut client = join(&server, codec).await;
        let long = format!("sample/{}", "x".repeat(2_000));
        for (procedure, uri, words) in [
            ("nowhere", UNKNOWN, "there is no procedure `nowhere`"),
            ("sample/UPPER", UNKNOWN, "there is no procedure `sample/UPPER`"),
            ("sample/unknown", UNKNOWN, "There is no procedure sample/unknown."),
            ("open/t", UNKNOWN, "neither the handler of the route `test.open` nor a client"),
            ("mute", UNKNOWN, "neither the handler of the route `mute` nor a client"),
            ("wamp.session.count", "wamp.error.not_authorized", "no rule lets your roles use"),
            ("a b", "wamp.error.invalid_uri", "`a b` is not a valid URI here"),
            (&long, "wamp.error.invalid_uri", "at most 1024 bytes"),
            ("sample/refuse", "acme.error.busy", "Not now."),
            ("sample/sum", "wamp.error.invalid_argument", "Failed to read the args of the event"),
            ("members/sum", "wamp.error.not_authorized", "does not allow your roles to call"),
            ("sample/nonsense", FAILED, "the handler `methods` failed"),
        ] {
            let answer = client.call(procedure, json!({}), json!(["x"]), Value::Null).await;
            let WampError { uri: found, details, args, kwargs } = answer.unwrap_err();
            assert_eq!((found.as_str(), kwargs), (uri, Value::Null), "{procedure}");
            assert_eq!(details["message"], args[0], "{procedure}");
            let said = args[0].as_str().unwrap();
            assert!(said.contains(words), "{procedure}: {said}");
        }
        assert_eq!(call(&mut client, "sample/sum", json!([1])).await, Ok(json!([1])));
    }
}

#[tokio::test]
async fn ignores_call_options() {
    let (_site, server) = serve();
    let mut client = join(&server, Codec::Json).await;
    for options in [
        json!({"receive_progress": true}),
        json!({"timeout": 600_000}),
        json!({"disclose_me": true}),
        json!({"_custom": [1], "rkey": "k", "runmode": "partition"}),
        json!({"progress": false}),
    ] {
        let answer = client.call("sample/sleep", options.clone(), Value::Null, Value::Null).await;
        assert_eq!(answer.unwrap().0, json!(["awake"]), "{options}");
    }
}

#[tokio::test]
async fn answers_version_1_as_its_own_server_did() {
    let (_site, server) = serve();
    let mut page = v1::Client::connect(server.addr).await;
    let failed = |uri: &str, description: &str, code: u16| {
        let details = Some(json!({ "code": code }));
        v1::CallError { uri: json!(uri), description: json!(description), details }
    };
    let nothing = || failed("wamp.error.runtime_error", "RPC Error", 500);
    let unregistered = "A RPC handler for the \"mute\" route has not been registered.";
    let cases = [
        // A single list or dictionary contains all arguments.
        ("sample/sum", vec![json!([2, 5])], Ok(json!([7]))),
        ("sample/sum", vec![json!(2), json!(5)], Ok(json!([7]))),
        ("sample/sum", vec![json!(2)], Ok(json!([2]))),
        ("sample/add", vec![json!({"term1": 2, "term2": 5})], Ok(json!({"result": 7}))),
        // A result is a list or a dictionary; any other value is wrapped in a list.
        ("sample/echo", vec![json!("x")], Ok(json!(["x"]))),
        ("sample/echo", vec![json!(0)], Ok(json!([0]))),
        ("sample/echo", vec![json!("")], Ok(json!([""]))),
        ("sample/echo", vec![json!(true)], Ok(json!([true]))),
        ("sample/echo", vec![json!([[1, 2]])], Ok(json!([1, 2]))),
        ("sample/echo", vec![json!([[]])], Ok(json!([]))),
        ("sample/echo", vec![json!([{"a": null}])], Ok(json!({"a": null}))),
        ("sample/echo", vec![json!(1), json!({"a": 2})], Ok(json!([1, {"a": 2}]))),
        ("sample/echo", vec![json!({"a": 1})], Ok(json!({"a": 1}))),
        ("sample/echo", vec![], Err(nothing())),
        ("sample/echo", vec![json!(null)], Err(nothing())),
        ("sample/echo", vec![json!(false)], Err(nothing())),
        ("sample/echo", vec![json!([])], Err(nothing())),
        ("sample/refuse", vec![], Err(failed("acme.error.busy", "Not now.", 500))),
        (
            "sample/unknown",
            vec![],
            Err(failed(UNKNOWN, "There is no procedure sample/unknown.", 404)),
        ),
        ("nowhere", vec![], Err(failed(UNKNOWN, "there is no procedure `nowhere`", 404))),
        ("mute", vec![], Err(failed(UNKNOWN, unregistered, 404))),
        ("sample/nonsense", vec![], Err(failed(FAILED, "the handler `methods` failed", 500))),
        (
            "members/sum",
            vec![],
            Err(failed(
                "wamp.error.not_authorized",
                "the route `members` does not allow your roles to call",
                401,
            )),
        ),
    ];
    for (procedure, arguments, expect) in cases {
        assert_eq!(page.call(procedure, &arguments).await, expect, "{procedure} {arguments:?}");
    }
    assert!(page.ignored().is_empty() && page.page_errors().is_empty());
}

/// No message of a session overtakes its calls, nor the other way round.
#[tokio::test(flavor = "multi_thread")]
async fn calls_keep_the_order_of_their_session() {
    let (_site, server) = serve();
    let (mut caller, mut other) =
        (join(&server, Codec::Json).await, join(&server, Codec::Json).await);
    other.subscribe("open/line", json!({})).await;
    for number in 0..50_u64 {
        let method = if number % 10 == 0 { "sleep" } else { "count" };
        caller.send(&json!([48, 3 * number + 1, {}, format!("sample/{method}")]));
        caller.send(&json!([16, 3 * number + 2, {"acknowledge": true}, "open/line", [number]]));
    }
    let mut count = 0;
    for number in 0..50_u64 {
        let result = caller.message().await;
        let expect = if number % 10 == 0 {
            json!("awake")
        } else {
            count += 1;
            json!(count)
        };
        assert_eq!(result, json!([50, 3 * number + 1, {}, [expect]]));
        let published = caller.message().await;
        assert_eq!(published, json!([17, 3 * number + 2, published[2]]));
        assert_eq!(other.event().await.args, json!([number]));
    }
    // An answered call cannot be cancelled.
    caller.send(&json!([49, 1, {"mode": "kill"}]));
    caller.round_trip().await;
    assert_eq!(caller.try_message(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_the_caller_before_other_effects() {
    let (_site, server) = serve();
    for codec in Codec::ALL {
        let (mut caller, mut page) =
            (join(&server, codec).await, v1::Client::connect(server.addr).await);
        page.subscribe("open/news");
        page.round_trip().await;
        let subscription = caller.subscribe("open/news", json!({})).await;
        caller.send(&json!([48, 77, {}, "sample/announce", ["news"]]));
        assert_eq!(caller.message().await, json!([50, 77, {}, ["announced"]]));
        let event = caller.event().await;
        assert_eq!((event.subscription, event.args), (subscription, json!(["news"])));
        assert_eq!(page.event().await.event, "news");
        caller.send(&json!([48, 78, {}, "sample/leave"]));
        assert_eq!(caller.message().await, json!([50, 78, {}, ["goodbye"]]));
        assert_eq!(caller.dismissed().await, "acme.close.asked");
        // The server waits briefly for the answer; both endings by a client have the same effect.
        if codec == Codec::Json {
            caller.send(&json!([6, {}, "wamp.close.goodbye_and_out"]));
        }
        assert!(matches!(caller.ended().await, Ending::Clean { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn undoes_everything_of_a_failed_call() {
    let (_site, mut server) = serve();
    let (mut caller, mut reader) =
        (join(&server, Codec::Cbor).await, join(&server, Codec::Json).await);
    reader.subscribe("open/news", json!({})).await;
    for round in 1..=3 {
        assert_eq!(call(&mut caller, "sample/count", json!([])).await, Ok(json!([round])));
        let logged = server.log().len();
        let failed = call(&mut caller, "sample/count_and_trap", json!([])).await;
        assert_eq!(failed, Err(FAILED.to_owned()));
        let log = server.logged_after(logged, "on-call of handler methods for topic sample/count");
        assert!(log.contains("kind=\"trap\"") && log.contains("after the count"), "{log}");
    }
    reader.expect_no_event().await;
    assert!(server.is_alive());
    // Five faults within ten seconds open the circuit.
    for _ in 0..2 {
        call(&mut caller, "sample/count_and_trap", json!([])).await.unwrap_err();
    }
    let refused = call(&mut caller, "sample/count_and_trap", json!([])).await;
    assert_eq!(refused, Err("jackfield.error.handler_on_hold".to_owned()));
    // It applies to the failing procedure, not to others of its handler.
    assert_eq!(call(&mut caller, "sample/count", json!([])).await, Ok(json!([4])));
}

#[tokio::test]
async fn third_party_clients_call_procedures() {
    let (_site, server) = serve();
    for library in Library::all_v2() {
        let mut peer = Peer::join(library, server.addr).await;
        let sum = peer.call("sample.sum", json!([2, 5]), json!({})).await;
        assert_eq!((&sum["args"], &sum["kwargs"]), (&json!([7]), &json!({})), "{library:?}");
        let echo = peer.call("sample.echo", json!(["é", [1]]), json!({"k": {"n": 1}})).await;
        assert_eq!(echo["args"], json!(["é", [1]]), "{library:?}: {echo}");
        assert_eq!(echo["kwargs"], json!({"k": {"n": 1}}), "{library:?}: {echo}");
        let add = peer.call("sample.add", json!([]), json!({"a": 1, "b": 2})).await;
        assert_eq!(add["args"], json!([{"result": 3}]), "{library:?}");
        for (procedure, uri) in
            [("sample.refuse", "acme.error.busy"), ("nowhere", UNKNOWN), ("mute", UNKNOWN)]
        {
            let command = json!({"do": "call", "procedure": procedure, "args": [], "kwargs": {}});
            let failed = peer.tell(command).await;
            assert_eq!(failed["error"], uri, "{library:?}: {failed}");
        }
        peer.leave().await;
    }
    for library in
        [Library::AutobahnV1, Library::WampIo].into_iter().filter(|library| library.runs())
    {
        let mut peer = Peer::join(library, server.addr).await;
        let sum = json!({"do": "call", "procedure": "sample/sum", "args": [2, 5]});
        assert_eq!(peer.done(sum).await["result"], json!([7]), "{library:?}");
        let add = json!({"do": "call", "procedure": "sample/add", "args": [{"a": 1, "b": 2}]});
        assert_eq!(peer.done(add).await["result"], json!({"result": 3}), "{library:?}");
        let mute = json!({"do": "call", "procedure": "mute", "args": []});
        let failed = peer.tell(mute).await;
        assert_eq!((&failed["failed"], &failed["error"]), (&json!("call"), &json!(UNKNOWN)));
        peer.leave().await;
    }
}
