//! Echo (`access.echo`): messages of WebSockets without a subprotocol are sent back.

use jackfield_tests::client::socket::{Ending, Handshake, Incoming, Refused, Socket};
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

async fn connect(server: &Server) -> Result<Socket, Refused> {
    Socket::open(server.addr, Handshake::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_without_a_subprotocol_come_back() {
    let site = Site::open();
    let server = Server::configured(site.path(), "access: { echo: true }\n");
    let mut socket = connect(&server).await.unwrap();
    assert_eq!(socket.protocol, None);
    for length in [0, 1, 125, 126, 65_535, 65_536, 1_000_000] {
        let text = "x".repeat(length);
        socket.send_text(text.clone());
        socket.send_binary(text.clone().into_bytes());
        let Incoming::Text(back) = within("text", socket.next()).await else { panic!("{length}") };
        assert!(back == text, "{length}");
        let Incoming::Binary(back) = within("data", socket.next()).await else {
            panic!("{length}")
        };
        assert!(back == text.as_bytes(), "{length}");
    }
    socket.ping(b"here");
    assert!(matches!(within("a pong", socket.next()).await, Incoming::Pong(it) if it == b"here"));
    // A message of WAMP is any other.
    socket.send_text("[1,\"realm1\",{}]");
    assert!(
        matches!(within("an echo", socket.next()).await, Incoming::Text(it) if it == "[1,\"realm1\",{}]")
    );
    socket.close(1000, "bye");
    let Incoming::Ended(Ending::Clean { code, reason }) = within("the end", socket.next()).await
    else {
        panic!("the end is not clean")
    };
    assert_eq!((code, reason.as_str()), (Some(1000), "bye"));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_for_echoes() {
    let site = Site::open();
    let settings = "access: { echo: true }\nhandshake_timeout: 1s\nlimits: { message: 1 KiB }\n";
    let server = Server::configured(site.path(), settings);
    let mut socket = connect(&server).await.unwrap();
    socket.send_text("x".repeat(2_000));
    match within("the end", socket.next()).await {
        Incoming::Ended(Ending::Clean { code, .. }) => assert_eq!(code, Some(1009)),
        other => panic!("{other:?}"),
    }
    let mut silent = connect(&server).await.unwrap();
    let ended = within("the end of the handshake", silent.next()).await;
    assert!(matches!(ended, Incoming::Ended(_)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn echoes_are_off_by_default_and_need_authentication() {
    let site = Site::open();
    let server = Server::start(site.path());
    assert_eq!(connect(&server).await.err().unwrap().status, Some(400));
    site.write("principals.yml", "principals: { ann: { ticket: letmein } }");
    let principals = site.file("principals.yml");
    let settings =
        format!("access: {{ echo: true }}\nauth: {{ principals: {} }}\n", principals.display());
    let server = Server::configured(site.path(), &settings);
    assert_eq!(connect(&server).await.err().unwrap().status, Some(403));
}
