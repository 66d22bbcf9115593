//! WAMP v1 against the real server, by a client that behaves like AutobahnJS 0.8: everything that
//! an open tab of a back office needs. Malformed messages are in `v1/malformed.rs`.

use serde_json::{Value, json};

use jackfield_tests::build;
use jackfield_tests::client::socket::{Ending, Incoming};
use jackfield_tests::client::v1::{Client, Hangup, Options, Reach};
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

mod malformed;

const TOPIC: &str = "open/t";

/// Returns a client whose subscription the server has handled.
async fn subscribed(server: &Server, topic: &str) -> Client {
    let mut client = Client::connect(server.addr).await;
    client.subscribe(topic);
    client.round_trip().await;
    client
}

#[tokio::test]
async fn every_form_of_publish_reaches_its_receivers() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(subscribed(&server, TOPIC).await);
    }
    let mut ids = Vec::new();
    for client in &mut clients {
        ids.push(client.session().await);
    }
    // The rest of a PUBLISH by the first of three subscribers, and the receivers.
    let cases: &[(&str, &[usize])] = &[
        ("", &[0, 1, 2]),
        (",false", &[0, 1, 2]),
        (",true", &[1, 2]),
        (",null", &[0, 1, 2]),
        (",[]", &[0, 1, 2]),
        (r#",["$0"]"#, &[1, 2]),
        (r#",["$1","$2"]"#, &[0]),
        (r#",["nobody"]"#, &[0, 1, 2]),
        (r#",["nobody","$1",{},7,"$1"]"#, &[0, 2]),
        (",[],[]", &[0, 1, 2]),
        (",false,[]", &[0, 1, 2]),
        (",true,[]", &[1, 2]),
        (r#",[],["$1"]"#, &[1]),
        (r#",[],["$0","$2"]"#, &[0, 2]),
        (r#",["$2"],["$1","$2"]"#, &[1]),
        (r#",[],["nobody"]"#, &[]),
        (r#",[],["0","-1","",null,{}]"#, &[]),
        (r#",true,["$0"]"#, &[]),
    ];
    for (number, (tail, expect)) in cases.iter().enumerate() {
        let tail = (0..3).fold((*tail).to_owned(), |tail, index| {
            tail.replace(&format!("${index}"), &ids[index])
        });
        clients[0].send_text(&format!(r#"[7,"{TOPIC}",{number}{tail}]"#));
        clients[0].round_trip().await;
        for (index, client) in clients.iter_mut().enumerate() {
            if expect.contains(&index) {
                assert_eq!(client.event().await.event, number, "client {index}, `{tail}`");
            }
            client.expect_no_event().await;
        }
    }
}

#[tokio::test]
async fn accepts_autobahns_forms_of_publish() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut here = subscribed(&server, TOPIC).await;
    let mut there = subscribed(&server, TOPIC).await;
    let id = here.session().await;
    let other = there.session().await;
    let mut check = async |reach: Reach<'_>, expect: (bool, bool)| {
        here.publish(TOPIC, &json!("news"), &reach);
        here.round_trip().await;
        for (client, expect) in [(&mut here, expect.0), (&mut there, expect.1)] {
            if expect {
                assert_eq!(client.event().await.event, "news", "{reach:?}");
            }
            client.expect_no_event().await;
        }
    };
    check(Reach::Plain, (true, true)).await;
    check(Reach::ExcludeMe(true), (false, true)).await;
    check(Reach::ExcludeMe(false), (true, true)).await;
    check(Reach::Exclude(&[&other]), (true, false)).await;
    check(Reach::ExcludeEligible(&[], &[]), (true, true)).await;
    check(Reach::ExcludeEligible(&[&id], &[&other]), (false, true)).await;
}

#[tokio::test]
async fn expands_curies_by_concatenation() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut client = Client::connect(server.addr).await;
    client.prefix("o", "open/");
    client.prefix("odd", "open/a:");
    let mut check = async |curie: &str, uri: &str| {
        let mut plain = subscribed(&server, uri).await;
        client.subscribe(curie);
        // As raw text, because the client would shorten the topic.
        client.send_text(&json!([7, curie, curie]).to_string());
        assert_eq!(plain.event().await.event, curie, "the event was published to {uri}");
        let event = client.event().await;
        assert_eq!((&*event.topic, event.event), (uri, json!(curie)), "EVENT has the full URI");
        client.unsubscribe(curie, None);
        client.send_text(&json!([7, curie, "unsubscribed"]).to_string());
        client.expect_no_event().await;
    };
    check("o:chat", "open/chat").await;
    check("o:a:b", "open/a:b").await;
    check("odd:b", "open/a:b").await;
    check("o:http:", "open/http:").await;
    check("open/unknown:x", "open/unknown:x").await;
    // A prefix belongs to its session.
    let mut other = Client::connect(server.addr).await;
    other.subscribe("o:chat");
    other.round_trip().await;
    assert_eq!(other.ignored().len(), 1, "`o:chat` is no topic here: {:?}", other.ignored());
}

const GUARDED: &str = "\
test.members:
    channel: 'members/{room}'
    handler: { callback: 'broadcast' }
    allow: { subscribe: [member], publish: [member] }
test.announcements:
    channel: 'announcements'
    handler: { callback: 'broadcast' }
    allow: { publish: [backend] }
test.inbox:
    channel: 'inbox/{user_id}'
    handler: { callback: 'secured' }
    requirements: { user_id: '\\d+' }
test.chat:
    channel: 'chat/{room}'
    handler: { callback: 'chat' }
";

#[tokio::test]
async fn a_refusal_keeps_the_session() {
    let site = Site::open();
    let plugins = [build::plugin("secured"), build::plugin("chat")];
    site.bundle("guarded", GUARDED, &plugins);
    let server = Server::start(site.path());
    let mut client = subscribed(&server, TOPIC).await;
    let mut refusals = 0;
    // The message, and the event and error of its refusal.
    for (message, event, uri) in [
        (r#"[5,"inbox/7"]"#, "onSubscribe", "wamp.error.not_authorized"),
        (r#"[5,"members/a"]"#, "onSubscribe", "wamp.error.not_authorized"),
        (r#"[7,"members/a",1]"#, "onPublish", "wamp.error.not_authorized"),
        (r#"[7,"announcements",1]"#, "onPublish", "wamp.error.not_authorized"),
        (r#"[7,"chat/a",{"text":"hi"}]"#, "onPublish", "wamp.error.not_authorized"),
        (r#"[5,"nowhere"]"#, "onSubscribe", "jackfield.error.no_route"),
        (r#"[7,"nowhere",1]"#, "onPublish", "jackfield.error.no_route"),
        (r#"[7,"nowhere",1,[],[]]"#, "onPublish", "jackfield.error.no_route"),
        (r#"[5,"inbox/x"]"#, "onSubscribe", "jackfield.error.no_route"),
        ("[5,7]", "onSubscribe", "jackfield.error.no_route"),
        (r#"[5,""]"#, "onSubscribe", "jackfield.error.no_route"),
        (r#"[6,"nowhere"]"#, "", ""),
        (r#"[6,"inbox/7"]"#, "", ""),
        (r#"[5,"announcements"]"#, "", ""),
    ] {
        client.send_text(message);
        client.round_trip().await;
        let ignored = &client.ignored()[refusals..];
        if event.is_empty() {
            assert!(ignored.is_empty(), "{message}: {ignored:?}");
        } else {
            assert_eq!(ignored.len(), 1, "{message}: {ignored:?}");
            let topic = serde_json::from_str::<Value>(message).unwrap()[1].clone();
            let topic = topic.as_str().map_or_else(|| topic.to_string(), str::to_owned);
            let refusal = &ignored[0];
            assert_eq!(refusal[0], 4, "CALLERROR, {message}");
            assert_eq!(refusal[1], *topic, "its id is no call's, {message}");
            assert_eq!(refusal[2], uri, "{message}");
            assert!(!refusal[3].as_str().unwrap().is_empty(), "{message}: {refusal}");
            assert_eq!(refusal[4], json!({"topic": topic, "event": event}), "{message}");
            refusals += 1;
        }
        assert!(client.page_errors().is_empty(), "{message}: {:?}", client.page_errors());
        // The connection continues, and so do earlier subscriptions.
        client.publish(TOPIC, &json!(message), &Reach::Plain);
        assert_eq!(client.event().await.event, message);
    }
    // A refused subscription receives nothing.
    let mut other = Client::connect(server.addr).await;
    for topic in ["inbox/7", "nowhere"] {
        other.publish(topic, &json!("leaked"), &Reach::Plain);
    }
    other.round_trip().await;
    client.expect_no_event().await;
}

#[tokio::test]
async fn subscribing_twice_is_subscribing_once() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut client = subscribed(&server, TOPIC).await;
    for _ in 0..3 {
        client.send_text(&format!(r#"[5,"{TOPIC}"]"#));
    }
    client.publish(TOPIC, &json!(1), &Reach::Plain);
    assert_eq!(client.event().await.event, 1);
    client.expect_no_event().await;
    // One UNSUBSCRIBE ends them all; a second one is ignored.
    for _ in 0..2 {
        client.send_text(&format!(r#"[6,"{TOPIC}"]"#));
        client.publish(TOPIC, &json!(2), &Reach::Plain);
        client.expect_no_event().await;
    }
    client.send_text(&format!(r#"[5,"{TOPIC}"]"#));
    client.publish(TOPIC, &json!(3), &Reach::Plain);
    assert_eq!(client.event().await.event, 3);
    assert!(client.ignored().is_empty(), "{:?}", client.ignored());
}

#[tokio::test]
async fn pages_reconnect_after_a_restart() {
    for signal in ["TERM", "INT", "KILL"] {
        let site = Site::open();
        let mut server = Server::start(site.path());
        let addr = server.addr;
        let mut client = subscribed(&server, TOPIC).await;
        server.signal(signal);
        assert_eq!(client.session_hangup().await, Hangup::Lost, "{signal}: a Close frame is final");
        assert_eq!(client.hangup().await, Hangup::RetriesExceeded, "{signal}");
        server.exit_code();
        assert!(client.reconnect(addr).await.is_err(), "{signal}: the server is down");
        let server = Server::on(site.path(), addr);
        client.reconnect(addr).await.unwrap();
        client.session().await;
        client.publish(TOPIC, &json!("not subscribed yet"), &Reach::Plain);
        client.expect_no_event().await;
        client.subscribe(TOPIC);
        let mut other = Client::connect(server.addr).await;
        client.round_trip().await;
        other.publish(TOPIC, &json!(signal), &Reach::Plain);
        assert_eq!(client.event().await.event, signal);
    }
}

#[tokio::test]
async fn closes_a_leaving_page_and_sends_nothing_more() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut leaving = subscribed(&server, TOPIC).await;
    let mut staying = subscribed(&server, TOPIC).await;
    leaving.close();
    assert_eq!(
        leaving.ended().await,
        Ending::Clean { code: Some(1000), reason: String::new() },
        "the server answers the Close"
    );
    staying.publish(TOPIC, &json!(1), &Reach::Plain);
    assert_eq!(staying.event().await.event, 1);
    // A disconnected client affects no other client.
    subscribed(&server, TOPIC).await.into_socket().reset();
    staying.publish(TOPIC, &json!(2), &Reach::Plain);
    assert_eq!(staying.event().await.event, 2);
}

/// Existing procedures are tested in `rpc`.
#[tokio::test]
async fn answers_unknown_procedures_with_an_error() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut client = Client::connect(server.addr).await;
    for (procedure, words) in [
        (TOPIC, "A RPC handler for the \"test.open\" route has not been registered."),
        ("sample/sum", "there is no procedure `sample/sum`"),
        ("http://api.wamp.ws/procedure#authreq", "http://api.wamp.ws/procedure#authreq"),
    ] {
        for arguments in [vec![], vec![json!({"a": 1})], vec![json!(1), json!([]), json!(null)]] {
            let error = client.call(procedure, &arguments).await.unwrap_err();
            assert_eq!(error.uri, "wamp.error.no_such_procedure", "{procedure}");
            assert_eq!(error.details, Some(json!({"code": 404})), "{procedure}");
            let description = error.description.as_str().unwrap();
            assert!(description.contains(words), "{description}");
        }
    }
    assert!(client.ignored().is_empty(), "{:?}", client.ignored());
}

#[tokio::test]
async fn requires_the_subprotocol() {
    let site = Site::open();
    let server = Server::start(site.path());
    let check = async |protocols: &[&str], opens: bool| {
        let mut options = Options::default();
        options.handshake.protocols = protocols.iter().map(ToString::to_string).collect();
        let answer = Client::connect_with(server.addr, options).await;
        match answer {
            Ok(mut client) => {
                assert!(opens, "{protocols:?} opened a session");
                client.session().await;
            }
            Err(unreachable) => {
                assert!(!opens, "{protocols:?}: {unreachable:?}");
                assert_eq!(unreachable.hangup, Hangup::Unreachable);
                // Not 101, which AutobahnJS would accept as a server of another protocol.
                assert_eq!(unreachable.refused.status, Some(400), "{protocols:?}");
                assert!(unreachable.refused.text.contains("wamp.2.json"), "{unreachable:?}");
            }
        }
    };
    check(&["wamp"], true).await;
    check(&["soap", "wamp"], true).await;
    check(&[], false).await;
    check(&["soap"], false).await;
    check(&["WAMP"], false).await;
    check(&["wamp.batched"], false).await;
}

#[tokio::test]
async fn every_session_has_its_own_id_that_no_javascript_rounds() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut ids = std::collections::HashSet::new();
    for _ in 0..20 {
        let mut client = Client::connect(server.addr).await;
        let id = client.session().await;
        assert!(id.parse::<u64>().is_ok_and(|id| (1..=1 << 53).contains(&id)), "{id}");
        assert!(client.server().starts_with("Jackfield/"), "{}", client.server());
        assert!(ids.insert(id), "an id was given twice");
    }
}

#[tokio::test]
async fn events_arrive_as_they_were_written() {
    let site = Site::open();
    let server = Server::start(site.path());
    let publisher = Client::connect(server.addr).await;
    let mut subscriber = subscribed(&server, TOPIC).await.into_socket();
    for event in [
        "{}",
        "[]",
        "null",
        "\"\"",
        "0",
        "-0",
        "1.0",
        "1e3",
        "9007199254740993",
        "18446744073709551615",
        "-9223372036854775808",
        "1180591620717411303424",
        "0.1000000000000000055511151231257827",
        r#""é😀\u00e9\ud83d\ude00\/""#,
        r#""\u0000AAECAw==""#,
        r#"{"b":{},"a":[{}],"":null}"#,
        r#"{"same":1,"same":2}"#,
        r#"[ 1 , {"spaces" : "kept"} ]"#,
    ] {
        publisher.send_text(&format!(r#"[7,"{TOPIC}",{event}]"#));
        let incoming = within(format!("the event {event}"), subscriber.next()).await;
        assert_eq!(incoming, Incoming::Text(format!(r#"[8,"{TOPIC}",{event}]"#)));
    }
}
