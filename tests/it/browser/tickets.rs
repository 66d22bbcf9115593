//! Pages that connect with a ticket: each attempt needs a new one, a refused ticket costs one
//! attempt, and the user's identity decides about subscriptions.

use std::process::Command;

use serde_json::json;

use super::{Browser, stock};
use jackfield_tests::build;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// Returns a site that requires a ticket and accepts each once.
fn guarded() -> Site {
    let site = stock(&["sync"]);
    site.write("jackfield.yml", format!(
        "auth:\n  tickets: {{ secret: 'an application has one', once: true }}\n  users: {{ file: '{}' }}\n",
        site.file("users.yml").display()
    ));
    site.write("users.yml", "users: { admin: { id: 7, organization: 1, password: 'a hash' } }\n");
    site
}

/// Returns tickets as the application would make them for its user, as a list in JavaScript.
fn tickets(site: &Site, count: usize) -> Vec<String> {
    let ticket = || {
        let mut command = Command::new(build::jackfield());
        let output = command.arg("ticket").arg(site.path()).args(["--user", "admin"]).output();
        let output = output.expect("jackfield runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    (0..count).map(|_| ticket()).collect()
}

/// Returns an option that supplies these tickets, and fails when there are no more.
fn handing_out(tickets: &[String]) -> String {
    format!(
        "ticket: ((left) => async () => {{
             if (left.length === 0) throw new Error('no ticket');
             return left.shift();
         }})({})",
        json!(tickets)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_sends_a_fresh_ticket() {
    let site = guarded();
    let server = Server::start(site.path());
    let addr = server.addr;
    let mut browser = Browser::start().await;
    // Several attempts may fail while the server is down.
    let (new, old) = (tickets(&site, 12), tickets(&site, 40));
    browser.v2("new", addr, &handing_out(&new)).await;
    browser.page("old").await;
    let code =
        format!("globalThis.oro = new OroSync('ws://{addr}/', {{ {} }});", handing_out(&old));
    browser.run("old", &code).await;
    browser.until("old", "oro.session").await;

    // The ticket identifies user 7.
    let mine = "oro/email_event/7/1";
    let code = format!("await sync.subscribe('{mine}', (value) => heard.push(value)).ready;");
    browser.run("new", &code).await;
    let code = "return await sync.subscribe('oro/email_event/8/1', () => {}).ready.catch(({ uri }) => uri);";
    assert_eq!(browser.run("new", code).await, "wamp.error.not_authorized");
    // Users may read, and only the application's backend may publish.
    let code = format!("return await sync.publish('{mine}', 1).catch(({{ uri }}) => uri);");
    assert_eq!(browser.run("new", &code).await, "wamp.error.not_authorized");

    drop(server);
    browser.until("new", "sync.state === 'waiting'").await;
    browser.until("old", "oro.session === null").await;
    let server = Server::on(site.path(), addr);
    browser.until("new", "told.filter(([name]) => name === 'connected').length === 2").await;
    browser.until("old", "oro.session").await;
    server.until_health("sessions", 2);
    let topics =
        "return told.filter(([name]) => name === 'refused').map(([, { topic }]) => topic);";
    // The foreign topic was requested again, and refused again; the own one was not.
    let foreign = "oro/email_event/8/1";
    assert_eq!(browser.run("new", topics).await, json!([foreign, foreign]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_ticket_costs_one_attempt() {
    let site = guarded();
    let server = Server::start(site.path());
    let addr = server.addr;
    let mut browser = Browser::start().await;
    let good = tickets(&site, 3);
    browser.v2("first", addr, &handing_out(&good[..1])).await;
    // A used ticket, an invented one, and a good one.
    let sequence = |good: &String, used: &String| {
        handing_out(&[used.clone(), "made up".to_owned(), good.clone()])
    };
    let options = format!(
        "{}, retry: {{ first: 10, most: 50 }},
         onRefused: ({{ uri }}) => (globalThis.refusals ??= []).push(uri)",
        sequence(&good[1], &good[0])
    );
    browser.v2("new", addr, &options).await;
    let told = "return told.map(([name]) => name);";
    let expected = json!(["disconnected", "retrying", "retrying", "connected"]);
    assert_eq!(browser.run("new", told).await, expected);
    // The page gets the reason of the refusal, which differs from an outage.
    let denied = "wamp.error.authentication_denied";
    assert_eq!(browser.run("new", "return refusals;").await, json!([denied, denied]));
    let refused = "return told.slice(1, 3).map(([, detail]) => detail.refused);";
    assert_eq!(browser.run("new", refused).await, json!([true, true]));

    browser.page("old").await;
    let options = sequence(&good[2], &good[0]);
    let code = format!("globalThis.oro = new OroSync('ws://{addr}/', {{ {options} }});");
    browser.run("old", &code).await;
    browser.until("old", "oro.session").await;
    // AutobahnJS reports it as unreachable, twice; then it reconnects.
    assert_eq!(browser.run("old", "return oro.states;").await, json!([3, 3, "open"]));
    server.until_health("sessions", 3);
}
