//! Calls whose arguments come in several CALLs.

use serde_json::{Value, json};

use super::{join, serve};
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::{Client, Options};
use jackfield_tests::client::within;
use jackfield_tests::peer::{Library, Peer};
use jackfield_tests::server::Server;

async fn callee(server: &Server, codec: Codec) -> Client {
    let mut options = Options::new(codec);
    options.details["roles"]["callee"] = json!({"features": {
        "call_canceling": true, "progressive_call_invocations": true,
        "progressive_call_results": true,
    }});
    Client::connect_with(server.addr, codec, "realm1", options).await.unwrap()
}

fn send_part(client: &mut Client, request: u64, options: &Value, args: &Value) {
    client.send(&json!([48, request, options, "open/upload", args]));
}

#[tokio::test]
async fn arguments_in_parts_reach_one_callee_in_order() {
    let (_site, server) = serve();
    for codec in Codec::ALL {
        let (mut first, mut second) = (callee(&server, codec).await, callee(&server, codec).await);
        for one in [&mut first, &mut second] {
            one.register("open/upload", json!({"invoke": "roundrobin"})).await.unwrap();
        }
        let mut caller = join(&server, Codec::Json).await;
        let request = caller.next_request();
        let begin = json!({"progress": true, "receive_progress": true, "disclose_me": true});
        send_part(&mut caller, request, &begin, &json!([0]));
        for part in 1..50 {
            send_part(&mut caller, request, &json!({"progress": true}), &json!([part]));
        }
        send_part(&mut caller, request, &json!({"disclose_me": false}), &json!([50]));
        let mut id = Value::Null;
        for part in 0..=50 {
            let invocation = within(format!("part {part}"), first.invocation()).await;
            assert_eq!(invocation[4], json!([part]));
            assert_eq!(
                invocation[3]["progress"],
                if part < 50 { json!(true) } else { json!(null) }
            );
            assert_eq!(invocation[3]["caller"], caller.session());
            assert_eq!(invocation[3]["receive_progress"], true);
            assert!(part == 0 || invocation[1] == id);
            id = invocation[1].clone();
        }
        first.send(&json!([70, id, {"progress": true}, ["half"]]));
        first.send(&json!([70, id, {}, ["all"]]));
        assert_eq!(caller.message().await[3], json!(["half"]));
        assert_eq!(caller.message().await[3], json!(["all"]));
        second.round_trip().await;
        assert_eq!(second.try_message(), None);
    }
}

#[tokio::test]
async fn late_parts_are_discarded_and_wrong_ones_refused() {
    let (_site, server) = serve();
    let mut offering = callee(&server, Codec::Json).await;
    let registration = offering.register("open/upload", json!({})).await.unwrap();
    let mut caller = join(&server, Codec::Json).await;
    let request = caller.next_request();
    send_part(&mut caller, request, &json!({"progress": true, "timeout": 60_000}), &json!([0]));
    let invocation = offering.invocation().await;
    offering.send(&json!([8, 68, invocation[1], {}, "com.enough"]));
    assert_eq!(caller.message().await[4], "com.enough");
    send_part(&mut caller, request, &json!({"progress": true}), &json!([1]));
    send_part(&mut caller, request, &json!({}), &json!([2]));
    caller.round_trip().await;
    offering.round_trip().await;
    assert_eq!((caller.try_message(), offering.try_message()), (None, None));

    // Handlers, and callees without the feature, take all arguments at once.
    let request = caller.next_request();
    caller.send(&json!([48, request, {"progress": true}, "sample/sum", [1]]));
    let error = caller.message().await;
    assert_eq!(error[4], "wamp.error.feature_not_supported");
    assert!(error[5][0].as_str().unwrap().contains("the handler of the route `sample`"));
    caller.send(&json!([48, request, {}, "sample/sum", [1]]));
    offering.unregister(registration).await;
    let mut plain = join(&server, Codec::MsgPack).await;
    plain.register("open/upload", json!({})).await.unwrap();
    let request = caller.next_request();
    send_part(&mut caller, request, &json!({"progress": true}), &json!([0]));
    send_part(&mut caller, request, &json!({}), &json!([1]));
    assert_eq!(caller.message().await[4], "wamp.error.feature_not_supported");
    caller.round_trip().await;
    plain.round_trip().await;
    assert_eq!((caller.try_message(), plain.try_message()), (None, None));

    // A call that has all its arguments takes no more.
    let request = caller.next_request();
    send_part(&mut caller, request, &json!({}), &json!([0]));
    send_part(&mut caller, request, &json!({"progress": true}), &json!([1]));
    assert_eq!(caller.aborted().await.0, "wamp.error.protocol_violation");
}

#[tokio::test]
async fn wampy_sends_arguments_in_parts() {
    let (_site, server) = serve();
    let mut offering = callee(&server, Codec::Cbor).await;
    offering.register("open.stream", json!({})).await.unwrap();
    let mut peer = Peer::join(Library::Wampy(Codec::MsgPack), server.addr).await;
    let answering = async {
        let mut parts = Vec::new();
        loop {
            let invocation = offering.invocation().await;
            parts.push(invocation[4][0].clone());
            if invocation[3]["progress"] != true {
                offering.send(&json!([70, invocation[1], {}, [parts]]));
                return;
            }
        }
    };
    let stream = json!({"do": "stream", "procedure": "open.stream", "parts": [[1], ["ü"], [3]]});
    let (answer, ()) = tokio::join!(peer.done(stream), answering);
    assert_eq!(answer["args"], json!([[1, "ü", 3]]));
    peer.leave().await;
}
