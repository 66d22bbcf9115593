//! Limits of new connections, over real sockets: those of an address, also behind a proxy, and those of
//! a second. `tests/it/access/limits.rs` has those of a user.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use jackfield_tests::client::http::{Answer, Http};
use jackfield_tests::client::v1;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const PROXIED: &str = "access: { proxies: [127.0.0.1] }\nmetrics: { enabled: true }\n";

/// Asks for a WebSocket of WAMP v1 behind the proxy at 127.0.0.1, for a client at this address.
pub(crate) async fn proxied(server: &Server, client: &str) -> (Http, Answer) {
    let mut http = Http::connect(server.addr).await;
    http.send(format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: wamp\r\nX-Forwarded-For: {client}\r\n\r\n"
    ))
    .await;
    let answer = http.answer().await;
    (http, answer)
}

/// Connects a page of WAMP v1 from a loopback address, without a proxy. Returns the status of a refusal.
async fn direct(server: &Server, last: u8) -> Result<v1::Client, Option<u16>> {
    let mut options = v1::Options::default();
    options.handshake.source = Some(IpAddr::from(Ipv4Addr::new(127, 0, 0, last)));
    let client = v1::Client::connect_with(server.addr, options).await;
    client.map_err(|it| it.refused.status)
}

/// Returns the number of connections with an outcome.
async fn outcomes(server: &Server, outcome: &str) -> u64 {
    let mut http = Http::connect(server.addr).await;
    http.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let page = http.answer().await;
    assert_eq!(page.status, 200, "{page:?}");
    let name = format!("jackfield_connections_total{{outcome=\"{outcome}\"}} ");
    let count = page.body.lines().find_map(|line| line.strip_prefix(&name));
    count.unwrap_or_else(|| panic!("{name}")).parse().unwrap()
}

/// Checks a refusal that asks the client to come back at a random second.
#[track_caller]
fn asks_to_return(answer: &Answer, status: u16) -> u32 {
    assert_eq!(answer.status, status, "{answer:?}");
    let seconds = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=5).contains(&seconds), "{answer:?}");
    seconds
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_at_its_limit_leaves_room_for_others() {
    let site = Site::open();
    let config = format!("{PROXIED}limits: {{ address_connections: 2 }}\n");
    let server = Server::configured(site.path(), &config);
    // An IPv4 address, and an IPv6 network of 64 bits.
    for (own, other) in [
        (["192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1"], "192.0.2.2"),
        (["2001:db8::1", "2001:db8::2:0:0:1", "2001:db8::3"], "2001:db8:0:1::1"),
    ] {
        let (first, answer) = proxied(&server, own[0]).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        let (_second, answer) = proxied(&server, own[1]).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        let (_, answer) = proxied(&server, own[2]).await;
        asks_to_return(&answer, 429);
        assert!(answer.body.contains("too many connections from this address"), "{answer:?}");
        let (_other, answer) = proxied(&server, other).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        drop(first);
        let free = async { while proxied(&server, own[2]).await.1.status != 101 {} };
        within("the place of the connection that ended", free).await;
    }
    server.logged("maximum connections of one address reached (limits.address_connections = 2)");
    assert!(outcomes(&server, "address_limit").await >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_request_count_for_their_address() {
    let site = Site::open();
    let config = "limits: { address_connections: 2 }\n";
    let server = Server::configured(site.path(), config);
    let mut own = direct(&server, 2).await.unwrap();
    own.session().await;
    let mut silent = Vec::new();
    for _ in 0..2 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.3:0".parse().unwrap()).unwrap();
        silent.push(socket.connect(server.addr).await.unwrap());
    }
    let refused = async { while direct(&server, 3).await.is_ok() {} };
    within("the refusal of a third connection", refused).await;
    assert_eq!(direct(&server, 3).await.map(drop).unwrap_err(), Some(429));
    // Another address, and plain HTTP at the limit.
    direct(&server, 2).await.unwrap().session().await;
    own.round_trip().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_above_its_rate_leaves_the_rate_to_others() {
    let site = Site::open();
    let rate = "address_connection_rate: { per_second: 1, burst: 3 }";
    let server = Server::configured(site.path(), &format!("{PROXIED}limits: {{ {rate} }}\n"));
    for _ in 0..3 {
        let (_, answer) = proxied(&server, "192.0.2.1").await;
        assert_eq!(answer.status, 101, "{answer:?}");
    }
    // A slow machine may get further tokens meanwhile.
    let refusal = async {
        loop {
            let (_, answer) = proxied(&server, "192.0.2.1").await;
            if answer.status != 101 {
                return answer;
            }
        }
    };
    let answer = within("a refusal", refusal).await;
    asks_to_return(&answer, 503);
    assert!(answer.body.contains("too many new connections"), "{answer:?}");
    assert_eq!(proxied(&server, "192.0.2.2").await.1.status, 101);
    server.logged("too many new WebSockets of one address (limits.address_connection_rate");
    assert!(outcomes(&server, "address_rate").await >= 1);
    let later = async { while proxied(&server, "192.0.2.1").await.1.status != 101 {} };
    within("a token of the address", later).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_connections_above_the_rate_are_asked_to_return_at_random_seconds() {
    let site = Site::open();
    let rate = "connection_rate: { per_second: 1, burst: 4 }";
    let server = Server::configured(site.path(), &format!("{PROXIED}limits: {{ {rate} }}\n"));
    let mut old = v1::Client::connect(server.addr).await;
    let mut seconds = std::collections::BTreeSet::new();
    let mut refused = 0;
    for last in 0..60_u8 {
        let (_, answer) = proxied(&server, &format!("192.0.2.{last}")).await;
        if answer.status != 101 {
            seconds.insert(asks_to_return(&answer, 503));
            refused += 1;
        }
    }
    assert!(refused > 30, "{refused} of 60");
    assert!(seconds.len() > 1, "{seconds:?}");
    // New work is refused, and old work goes on; so do pages and health checks.
    old.round_trip().await;
    assert!(outcomes(&server, "rate").await >= refused);
    server.logged("too many new WebSockets (limits.connection_rate.per_second = 1)");
}

/// Raises the soft limit of open files of this process, where it is that of programs that use `select`.
pub(crate) fn raise_open_files() {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft: u64 = files.split_whitespace().nth(3).unwrap().parse().unwrap();
    if soft < 8_192 {
        let process = std::process::id().to_string();
        let raised = Command::new("prlimit").args(["--pid", &process, "--nofile=8192:"]).status();
        assert!(raised.unwrap().success(), "prlimit --nofile=8192: of util-linux");
    }
}

/// The defaults admit an office of 2 000 people behind one address at one moment.
#[tokio::test(flavor = "multi_thread")]
async fn the_defaults_admit_an_office_behind_one_address() {
    let site = Site::open();
    let server = Server::configured(site.path(), PROXIED);
    raise_open_files();
    let mut office = Vec::new();
    for _ in 0..2_000 {
        let (http, answer) = proxied(&server, "192.0.2.1").await;
        assert_eq!(answer.status, 101, "{} are open: {answer:?}", office.len());
        office.push(http);
    }
    server.until_health("sessions", 2_000);
}

/// Handshakes that do not end hold no more than their time, and are counted apart from malformed ones.
#[tokio::test(flavor = "multi_thread")]
async fn slow_handshakes_are_closed_and_counted() {
    const SLOW: u64 = 5;
    let site = Site::open();
    let config = "handshake_timeout: 500ms\nmetrics: { enabled: true }\n";
    let server = Server::configured(site.path(), config);
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let mut http = Http::connect(server.addr).await;
        http.send("GET / HTTP/1.1\r\nHost: loc").await;
        slow.push(http);
    }
    let mut quick = v1::Client::connect(server.addr).await;
    for mut http in slow {
        http.ended().await;
    }
    assert_eq!(outcomes(&server, "timeout").await, SLOW);
    assert_eq!(outcomes(&server, "handshake").await, 0);
    quick.round_trip().await;
}
