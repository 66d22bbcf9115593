//! Cancelled calls of handlers' procedures: by CANCEL in its three modes, and by `timeout`. The
//! method `wait` runs until `release` is called on another lane, so that no test depends on time.

use serde_json::{Value, json};

use super::{call, join};
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::socket::Ending;
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const CANCELED: &str = "wamp.error.canceled";
const TIMEOUT: &str = "wamp.error.timeout";

/// A digest of a topic selects its lane.
const ROUTES: &str = "\
sample:
    channel: 'sample/{method}'
    handler: { callback: 'methods' }
    lanes: 2
release:
    channel: 'on/{lane}/{method}'
    handler: { callback: 'methods' }
";

/// A deadline that ends no call.
const SETTINGS: &str = "plugins:\n  named:\n    methods:\n      deadline: 10m\n";

fn serve() -> (Site, Server) {
    let site = Site::open();
    site.bundle("methods", ROUTES, &[build::guest("methods")]);
    let server = Server::configured(site.path(), SETTINGS);
    (site, server)
}

/// Releases every call of `wait`. One of these topics is on the other lane; calls on the same lane
/// wait until that one has been answered.
async fn release(server: &Server) {
    let mut clients = Vec::new();
    for lane in 0..8 {
        let mut client = join(server, Codec::Json).await;
        send_call(&mut client, &format!("on/{lane}/release"), &json!({}));
        clients.push(client);
    }
    for mut client in clients {
        assert_eq!(client.message().await[0], 50);
    }
}

fn send_call(client: &mut Client, procedure: &str, options: &Value) -> u64 {
    let request = client.next_request();
    client.send(&json!([48, request, options, procedure]));
    request
}

fn cancel(client: &Client, request: u64, mode: &str) {
    client.send(&json!([49, request, {"mode": mode}]));
}

/// Checks that the next message is the error of this call.
async fn expect_error(client: &mut Client, request: u64, uri: &str) {
    let error = client.message().await;
    assert_eq!(error[4], uri, "{error}");
    assert_eq!((&error[0], &error[1], &error[2]), (&json!(8), &json!(48), &json!(request)));
}

/// Waits until the session's call runs: another call behind it is read ahead, and cancelled.
async fn runs(client: &mut Client) {
    let request = send_call(client, "sample/wait", &json!({}));
    cancel(client, request, "skip");
    expect_error(client, request, CANCELED).await;
}

/// Returns the number of ended calls of `wait`.
async fn waited(client: &mut Client) -> u64 {
    call(client, "sample/waited", json!([])).await.unwrap()[0].as_u64().unwrap()
}

#[tokio::test]
async fn answers_a_cancelled_call_while_its_handler_runs() {
    let (_site, server) = serve();
    let mut ended = 0;
    for codec in Codec::ALL {
        for mode in ["skip", "killnowait"] {
            let mut caller = join(&server, codec).await;
            call(&mut caller, "sample/forget", json!([])).await.unwrap();
            let request = send_call(&mut caller, "sample/wait", &json!({}));
            cancel(&caller, request, mode);
            expect_error(&mut caller, request, CANCELED).await;
            // The handler completed, and its result was dropped.
            release(&server).await;
            ended += 1;
            assert_eq!(waited(&mut caller).await, ended, "{codec:?} {mode}");
            assert_eq!(caller.try_message(), None);
        }
    }
}

/// The close frame is read while the call runs. No frame may follow the answer to it; RFC 6455,
/// section 5.5.1.
#[tokio::test]
async fn answers_a_close_frame_behind_a_running_call_after_its_result() {
    let (_site, server) = serve();
    let mut caller = join(&server, Codec::Json).await;
    let request = send_call(&mut caller, "sample/wait", &json!({}));
    runs(&mut caller).await;
    caller.socket().close(1000, "done");
    release(&server).await;
    let result = caller.message().await;
    assert_eq!((&result[0], &result[1]), (&json!(50), &json!(request)), "{result}");
    let ended = caller.ended().await;
    assert_eq!(ended, Ending::Clean { code: Some(1000), reason: "done".to_owned() });
}

#[tokio::test]
async fn answers_a_killed_call_when_its_handler_has_ended() {
    let (_site, server) = serve();
    let mut caller = join(&server, Codec::Json).await;
    let request = send_call(&mut caller, "sample/wait", &json!({}));
    cancel(&caller, request, "kill");
    // Again, and in another mode: the call is still answered once.
    cancel(&caller, request, "kill");
    cancel(&caller, request, "skip");
    release(&server).await;
    expect_error(&mut caller, request, CANCELED).await;
    assert_eq!(waited(&mut caller).await, 1);
    assert_eq!(caller.try_message(), None);
}

/// The call waits behind another call of the session, or behind another session's on the same lane.
#[tokio::test]
async fn never_begins_a_call_that_was_cancelled_while_it_waited() {
    let (_site, server) = serve();
    for codec in Codec::ALL {
        let mut first = join(&server, codec).await;
        let mut second = join(&server, codec).await;
        call(&mut first, "sample/forget", json!([])).await.unwrap();
        let before = waited(&mut first).await;
        let running = send_call(&mut first, "sample/wait", &json!({}));
        let waiting = send_call(&mut first, "sample/wait", &json!({}));
        runs(&mut first).await;
        for mode in ["kill", "skip", "killnowait"] {
            let request = send_call(&mut first, "sample/wait", &json!({}));
            cancel(&first, request, mode);
            expect_error(&mut first, request, CANCELED).await;
            let request = send_call(&mut second, "sample/wait", &json!({}));
            cancel(&second, request, mode);
            expect_error(&mut second, request, CANCELED).await;
        }
        release(&server).await;
        for request in [running, waiting] {
            let result = first.message().await;
            assert_eq!((&result[0], &result[1]), (&json!(50), &json!(request)), "{codec:?}");
        }
        assert_eq!(waited(&mut second).await, before + 2);
    }
}

#[tokio::test]
async fn answers_a_call_after_its_timeout() {
    let (_site, server) = serve();
    for codec in Codec::ALL {
        let mut caller = join(&server, codec).await;
        call(&mut caller, "sample/forget", json!([])).await.unwrap();
        let before = waited(&mut caller).await;
        let patient = send_call(&mut caller, "sample/wait", &json!({"timeout": 0}));
        // Its timeout ends while it waits for the first.
        let late = send_call(&mut caller, "sample/wait", &json!({"timeout": 1}));
        runs(&mut caller).await;
        let mut other = join(&server, codec).await;
        let impatient = send_call(&mut other, "sample/wait", &json!({"timeout": 20}));
        expect_error(&mut other, impatient, TIMEOUT).await;
        release(&server).await;
        assert_eq!(caller.message().await[1], patient);
        expect_error(&mut caller, late, TIMEOUT).await;
        assert_eq!(waited(&mut caller).await, before + 1, "{codec:?}");
        // A call that ends before its timeout, and one with the largest timeout.
        for timeout in [600_000, u64::MAX / 1024] {
            let answer =
                caller.call("sample/sum", json!({"timeout": timeout}), json!([1, 2]), json!(null));
            assert_eq!(answer.await.unwrap().0, json!([3]));
        }
    }
}

#[tokio::test]
async fn a_timeout_answers_while_the_handler_runs() {
    let (_site, server) = serve();
    let mut caller = join(&server, Codec::MsgPack).await;
    let request = send_call(&mut caller, "sample/wait", &json!({"timeout": 20}));
    expect_error(&mut caller, request, TIMEOUT).await;
    cancel(&caller, request, "kill");
    release(&server).await;
    caller.round_trip().await;
    assert_eq!(caller.try_message(), None);
    assert_eq!(waited(&mut caller).await, 1);
}

/// Messages read ahead to find a CANCEL keep their order and are bounded.
#[tokio::test]
async fn messages_behind_a_call_keep_their_order() {
    let (_site, server) = serve();
    for (messages, is_found) in [(100, true), (1_000, false)] {
        let mut caller = join(&server, Codec::Cbor).await;
        call(&mut caller, "sample/forget", json!([])).await.unwrap();
        let request = send_call(&mut caller, "sample/wait", &json!({}));
        let options = json!({"acknowledge": true});
        let publish = |_| caller.publish("open/x", options.clone(), json!([1]), json!(null));
        let requests: Vec<u64> = (0..messages).map(publish).collect();
        cancel(&caller, request, "killnowait");
        if is_found {
            expect_error(&mut caller, request, CANCELED).await;
            release(&server).await;
        } else {
            // The call is answered before its CANCEL is read.
            release(&server).await;
            let result = caller.message().await;
            assert_eq!((&result[0], &result[1]), (&json!(50), &json!(request)));
        }
        for request in requests {
            let published = caller.message().await;
            assert_eq!((&published[0], &published[1]), (&json!(17), &json!(request)));
        }
        caller.round_trip().await;
        assert_eq!(caller.try_message(), None);
    }
}

#[tokio::test]
async fn frees_the_call_of_a_session_that_ends() {
    let (_site, server) = serve();
    let mut other = join(&server, Codec::Json).await;
    for leaves in [true, false] {
        call(&mut other, "sample/forget", json!([])).await.unwrap();
        let mut caller = join(&server, Codec::Json).await;
        for _ in 0..3 {
            let request = send_call(&mut caller, "sample/wait", &json!({"timeout": 600_000}));
            if leaves {
                cancel(&caller, request, "kill");
            }
        }
        if leaves {
            caller.send(&json!([6, {}, "wamp.close.close_realm"]));
        }
        drop(caller);
        release(&server).await;
        assert!(waited(&mut other).await > 0);
    }
    server.until_health("sessions", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancels_calls_behind_one_that_was_stopped_and_still_runs() {
    let (_site, server) = serve();
    let mut caller = join(&server, Codec::Json).await;
    let running = send_call(&mut caller, "sample/wait", &json!({}));
    runs(&mut caller).await;
    cancel(&caller, running, "skip");
    expect_error(&mut caller, running, CANCELED).await;
    runs(&mut caller).await;
    release(&server).await;
    caller.round_trip().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancels_a_call_of_a_client_while_a_handler_answers_another() {
    let (_site, server) = serve();
    let (mut caller, mut other) =
        (join(&server, Codec::Json).await, join(&server, Codec::Json).await);
    other.register("open/slow", json!({})).await.unwrap();
    let waiting = send_call(&mut caller, "open/slow", &json!({}));
    other.invocation().await;
    let running = send_call(&mut caller, "sample/wait", &json!({}));
    runs(&mut caller).await;
    cancel(&caller, waiting, "killnowait");
    runs(&mut caller).await;
    release(&server).await;
    let result = caller.message().await;
    assert_eq!((&result[0], &result[1]), (&json!(50), &json!(running)), "{result}");
    expect_error(&mut caller, waiting, CANCELED).await;
}
