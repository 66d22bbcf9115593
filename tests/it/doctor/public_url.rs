//! The checks of a URL: name, certificate, proxy, clock.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

use serde_json::Value;

use super::{Installation, expect, find};
use crate::remote::tls::{behind_tls, certificate_for};
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// A server that answers one request with this text. Returns its URL.
fn answering(answer: String) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            assert_eq!(tcp.read(&mut byte).unwrap(), 1, "the request is complete");
            request.push(byte[0]);
        }
        tcp.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, serving)
}

/// The finding of a check about a server that answers so.
#[track_caller]
fn finding(check: &str, answer: &str) -> Value {
    let (url, serving) = answering(answer.to_owned());
    let finding = Installation::good().finding(check, &["--url", &url]);
    let request = serving.join().unwrap();
    assert!(request.starts_with("GET /ws HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"), "{request}");
    finding
}

#[test]
fn finds_a_proxy_that_does_not_pass_upgrades_on() {
    let page = "This is Jackfield, a WebSocket server that speaks WAMP. It is working.\n";
    for status in ["200 OK", "426 Upgrade Required"] {
        let found = finding("upgrade", &format!("HTTP/1.1 {status}\r\n\r\n{page}"));
        let message = "does not pass the headers Upgrade and Connection on";
        expect(&found, "problem", message, "proxy_http_version 1.1");
    }
}

#[test]
fn explains_other_answers_to_the_handshake() {
    let check = |answer: &str, message: &str, help: &str| {
        expect(&finding("upgrade", answer), "problem", message, help);
    };
    check(
        "HTTP/1.1 301 Moved\r\nLocation: https://shop.example/ws\r\n\r\n",
        "redirects to https://shop.example/ws",
        "give pages the URL",
    );
    check("HTTP/1.1 403 No\r\n\r\nforbidden\n", "status 403: forbidden", "the log of Jackfield");
    check("HTTP/1.1 404 No\r\n\r\nnothing here\n", "status 404: nothing here", "`access.path`");
    check("HTTP/1.1 502 Bad\r\n\r\n<html>", "cannot reach Jackfield (status 502)", "running");
    check("HTTP/1.1 503 Busy\r\n\r\nwait\n", "status 503: wait", "starting, stopping or full");
    check("HTTP/1.1 418 Tea\r\n\r\n\u{1b}[31m", "status 418: \\u{1b}[31m", "another program");
    let upgraded = |upgrade: &str, connection: &str, accept: &str| {
        format!(
            "HTTP/1.1 101 Yes\r\nUpgrade: {upgrade}\r\nConnection: {connection}\r\n\
             Sec-WebSocket-Accept: {accept}\r\n"
        )
    };
    // The answer to the key of the request. RFC 6455, section 1.3.
    let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    let other = upgraded("WebSocket", "keep-alive, Upgrade", accept) + "\r\n";
    check(&other, "another WebSocket server", "correct the path");
    let wamp = "Sec-WebSocket-Protocol: wamp.2.json\r\n\r\n";
    for (answer, wrong) in [
        (upgraded("foo", "Upgrade", accept), "upgrade is foo"),
        (upgraded("websocket", "close", accept), "connection is close"),
        (upgraded("websocket", "Upgrade", "WRONG"), "sec-websocket-accept is WRONG"),
        ("HTTP/1.1 101 Yes\r\n".to_owned(), "upgrade is missing"),
    ] {
        let message = format!("answers 101, and no WebSocket opens: {wrong}");
        check(&format!("{answer}{wamp}"), &message, "another program");
    }
    check("SSH-2.0-x\r\n", "does not speak HTTP", "the log of the proxy");
}

#[test]
fn finds_clocks_that_differ() {
    let accepted = "HTTP/1.1 101 Yes\r\nSec-WebSocket-Protocol: wamp.2.json\r\n";
    let found = finding("clock", &format!("{accepted}Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"));
    expect(&found, "problem", "differ by ", "`timedatectl`");
    let now = std::process::Command::new("date").args(["-Ru"]).env("LC_ALL", "C").output();
    let now = String::from_utf8(now.unwrap().stdout).unwrap().trim().replace("+0000", "GMT");
    let found = finding("clock", &format!("{accepted}Date: {now}\r\n\r\n"));
    expect(&found, "ok", "s of that of the URL", "");
    // The server's own answer to a handshake has no time.
    let site = Site::open();
    let server = Server::start(site.path());
    let installation = Installation::good();
    let url = format!("http://{}/", server.addr);
    let output = installation.doctor(&["--json", "--url", &url]);
    let found = find(&output, "upgrade");
    expect(&found, "ok", "accepts WebSockets of WAMP v2", "");
    expect(&find(&output, "dns"), "ok", "127.0.0.1 is 127.0.0.1", "");
    expect(&find(&output, "certificate"), "warning", "is not encrypted", "use wss://");
    expect(&find(&output, "clock"), "unchecked", "has no time", "`timedatectl`");
}

#[test]
fn finds_names_and_ports_without_a_server() {
    let installation = Installation::good();
    let found = installation.finding("dns", &["--url", "wss://jackfield.invalid/ws"]);
    expect(&found, "problem", "the name jackfield.invalid has no address", "DNS record");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let found = installation.finding("connection", &["--url", &format!("ws://{free}/ws")]);
    expect(&found, "problem", "cannot connect to ws://127.0.0.1:", "firewall");
}

#[tokio::test(flavor = "multi_thread")]
async fn judges_the_certificate() {
    let site = Site::open();
    let server = Server::start(site.path());
    let folder = tempfile::tempdir().unwrap();
    let long = certificate_for(folder.path(), "long", false, 60).await;
    let short = certificate_for(folder.path(), "short", false, 2).await;
    let (_first, long_port) = behind_tls(&server, &long).await;
    let (_second, short_port) = behind_tls(&server, &short).await;
    let installation = Installation::good();
    let ask = |port: u16, host: &str, trusted: &str| {
        let url = format!("wss://{host}:{port}/ws");
        installation.doctor(&["--json", "--url", &url, "--ca", trusted])
    };
    let good = ask(long_port, "localhost", &long[0]);
    expect(&find(&good, "certificate"), "ok", "valid for more than 14 days", "");
    expect(&find(&good, "upgrade"), "ok", "accepts WebSockets", "");
    let ending = ask(short_port, "localhost", &short[0]);
    expect(&find(&ending, "certificate"), "warning", "expires within 14 days", "renew it");
    let strange = ask(long_port, "localhost", &short[0]);
    let message = "signed by an authority that is not trusted here";
    expect(&find(&strange, "certificate"), "problem", message, "--ca FILE");
    let other = ask(long_port, "127.0.0.1", &long[0]);
    expect(&find(&other, "certificate"), "problem", "for other names", "use a host name");
    let plain = ask(server.addr.port(), "localhost", &long[0]);
    expect(&find(&plain, "certificate"), "problem", "does not speak TLS", "use ws://");
}
