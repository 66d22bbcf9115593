//! Users from the application's own HTTP endpoint, with a small application that answers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{Guarded, ROUTES, in_query, owns};
use jackfield_tests::build;
use jackfield_tests::site::Site;

const ANN: &str = r#"{"id": 7, "username": "ann", "password": "hash-of-ann", "roles": ["member"],
    "organization": 1, "claims": {"locale": "en"}}"#;

/// An application with users.
struct Application {
    addr: SocketAddr,
    /// The heads of its requests.
    asked: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Application {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let heads = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                Self::answer(tcp, &heads).await;
            }
        });
        Self { addr, asked, serving }
    }

    /// Answers one request.
    async fn answer(mut tcp: TcpStream, asked: &Mutex<Vec<String>>) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if !tcp.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
                return;
            }
        }
        let head = String::from_utf8(head).unwrap();
        let (status, body) = match head.split(' ').nth(1) {
            Some("/users/ann") => ("200 OK", ANN),
            Some("/users/odd") => ("200 OK", r#"{"name": "odd"}"#),
            _ => ("404 Not Found", ""),
        };
        asked.lock().unwrap().push(head);
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        );
        let _gone = tcp.write_all(answer.as_bytes()).await;
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_users_from_the_application() {
    let application = Application::start().await;
    let site = Site::new();
    site.bundle("routes", ROUTES, &[build::plugin("broadcast"), build::plugin("secured")]);
    site.write("token", "the-applications-token\n");
    let settings = format!(
        "auth:\n  tickets: {{ secret: s3cret }}\n  users:\n    http:\n      \
         url: 'http://{}/users/{{username}}'\n      token: {{ file: token }}\n",
        application.addr
    );
    let guarded = Guarded::with(site, &settings);
    assert_eq!(application.asked().len(), 0, "no user is requested in advance");
    let ticket = guarded.ticket(Some("ann")).await;
    let ann = in_query(&ticket);
    let before = application.asked().len();
    let mut page = guarded.page(&ann).await.unwrap();
    assert!(owns(&mut page, 7).await && !owns(&mut page, 8).await);
    let head = application.asked().last().unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get /users/ann http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: bearer the-applications-token\r\n"), "{head}");
    // The user is cached.
    guarded.page(&ann).await.unwrap();
    assert_eq!(application.asked().len(), before + 1);

    // The digest is valid, but for another user.
    let of = |name: &str| in_query(&ticket_of(&ticket, name));
    assert_eq!(guarded.page(&of("bob")).await.err().unwrap().0, Some(403));
    guarded.server.logged("of \"bob\" is refused: there is no such user");
    assert_eq!(guarded.page(&of("odd")).await.err().unwrap().0, Some(503));
    guarded.server.logged("(auth.users.http) returned an invalid response");

    // While it is down, cached users connect, and others are refused temporarily.
    application.serving.abort();
    guarded.page(&ann).await.unwrap();
    assert_eq!(guarded.page(&of("eve")).await.err().unwrap().0, Some(503));
    guarded.server.logged("(auth.users.http) cannot be asked");
    let log = guarded.server.log();
    for secret in ["s3cret", "hash-of-ann", "the-applications-token", ticket.as_str()] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

/// Returns the ticket with another name, and therefore a wrong digest.
fn ticket_of(ticket: &str, name: &str) -> String {
    static NONCE: AtomicUsize = AtomicUsize::new(0);
    let plain = String::from_utf8(STANDARD.decode(ticket).unwrap()).unwrap();
    let mut fields: Vec<String> = plain.split(';').map(str::to_owned).collect();
    name.clone_into(&mut fields[1]);
    fields[2] = format!("{:016x}", NONCE.fetch_add(1, Ordering::Relaxed));
    STANDARD.encode(fields.join(";"))
}
