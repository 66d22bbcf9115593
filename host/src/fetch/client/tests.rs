//! The client against servers on loopback that misbehave, and names that change their address.

use std::sync::atomic::{AtomicUsize, Ordering};

use jackfield_sandbox::AllowedOrigin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A request to a host; the limits are those of a test.
fn request(origin: &str, may_be_private: bool) -> HttpRequest {
    let origin: AllowedOrigin = origin.parse().unwrap();
    HttpRequest {
        origin: origin.into(),
        path: "/a?b=c".to_owned(),
        method: hyper::Method::POST,
        headers: hyper::HeaderMap::new(),
        body: b"hello".to_vec(),
        timeout: Duration::from_secs(30),
        max_response_bytes: 1_000,
        may_be_private,
    }
}

/// Serves one connection with this answer. Returns the port and the request.
async fn serve(answer: impl Into<Vec<u8>>) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, answer) = (listener.local_addr().unwrap().port(), answer.into());
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"hello") {
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
        }
        // The client may have left.
        let _ = stream.write_all(&answer).await;
        String::from_utf8(bytes).unwrap()
    });
    (port, served)
}

async fn answer_to(answer: impl Into<Vec<u8>>) -> Result<HttpResponse, HttpError> {
    let (port, _served) = serve(answer).await;
    HttpClient::new().send("p", request(&format!("http://127.0.0.1:{port}"), true)).await
}

#[tokio::test]
async fn sends_a_request_and_reads_its_answer() {
    let (port, served) = serve("HTTP/1.1 201 Made\r\nx-a: b\r\ncontent-length: 2\r\n\r\nok").await;
    let answer =
        HttpClient::new().send("p", request(&format!("http://127.0.0.1:{port}"), true)).await;
    let HttpResponse { status, headers, body } = answer.unwrap();
    assert_eq!((status, body.as_slice()), (201, &b"ok"[..]));
    assert!(headers.contains(&("x-a".to_owned(), b"b".to_vec())));
    let request = served.await.unwrap();
    assert!(request.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{request}");
    for line in [&format!("host: 127.0.0.1:{port}\r\n"), "content-length: 5\r\n", "user-agent: "] {
        assert!(request.contains(line), "{request}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(answer_to(moved).await.unwrap().status, 302);
}

#[tokio::test]
async fn refuses_answers_beyond_the_limits() {
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n{}", "x".repeat(1_001));
    assert_eq!(answer_to(long).await, Err(HttpError::TooLarge));
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(10_000));
    assert_eq!(answer_to(endless).await, Err(HttpError::TooLarge));
    let chunk = "1\r\nx\r\n".repeat(1_001);
    let chunks = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n");
    assert_eq!(answer_to(chunks).await, Err(HttpError::TooLarge));
    let head = format!("HTTP/1.1 200 OK\r\nx-a: {}\r\n\r\n", "x".repeat(2 * MAX_HEAD_BYTES));
    assert_eq!(answer_to(head).await, Err(HttpError::TooLarge));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(MAX_HEADERS + 1));
    assert_eq!(answer_to(many).await, Err(HttpError::TooLarge));
}

#[tokio::test]
async fn refuses_answers_that_are_not_http() {
    for answer in ["", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nxx"] {
        let found = answer_to(answer).await;
        assert!(matches!(found, Err(HttpError::Broken(_))), "{answer:?}: {found:?}");
    }
}

#[tokio::test]
async fn waits_no_longer_than_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for origin in [format!("http://127.0.0.1:{port}"), format!("https://127.0.0.1:{port}")] {
        // The server accepts connections, and says nothing.
        let hung = HttpRequest { timeout: Duration::from_millis(50), ..request(&origin, true) };
        assert_eq!(HttpClient::new().send("p", hung).await, Err(HttpError::Timeout), "{origin}");
    }
}

#[tokio::test]
async fn names_lead_to_public_addresses_only_unless_allowed() {
    let send = async |addresses: &'static [&str], may_be_private| {
        let port = {
            let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
            closed.local_addr().unwrap().port()
        };
        let lookup = move |_: &str, port| {
            Ok(addresses.iter().map(|it| SocketAddr::new(it.parse().unwrap(), port)).collect())
        };
        let client = HttpClient::with_resolver(Resolver::new(Arc::new(lookup)));
        let origin = format!("http://internal.example:{port}");
        let short = Duration::from_millis(400);
        client.send("p", HttpRequest { timeout: short, ..request(&origin, may_be_private) }).await
    };
    let denied: [&[&str]; 6] = [
        &["127.0.0.1"],
        &["::1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1", "2002:7f00:1::1"],
        &["10.1.2.3", "169.254.169.254"],
        &["fd00::1", "fe80::1"],
    ];
    for addresses in denied {
        let found = send(addresses, false).await;
        assert!(matches!(found, Err(HttpError::Denied(_))), "{addresses:?}: {found:?}");
    }
    // The server of this address is not running.
    let found = send(&["127.0.0.1"], true).await;
    assert!(matches!(found, Err(HttpError::Unreachable(_))), "{found:?}");
    let found = send(&["169.254.169.254"], true).await;
    assert!(matches!(found, Err(HttpError::Denied(_))), "{found:?}");
    let found = send(&[], false).await;
    assert!(matches!(found, Err(HttpError::Unreachable(_))), "{found:?}");
}

/// DNS rebinding: the second look-up would lead elsewhere.
#[tokio::test]
async fn looks_a_name_up_once_and_connects_to_what_was_checked() {
    let (port, _served) = serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let asked = Arc::new(AtomicUsize::new(0));
    let lookup = {
        let asked = Arc::clone(&asked);
        move |_: &str, port| {
            let first = asked.fetch_add(1, Ordering::Relaxed) == 0;
            let address = if first { [127, 0, 0, 1] } else { [127, 0, 0, 2] };
            Ok(vec![SocketAddr::from((address, port))])
        }
    };
    let client = HttpClient::with_resolver(Resolver::new(Arc::new(lookup)));
    let answer = client.send("p", request(&format!("http://rebound.example:{port}"), true)).await;
    assert_eq!(answer.unwrap().status, 200);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}
