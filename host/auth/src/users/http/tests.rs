//! Tests of the HTTP user source over real sockets, with a minimal server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::secret::Secret;
use crate::users::Users;

/// Address of the tests' clients.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Head of a request, and the channel for its response: status line and body.
type Question = (String, tokio::sync::oneshot::Sender<(&'static str, String)>);

/// Application that responds as the test says.
struct Application {
    addr: SocketAddr,
    questions: mpsc::UnboundedReceiver<Question>,
}

/// Application with one response for all requests, which are counted.
struct Answering {
    addr: SocketAddr,
    asked: Arc<AtomicUsize>,
    answer: Arc<Mutex<(&'static str, String)>>,
}

impl Application {
    async fn start() -> Self {
        Self::serve(None).await
    }

    async fn serve(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, questions) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, tls) = (sender.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => answer(stream, sender).await,
                        // A client that does not trust the certificate disconnects.
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => answer(stream, sender).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { addr, questions }
    }

    async fn asked(&mut self) -> Question {
        self.questions.recv().await.unwrap()
    }

    fn answering(mut self, status: &'static str, body: &str) -> Answering {
        let asked = Arc::new(AtomicUsize::new(0));
        let answer = Arc::new(Mutex::new((status, body.to_owned())));
        let (count, current) = (Arc::clone(&asked), Arc::clone(&answer));
        tokio::spawn(async move {
            while let Some((_, reply)) = self.questions.recv().await {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = reply.send(current.lock().unwrap().clone());
            }
        });
        Answering { addr: self.addr, asked, answer }
    }
}

impl Answering {
    fn count(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn say(&self, status: &'static str, body: &str) {
        *self.answer.lock().unwrap() = (status, body.to_owned());
    }
}

/// Reads requests of one connection, and writes the response to each.
async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    questions: mpsc::UnboundedSender<Question>,
) -> Option<()> {
    let mut head = Vec::new();
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let (reply, replied) = tokio::sync::oneshot::channel();
        questions.send((String::from_utf8(std::mem::take(&mut head)).unwrap(), reply)).ok()?;
        let (status, body) = replied.await.ok()?;
        let length = body.len();
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(response.as_bytes()).await.ok()?;
    }
}

const ADMIN: &str = r#"{"id": 7, "username": "admin", "password": "hash-1", "roles": ["A"],
    "organization": 1, "claims": {"locale": "en"}, "email": "ignored@example.com"}"#;

fn settings(addr: SocketAddr) -> HttpSettings {
    let yaml = format!("url: 'http://{addr}/users/{{username}}?fields=all'");
    jackfield_yaml::de::read("jackfield.yml", &yaml).unwrap()
}

fn users(addr: SocketAddr) -> Users {
    Users::Http(HttpUsers::new(&settings(addr)).unwrap())
}

/// Moves the clock forward without waiting.
fn later(seconds: u64) {
    clock::skip(Duration::from_secs(seconds));
}

#[tokio::test]
async fn requests_and_reads_a_user() {
    let mut app = Application::start().await;
    let mut settings = settings(app.addr);
    settings.token = Some(Secret::Value("hunter2".to_owned().into()));
    let users = Users::Http(HttpUsers::new(&settings).unwrap());
    let finding = tokio::spawn(async move { users.find("a b/ü?%").await });
    let (head, reply) = app.asked().await;
    assert!(head.starts_with("GET /users/a%20b%2F%C3%BC%3F%25?fields=all HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Bearer hunter2\r\n"), "{head}");
    reply.send(("200 OK", ADMIN.replace("admin", "a b/ü?%"))).unwrap();
    let user = finding.await.unwrap().unwrap().unwrap();
    assert_eq!((user.id.as_str(), user.username.as_str()), ("7", "a b/ü?%"));
    assert_eq!(user.roles, ["A"]);
    assert_eq!(user.organization.as_deref(), Some("1"));
    assert_eq!(user.password, crate::PasswordHash::new("hash-1".to_owned()));
    assert!(user.enabled);
    assert_eq!(serde_json::to_string(&user.claims).unwrap(), r#"{"locale":"en"}"#);
}

#[tokio::test]
async fn does_not_request_invalid_names() {
    let app = Application::start().await.answering("200 OK", ADMIN);
    let users = users(app.addr);
    for name in ["", ".", "..", "a\nb", &"n".repeat(256)] {
        assert_eq!(users.find(name).await, Ok(None), "{name}");
    }
    assert_eq!(app.count(), 0);
}

#[tokio::test]
async fn caches_users_and_absences() {
    let app = Application::start().await.answering("200 OK", ADMIN);
    let users = users(app.addr);
    assert!(users.find("admin").await.unwrap().is_some());
    later(59);
    assert!(users.find("admin").await.unwrap().is_some());
    assert_eq!(app.count(), 1);
    app.say("404 Not Found", "");
    later(2);
    assert_eq!(users.find("admin").await, Ok(None));
    assert_eq!(app.count(), 2);
    later(9);
    assert_eq!(users.find("admin").await, Ok(None));
    assert_eq!(app.count(), 2);
    app.say("200 OK", ADMIN);
    later(2);
    assert!(users.find("admin").await.unwrap().is_some());
    assert_eq!(app.count(), 3);
}

#[tokio::test]
async fn unknown_names_evict_no_user() {
    let app = Application::start().await.answering("200 OK", ADMIN);
    let mut settings = settings(app.addr);
    settings.capacity = 2.try_into().unwrap();
    let users = Users::Http(HttpUsers::new(&settings).unwrap());
    assert!(users.find("admin").await.unwrap().is_some());
    app.say("404 Not Found", "");
    for name in ["a", "b", "c", "d"] {
        assert_eq!(users.find(name).await, Ok(None));
    }
    assert_eq!(app.count(), 5);
    assert!(users.find("admin").await.unwrap().is_some());
    assert_eq!(users.find("d").await, Ok(None));
    assert_eq!(app.count(), 5);
    assert_eq!(users.find("a").await, Ok(None));
    assert_eq!(app.count(), 6);
}

#[tokio::test]
async fn sends_one_request_for_all_clients_of_a_user() {
    let mut app = Application::start().await;
    let users = Arc::new(users(app.addr));
    let find = || {
        let users = Arc::clone(&users);
        tokio::spawn(async move { users.find("admin").await })
    };
    let first = find();
    let (_, reply) = app.asked().await;
    let others: Vec<_> = (0..20).map(|_| find()).collect();
    // The first client disconnects; the request continues.
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    tokio::task::yield_now().await;
    reply.send(("200 OK", ADMIN.to_owned())).unwrap();
    for other in others {
        assert_eq!(other.await.unwrap().unwrap().unwrap().id, "7");
    }
    assert!(app.questions.try_recv().is_err());
}

#[tokio::test]
async fn an_outage_fails_lookups_of_users_that_are_not_cached() {
    let app = Application::start().await.answering("200 OK", ADMIN);
    let users = users(app.addr);
    assert!(users.find("admin").await.unwrap().is_some());
    app.say("503 Service Unavailable", "");
    later(61);
    // Past the cache time, within the grace period.
    assert_eq!(users.find("admin").await.unwrap().unwrap().id, "7");
    let down = users.find("other").await.unwrap_err().to_string();
    assert!(down.contains("it answered 503"), "{down}");
    assert!(!down.contains("fields=all"), "{down}");
    // The first of both sent a request; the other fell into the pause after it.
    assert_eq!(app.count(), 2);
    later(2);
    users.find("other").await.unwrap_err();
    assert_eq!(app.count(), 3);
    later(300);
    users.find("admin").await.unwrap_err();
    app.say("200 OK", ADMIN);
    later(2);
    assert!(users.find("admin").await.unwrap().is_some());
}

#[tokio::test]
async fn refreshes_a_user_at_a_limited_rate() {
    let app = Application::start().await.answering("200 OK", ADMIN);
    let users = users(app.addr);
    assert!(users.find("admin").await.unwrap().is_some());
    app.say("200 OK", &ADMIN.replace("hash-1", "hash-2"));
    assert_eq!(users.refresh("admin").await, Ok(Refresh::Same));
    later(6);
    let Refresh::Now(Some(newer)) = users.refresh("admin").await.unwrap() else { panic!() };
    assert_eq!(newer.password, crate::PasswordHash::new("hash-2".to_owned()));
    assert_eq!(users.refresh("admin").await, Ok(Refresh::Same));
    assert_eq!(app.count(), 2);
}

/// A cached user does not lock out a client after a change of the password.
#[tokio::test]
async fn accepts_a_ticket_of_a_new_password_at_once() {
    use crate::ticket::{AppSecret, Holder, Ticket};

    let app = Application::start().await.answering("200 OK", ADMIN);
    let users = users(app.addr);
    let settings: crate::config::TicketSettings =
        jackfield_yaml::de::read("jackfield.yml", "secret: kernel-secret").unwrap();
    let tickets = settings.open().unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let secret = AppSecret::new("kernel-secret".to_owned().into()).unwrap();
    let ticket = |hash: &str| {
        let password = crate::PasswordHash::new(hash.to_owned()).unwrap();
        let holder = Holder::User { username: "admin", password: &password };
        Ticket::mint(&secret, holder, "0123456789abcdef", now).unwrap()
    };
    let (old, new) = (ticket("hash-1"), ticket("hash-2"));
    assert!(tickets.authenticate(&old, HERE, now, &users).await.is_ok());
    app.say("200 OK", &ADMIN.replace("hash-1", "hash-2"));
    later(6);
    assert!(tickets.authenticate(&new, HERE, now, &users).await.is_ok());
    assert_eq!(app.count(), 2);
    // The old ticket is invalid from now on, and forged tickets cause no requests.
    for _ in 0..5 {
        assert!(tickets.authenticate(&old, HERE, now, &users).await.is_err());
    }
    assert_eq!(app.count(), 2);
}

#[tokio::test]
async fn an_absent_or_silent_application_is_an_error() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = users(free).find("admin").await.unwrap_err().to_string();
    assert!(refused.contains("onnection refused"), "{refused}");

    let mut app = Application::start().await;
    let mut settings = settings(app.addr);
    settings.timeout = jackfield_yaml::Duration::millis(50);
    let users = Users::Http(HttpUsers::new(&settings).unwrap());
    let silent = users.find("admin").await.unwrap_err().to_string();
    assert!(silent.contains("longer than 50ms"), "{silent}");
    app.asked().await;
}

#[tokio::test]
async fn rejects_answers_that_are_no_user() {
    let app = Application::start().await.answering("200 OK", "");
    let check = async |status: &'static str, body: &str, expect: &str| {
        app.say(status, body);
        let error = users(app.addr).find("admin").await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
        assert!(!error.contains("4711"), "{error}");
    };
    check("200 OK", "<html>4711", "not a user in JSON (line 1").await;
    check("200 OK", r#"{"password": "4711"}"#, "missing field `id`").await;
    check("200 OK", r#"{"id": 1, "password": 4711}"#, "not a user in JSON").await;
    check("200 OK", r#"{"id": 1, "roles": "4711"}"#, "not a user in JSON").await;
    check("200 OK", r#"{"id": 1, "enabled": null}"#, "not a user in JSON").await;
    check("200 OK", r#"{"id": ""}"#, "not a user in JSON").await;
    check("200 OK", r#"{"id": 1, "username": "root"}"#, "another user").await;
    check("200 OK", &format!("{{\"id\": 1{}}}", " ".repeat(70_000)), "limit").await;
    check("401 Unauthorized", "", "auth.users.http.token").await;
    check("302 Found", "", "redirects are not followed").await;
    check("500 Internal Server Error", "4711", "it answered 500").await;
    // The user has the application's spelling of the name.
    app.say("200 OK", r#"{"id": 1, "username": "Admin", "enabled": false}"#);
    let user = users(app.addr).find("admin").await.unwrap().unwrap();
    assert_eq!((user.username.as_str(), user.enabled), ("Admin", false));
}

#[tokio::test]
async fn requires_a_trusted_certificate() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls");
    let certificate = CertificateDer::from_pem_file(format!("{folder}/cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(format!("{folder}/key.pem")).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let tls = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let app = Application::serve(Some(TlsAcceptor::from(Arc::new(tls)))).await;
    let app = app.answering("200 OK", ADMIN);
    let mut settings = settings(app.addr);
    settings.url = format!("https://localhost:{}/{{username}}", app.addr.port());
    settings.ca = Some(format!("{folder}/ca.pem").into());
    let users = Users::Http(HttpUsers::new(&settings).unwrap());
    assert_eq!(users.find("admin").await.unwrap().unwrap().id, "7");
    // The same server, with a certificate of an untrusted authority.
    settings.ca = Some(format!("{folder}/cert.pem").into());
    let users = Users::Http(HttpUsers::new(&settings).unwrap());
    let refused = users.find("admin").await.unwrap_err().to_string();
    let expect = "its certificate is signed by an authority that is not trusted here";
    assert!(refused.contains(expect), "{refused}");
    assert_eq!(app.count(), 1);
}

#[tokio::test]
async fn checks_the_url_on_load() {
    let check = |url: &str, expect: &str| {
        let mut settings = settings("127.0.0.1:1".parse().unwrap());
        settings.url = url.to_owned();
        let error = HttpUsers::new(&settings).unwrap_err().to_string();
        assert!(error.contains("`auth.users.http.url`") && error.contains(expect), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    };
    check("http://127.0.0.1/users", "has no {username}");
    check("127.0.0.1/{username}", "is not an address");
    check("ftp://127.0.0.1/{username}", "has to begin with");
    check("http://{username}.example.com/", "in its host");
    check("http://u:hunter2@127.0.0.1/{username}", "password in it");
    check("http://127.0.0.1/ {username}", "is not an address");
    let mut settings = settings("127.0.0.1:1".parse().unwrap());
    settings.token = Some(Secret::Value("a\nb".to_owned().into()));
    let error = HttpUsers::new(&settings).unwrap_err().to_string();
    assert!(error.contains("auth.users.http.token"), "{error}");
    settings.token = None;
    settings.ca = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/key.pem").into());
    let error = HttpUsers::new(&settings).unwrap_err().to_string();
    assert!(error.contains("no certificate in PEM"), "{error}");
}
