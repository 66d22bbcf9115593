//! Servers that do not answer, and answers that are none of Jackfield: each page says that its values are
//! old, goes on asking, and recovers.

use super::proxy::{Proxy, Spoiled};
use super::*;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;

const CUT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"a\":";
const SIGN_IN_PAGE: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 18\r\n\r\n<html>login</html>";
const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
const NULL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 37\r\n\r\n{\"message\":\"64 connections are open\"}\n";

const BADGE: &str = "document.querySelector('.side-foot .row').innerText";

#[tokio::test(flavor = "multi_thread")]
async fn says_that_its_values_are_old_and_recovers() {
    let fixture = served("");
    let proxy = Proxy::before(fixture.address).await;
    let mut console = Console::open(proxy.address).await;
    console.go("sessions").await;
    console.shows("0 sessions").await;
    for (spoiled, banner) in [
        (Spoiled::By(CUT), "The server does not answer. Trying again…"),
        (Spoiled::By(NULL), "The answer is not one of Jackfield"),
        (Spoiled::By(EMPTY), "The answer of the server cannot be read. Trying again…"),
        (Spoiled::By(BUSY), "64 connections are open. Trying again…"),
        (Spoiled::Hangs, "The server does not answer. Trying again…"),
    ] {
        proxy.spoil(spoiled);
        console.shows(banner).await;
        console.until(&format!("{BADGE}.startsWith('no answer')")).await;
        proxy.spoil(Spoiled::No);
        console.until("document.querySelector('.lost').hidden").await;
        console.until(&format!("{BADGE}.startsWith('serving')")).await;
    }
    // A list keeps its rows, with the time of their reading, and is read again.
    proxy.spoil(Spoiled::By(SIGN_IN_PAGE));
    console.shows("These values are of ").await;
    let mut client = Client::connect(fixture.server.addr, Codec::Json, "realm1").await;
    client.round_trip().await;
    proxy.spoil(Spoiled::No);
    console.shows("1 session").await;
    console.until("document.querySelector('.freshness').hidden").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_of_the_page_waits_for_the_server_and_keeps_the_token() {
    let fixture = served("");
    let proxy = Proxy::before(fixture.address).await;
    let mut console = Console::open(proxy.address).await;
    proxy.spoil(Spoiled::By(BUSY));
    console.value("void setTimeout(() => location.reload())").await;
    console.shows("64 connections are open. Trying again…").await;
    proxy.spoil(Spoiled::No);
    console.until("document.querySelectorAll('.stat').length > 0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_plugin_goes_on_after_a_restart_of_the_server() {
    let print = async |server: &Server| {
        let mut client = Client::connect(server.addr, Codec::Json, "realm1").await;
        client.publish_acknowledged("h/print", json!({}), json!(["x"]), Value::Null).await.unwrap();
    };
    let lines = "document.querySelectorAll('.log .text').length";
    let (first, second) = (served(""), served(""));
    let proxy = Proxy::before(first.address).await;
    let mut console = Console::open(proxy.address).await;
    for _ in 0..3 {
        print(&first.server).await;
    }
    console.go("plugins/hostile/log").await;
    console.until(&format!("{lines} >= 3")).await;
    let before = console.value(lines).await.as_u64().unwrap();
    // Fewer lines than before.
    print(&second.server).await;
    proxy.lead_to(second.address);
    console.shows("The server was started again at ").await;
    console.until(&format!("{lines} > {before}")).await;
    console.is_quiet().await;
}
