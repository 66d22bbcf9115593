//! Tests of the v1 client: it behaves like AutobahnJS 0.8.0, against scripted servers and wamp.io.

use std::net::SocketAddr;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::super::fake_server::{Connection, WELCOME, close, serve, text};
use super::super::within;
use super::{Client, Hangup, Options, Reach};
use crate::peer;

/// An end of an open session by the server.
#[derive(Clone, Copy, Debug)]
enum End {
    Fin,
    Rst,
    /// A Close frame, the client's reply, then FIN.
    Close(Option<u16>),
    /// A Close frame and FIN at once.
    CloseFin(u16),
    /// A Close frame, then RST.
    CloseRst(u16),
}

#[tokio::test]
async fn the_close_code_follows_the_end_of_tcp() {
    let check = async |end: End, max_retries: u32, expect: Hangup| {
        let addr = serve(move |connection| finish(connection, end)).await;
        let options = Options { max_retries, ..Options::default() };
        let mut client = Client::connect_with(addr, options).await.unwrap();
        assert_eq!(client.session().await, "s1");
        // Only now may the server end: RST destroys unread data.
        client.send_text("over");
        assert_eq!(client.hangup().await, expect, "{end:?}, {max_retries} retries");
    };
    check(End::Fin, 0, Hangup::RetriesExceeded).await;
    check(End::Rst, 0, Hangup::RetriesExceeded).await;
    check(End::Fin, 3, Hangup::LostScheduledReconnect).await;
    for code in [None, Some(1000), Some(1001), Some(1007), Some(1012), Some(4000)] {
        check(End::Close(code), 0, Hangup::Closed).await;
        check(End::Close(code), 3, Hangup::Closed).await;
    }
    check(End::CloseFin(1001), 0, Hangup::Closed).await;
    check(End::CloseRst(1001), 0, Hangup::RetriesExceeded).await;
}

async fn finish(mut connection: Connection, end: End) {
    connection.welcome(&[WELCOME]).await;
    assert_eq!(connection.frame().await, (1, b"over".to_vec()));
    match end {
        End::Fin => {}
        End::Rst => connection.tcp.set_zero_linger().unwrap(),
        End::Close(code) => {
            connection.write(&close(code)).await;
            assert_eq!(connection.frame().await.0, 0x8);
        }
        End::CloseFin(code) => {
            connection.write(&close(Some(code))).await;
            connection.tcp.shutdown().await.unwrap();
            connection.drain().await;
            return;
        }
        End::CloseRst(code) => {
            connection.write(&close(Some(code))).await;
            assert_eq!(connection.frame().await.0, 0x8);
            connection.tcp.set_zero_linger().unwrap();
        }
    }
    drop(connection);
}

#[tokio::test]
async fn refused_handshakes_are_unreachable() {
    let check = async |response: &'static [u8], status: Option<u16>| {
        let addr =
            serve(async move |mut connection: Connection| connection.write(response).await).await;
        let unreachable = Client::connect_with(addr, Options::default()).await.err().unwrap();
        assert_eq!(unreachable.hangup, Hangup::Unreachable);
        assert_eq!(unreachable.refused.status, status, "{unreachable:?}");
    };
    check(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", Some(403)).await;
    check(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", Some(503)).await;
    check(b"", None).await;
    let addr = serve(async |mut connection: Connection| {
        let response = connection.accept(&[]);
        connection.write(&response).await;
    });
    let unreachable = Client::connect_with(addr.await, Options::default()).await.err().unwrap();
    assert_eq!(unreachable.hangup, Hangup::Unreachable, "no subprotocol");
}

#[tokio::test]
async fn distinguishes_a_failed_retry_from_a_first_attempt() {
    let check = async |max_retries: u32, expect: Hangup| {
        let addr =
            serve(async |mut connection: Connection| connection.welcome(&[WELCOME]).await).await;
        let options = Options { max_retries, ..Options::default() };
        let mut client = Client::connect_with(addr, options).await.unwrap();
        client.session().await;
        assert_eq!(client.reconnect(addr).await.unwrap_err().hangup, expect);
    };
    check(0, Hangup::RetriesExceeded).await;
    check(1, Hangup::UnreachableScheduledReconnect).await;
}

#[tokio::test]
async fn fails_and_ignores_messages_as_autobahn_does() {
    let addr = serve(async |mut connection: Connection| {
        connection.welcome(&[WELCOME]).await;
        assert_eq!(connection.frame().await.1, br#"[5,"t/1"]"#);
        for message in [
            r#"{"not": "a list"}"#,
            r#"[4,"unknown","uri","text"]"#,
            r#"[99,"t/1",1]"#,
            r#"[8,"t/2","not subscribed"]"#,
            r#"[8,"t/1","kept"]"#,
            "You are not allowed",
            "null",
            r#"[0,"s2",1,"again"]"#,
            r#"[8,"t/1","and on"]"#,
        ] {
            connection.write(&text(message)).await;
        }
        connection.drain().await;
    });
    let mut client = Client::connect(addr.await).await;
    assert_eq!(client.server(), "stand-in");
    client.subscribe("t/1");
    assert_eq!(client.event().await.event, "kept");
    assert_eq!(client.ignored().len(), 4, "{:?}", client.ignored());
    assert_eq!(client.event().await.event, "and on");
    assert_eq!(client.page_errors(), ["You are not allowed", "null", r#"[0,"s2",1,"again"]"#]);
    assert_eq!(client.session().await, "s1");
}

#[tokio::test]
async fn subscribes_once_per_topic_and_writes_every_form_of_publish() {
    let addr = serve(async |mut connection: Connection| {
        connection.welcome(&[WELCOME]).await;
        for expect in [
            r#"[1,"t","topic/"]"#,
            r#"[5,"topic/1"]"#,
            r#"[7,"t:1",{"a":1}]"#,
            r#"[7,"t:1",null,true]"#,
            r#"[7,"t:1",1,["s1"]]"#,
            r#"[7,"t:1","x",[],["s1","s2"]]"#,
            r#"[6,"topic/1"]"#,
            r#"[2,"0.call3","t:sum",1,2]"#,
        ] {
            let (opcode, payload) = connection.frame().await;
            assert_eq!((opcode, String::from_utf8(payload).unwrap()), (1, expect.to_owned()));
        }
        connection.write(&text(r#"[3,"0.call3",3]"#)).await;
        connection.drain().await;
    });
    let mut client = Client::connect(addr.await).await;
    client.prefix("t", "topic/");
    let first = client.subscribe("topic/1");
    let second = client.subscribe("topic/1");
    client.publish("topic/1", &json!({"a": 1}), &Reach::Plain);
    client.publish("topic/1", &json!(null), &Reach::ExcludeMe(true));
    client.publish("topic/1", &json!(1), &Reach::Exclude(&["s1"]));
    client.publish("topic/1", &json!("x"), &Reach::ExcludeEligible(&[], &["s1", "s2"]));
    client.unsubscribe("topic/1", Some(first));
    client.unsubscribe("topic/1", Some(second));
    assert_eq!(client.call("topic/sum", &[json!(1), json!(2)]).await, Ok(json!(3)));
}

#[tokio::test]
async fn it_talks_to_wamp_io() {
    let (_server, _stdin, mut lines, _complaints) = peer::spawn(peer::node("server.mjs"));
    let line = within("wamp.io to listen", lines.recv()).await.expect("wamp.io runs");
    let port = u16::try_from(line["port"].as_u64().unwrap()).unwrap();
    let addr = SocketAddr::from(([127, 0, 0, 1], port));
    let mut publisher = Client::connect(addr).await;
    let mut subscriber = Client::connect(addr).await;
    assert_ne!(publisher.session().await, subscriber.session().await);
    let callback = subscriber.subscribe("t/1");
    subscriber.round_trip().await;
    publisher.publish("t/1", &json!({"k": [1, {}]}), &Reach::Plain);
    let event = subscriber.event().await;
    assert_eq!(
        (&*event.topic, event.event, event.callback),
        ("t/1", json!({"k": [1, {}]}), callback)
    );
    subscriber.unsubscribe("t/1", None);
    subscriber.round_trip().await;
    publisher.publish("t/1", &json!(2), &Reach::Plain);
    assert_eq!(publisher.call("sum", &[json!(1), json!(2)]).await, Ok(json!(3)));
    assert!(publisher.call("nothing", &[]).await.is_err());
    subscriber.expect_no_event().await;
    subscriber.close();
    assert_eq!(subscriber.hangup().await, Hangup::Closed);
}
