//! Pages in Chromium whose node fails: they go on at another one, and are told what they have missed.

use std::net::SocketAddr;

use serde_json::Value;

use super::member::Member;
use super::{Nats, join, publish, until_peers};
use crate::browser::Browser;
use crate::browser::network::Network;
use jackfield_tests::build;

const TOPIC: &str = "long/a";

/// One has the URLs of both nodes, the other one that of a load balancer.
const PAGES: [&str; 2] = ["both", "balanced"];

/// Subscribes a page. What it hears and its gaps are one list.
async fn follow(browser: &mut Browser, page: &str, server: SocketAddr, options: &str) {
    browser.v2(page, server, options).await;
    let code = format!(
        "sync.addEventListener('gap', () => heard.push('gap'));
         await sync.subscribe('{TOPIC}', (value) => heard.push(value)).ready;"
    );
    browser.run(page, &code).await;
}

/// Waits until a page has the last event, and returns all that it has heard.
async fn heard(browser: &mut Browser, page: &str, last: u64) -> Vec<Value> {
    browser.until(page, &format!("heard.includes({last})")).await;
    browser.run(page, "return heard;").await.as_array().unwrap().clone()
}

/// Waits until a page has connected so many times.
async fn connected(browser: &mut Browser, page: &str, times: usize) {
    let code = format!(
        "sync.state === 'connected' && told.filter(([name]) => name === 'connected').length === {times}"
    );
    browser.until(page, &code).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_on_at_another_node() {
    let nats = Nats::start();
    let urls = [nats.url()];
    let start = |name| Member::start(build::jackfield().to_owned(), name, &urls);
    let mut nodes = ["web-1", "web-2"].map(start);
    let [one, other] = nodes.each_ref().map(|it| it.server().addr);
    let balancer = Network::to(one).await;
    let mut browser = Browser::start().await;
    let both = format!(
        "url: () => `http://${{['{one}', '{other}'][(globalThis.attempts = (globalThis.attempts ?? -1) + 1) % 2]}}/`"
    );
    follow(&mut browser, "both", one, &both).await;
    follow(&mut browser, "balanced", balancer.addr, "").await;
    // There and back: each time, the back end is at the node that stays.
    for (time, [failing, staying]) in [[0, 1], [1, 0]].into_iter().enumerate() {
        until_peers(nodes[staying].server(), 1).await;
        let first = 100 * time as u64;
        let mut back_end = join(nodes[staying].server()).await;
        publish(&mut back_end, TOPIC, first..first + 10).await;
        for page in PAGES {
            heard(&mut browser, page, first + 9).await;
        }
        nodes[failing].end("KILL");
        // These are published while the pages are away, or a page has come back already.
        publish(&mut back_end, TOPIC, first + 10..first + 20).await;
        balancer.redirect(nodes[staying].server().addr);
        for page in PAGES {
            connected(&mut browser, page, time + 2).await;
        }
        publish(&mut back_end, TOPIC, first + 20..first + 30).await;
        for page in PAGES {
            let heard = heard(&mut browser, page, first + 29).await;
            check(&heard, first);
        }
        nodes[failing].restart();
    }
}

/// Checks what a page has heard of the numbers from `first`: before the failure, and after it.
fn check(heard: &[Value], first: u64) {
    let numbers: Vec<u64> = heard.iter().filter_map(Value::as_u64).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "{heard:?}");
    let since: Vec<u64> = numbers.into_iter().filter(|it| *it >= first).collect();
    assert!(since.starts_with(&(first..first + 10).collect::<Vec<_>>()), "{heard:?}");
    assert!(since.ends_with(&(first + 20..first + 30).collect::<Vec<_>>()), "{heard:?}");
    // A page that comes back in time is recovered. Otherwise, the gap is told before the events behind it.
    let mut next = first;
    for it in heard.iter().skip_while(|it| **it != first) {
        match it.as_u64() {
            Some(number) => {
                assert!(next == first || number == next, "a hole without a gap: {heard:?}");
                next = number + 1;
            }
            None => next = first,
        }
    }
}
