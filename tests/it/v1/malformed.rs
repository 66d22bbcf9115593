//! Malformed WAMP v1 messages, each on a connection of its own: the server survives, and other
//! clients do not notice.

use serde_json::json;

use super::{TOPIC, subscribed};
use jackfield_tests::client::socket::Ending;
use jackfield_tests::client::v1::{Client, Reach};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The connection continues.
    Accepted,
    /// Closed with this code.
    Closed(u16),
}

use Fate::{Accepted, Closed};

const MESSAGES: &[(&str, Fate)] = &[
    ("", Closed(1007)),
    (" ", Closed(1007)),
    ("null", Closed(1007)),
    ("5", Closed(1007)),
    ("\"text\"", Closed(1007)),
    ("not JSON", Closed(1007)),
    ("[5,\"open/t\"", Closed(1007)),
    ("[5,\"open/t\"]]", Closed(1007)),
    ("[5,\"open/t\"] [6]", Closed(1007)),
    ("[5,\"open/t\",]", Closed(1007)),
    ("[5,'open/t']", Closed(1007)),
    ("[5,\"\u{1}\"]", Closed(1007)),
    ("[]", Closed(1007)),
    ("[null]", Closed(1007)),
    ("[5]", Closed(1007)),
    ("[6]", Closed(1007)),
    ("[7]", Closed(1007)),
    ("[2]", Closed(1007)),
    (r#"[1,"p"]"#, Closed(1007)),
    (r#"[2,"id"]"#, Closed(1007)),
    (r#"[99,"x"]"#, Closed(1007)),
    (r#"[-5,"x"]"#, Closed(1007)),
    (r#"[18446744073709551621,"x"]"#, Closed(1007)),
    (r#"["x","x"]"#, Closed(1007)),
    (r#"[{},"x"]"#, Closed(1007)),
    // Only servers send these.
    (r#"[0,"x",1,"y"]"#, Closed(1007)),
    (r#"[3,"x",1]"#, Closed(1007)),
    (r#"[4,"x","y","z"]"#, Closed(1007)),
    (r#"[8,"test/a",1]"#, Closed(1007)),
    (r#"[5,["x"]]"#, Closed(1007)),
    ("[5,null]", Closed(1007)),
    ("[5,{}]", Closed(1007)),
    (r#"[7,["x"],1]"#, Closed(1007)),
    (r#"[7,"open/x",1,[],"x"]"#, Closed(1007)),
    (r#"{"0":5,"1":"test/a"}"#, Closed(1007)),
    // As lenient as the PHP servers, so that existing clients work.
    (r#"["5","test/a"]"#, Accepted),
    (r#"[true,"p","test/z"]"#, Accepted),
    (r#"[7,"test/a"]"#, Accepted),
    (r#"[7,"open/x"]"#, Accepted),
    (r#"[6,"test/none"]"#, Accepted),
    ("[5,7]", Accepted),
    // Lists with a removed element, as PHP writes them.
    (r#"[7,"open/x",1,{"2":"4711"},{"0":"4711"}]"#, Accepted),
    (r#"[7,"open/x",1,{},{}]"#, Accepted),
    // Half a character, as JavaScript can write it, is refused, and the connection continues.
    (r#"[5,"\ud800"]"#, Accepted),
    (r#"[5,"open/x","more",{}]"#, Accepted),
    (r#"[7,"open/x",1,0,null]"#, Accepted),
    (r#"[7,"open/x",1,"yes"]"#, Accepted),
    (r#" [ 5 , "open/x" ] "#, Accepted),
    // A missing route is not a violation.
    (r#"[5,"nowhere"]"#, Accepted),
    (r#"[7,"nowhere",1]"#, Accepted),
    (r#"[2,"id","nowhere"]"#, Accepted),
];

#[tokio::test]
async fn a_malformed_message_ends_its_sender_only() {
    let site = Site::open();
    let mut server = Server::start(site.path());
    let mut witness = subscribed(&server, TOPIC).await;
    let nested = format!(r#"[7,"open/x",{}1{}]"#, "[".repeat(100_000), "]".repeat(100_000));
    let messages = MESSAGES.iter().copied().chain([(nested.as_str(), Accepted)]);
    for (number, (message, expect)) in messages.enumerate() {
        let mut client = Client::connect(server.addr).await;
        client.send_text(message);
        let shown: String = message.chars().take(60).collect();
        match expect {
            Accepted => {
                client.round_trip().await;
                client.subscribe(TOPIC);
                client.publish(TOPIC, &json!(number), &Reach::Plain);
                assert_eq!(client.event().await.event, number, "{shown}");
            }
            Closed(code) => {
                let ending = client.ended().await;
                let Ending::Clean { code: Some(found), reason } = ending else {
                    panic!("{shown}: {ending:?}")
                };
                assert_eq!(found, code, "{shown}: {reason}");
                assert!(!reason.is_empty(), "{shown} is closed without a reason");
                let mut other = Client::connect(server.addr).await;
                other.publish(TOPIC, &json!(number), &Reach::Plain);
            }
        }
        assert!(client.page_errors().is_empty(), "{shown}: {:?}", client.page_errors());
        assert_eq!(witness.event().await.event, number, "after {shown}");
    }
    assert!(server.is_alive());
}

#[tokio::test]
async fn handles_messages_sent_before_a_violation() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut witness = subscribed(&server, TOPIC).await;
    let mut client = Client::connect(server.addr).await;
    for number in 0..50 {
        client.publish(TOPIC, &json!(number), &Reach::Plain);
    }
    client.send_text("broken");
    client.publish(TOPIC, &json!("after"), &Reach::Plain);
    client.ended().await;
    for number in 0..50 {
        assert_eq!(witness.event().await.event, number);
    }
    witness.expect_no_event().await;
}

#[tokio::test]
async fn rejects_binary_frames() {
    let site = Site::open();
    let server = Server::start(site.path());
    for bytes in [br#"[5,"open/t"]"#.to_vec(), Vec::new(), vec![0xff; 300]] {
        let mut client = Client::connect(server.addr).await;
        client.socket().send_binary(bytes);
        let ending = client.ended().await;
        assert!(matches!(ending, Ending::Clean { code: Some(1007), .. }), "{ending:?}");
    }
}

#[tokio::test]
async fn rejects_a_message_over_the_limit() {
    let site = Site::open();
    let server = Server::configured(site.path(), "limits: { message: 100000 }");
    let mut witness = subscribed(&server, TOPIC).await;
    let message = |size: usize| {
        let empty = format!(r#"[7,"{TOPIC}",""]"#).len();
        format!(r#"[7,"{TOPIC}","{}"]"#, "x".repeat(size - empty))
    };
    let client = Client::connect(server.addr).await;
    client.send_text(&message(100_000));
    assert!(witness.event().await.event.as_str().unwrap().starts_with("xxx"));
    for size in [100_001, 5_000_000] {
        let mut client = Client::connect(server.addr).await;
        client.send_text(&message(size));
        let ending = client.ended().await;
        assert!(matches!(ending, Ending::Clean { code: Some(1009), .. }), "{size}: {ending:?}");
        witness.expect_no_event().await;
    }
}
