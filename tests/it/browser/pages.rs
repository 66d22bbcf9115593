//! Pages in normal operation: subscribe, publish, call, refusals, change notices, maintenance mode,
//! hidden tabs.

use serde_json::{Value, json};

use super::{Browser, script, stock};
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::within;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_both_versions_exchange_events() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut browser = Browser::start().await;
    browser.v2("new", server.addr, "").await;
    browser.v1("old", server.addr).await;
    let subscribe = "await sync.subscribe('open/a', (value) => heard.push(value)).ready;";
    browser.run("new", subscribe).await;
    // Version 1 confirms nothing, but is handled in order: receiving the own event is proof.
    browser.run("old", "oro.subscribe('open/a', (value) => heard.push(value)); oro.session.publish('open/a', 'old');").await;
    for page in ["old", "new"] {
        browser.until(page, "heard.length === 1").await;
    }
    let published = browser
        .run("new", "return await sync.publish('open/a', { text: 'ünï😀', list: [1, 0.5, null] });")
        .await;
    assert!(published.is_u64(), "{published}");
    browser.run("new", "await sync.publish('open/a', 'to all', { excludeMe: false });").await;
    browser.until("old", "heard.length === 3").await;
    browser.until("new", "heard.length === 2").await;
    let event = json!({"text": "ünï😀", "list": [1, 0.5, null]});
    assert_eq!(browser.run("old", "return heard;").await, json!(["old", event, "to all"]));
    assert_eq!(browser.run("new", "return heard;").await, json!(["old", "to all"]));

    // After unsubscribing, the client receives no more events; earlier publications are delivered
    // first.
    browser.run("new", "sync.unsubscribe('open/a'); await sync.publish('open/a', 'gone', { excludeMe: false });").await;
    browser.until("old", "heard.length === 4").await;
    assert_eq!(browser.run("new", "return heard.length;").await, 2);
    for page in ["new", "old"] {
        browser.quiet(page).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_classic_script_equals_the_module() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut browser = Browser::start().await;
    browser.page("page").await;
    let code = format!(
        "const add = (path) => new Promise((resolve, reject) => {{
             const script = document.createElement('script');
             Object.assign(script, {{ src: 'http://{0}' + path, onload: resolve, onerror: reject }});
             document.head.append(script);
         }});
         for (const path of ['/sync.classic.js', '/sync/content.classic.js',
             '/sync/maintenance.classic.js', '/sync/model.classic.js']) await add(path);
         const sync = new Jackfield.Sync({{ url: 'ws://{0}/' }});
         const model = {{ url: 'open/model', a: 1 }};
         Jackfield.keepRelevant(sync, model);
         await new Promise((resolve) => sync.addEventListener('connected', resolve));
         await sync.publish('open/model', {{ b: 2 }}, {{ excludeMe: false }});
         await sync.publish('open/model', {{ a: 3 }}, {{ excludeMe: false }});
         return [model, Object.keys(Jackfield).length];",
        server.addr
    );
    let expected = json!([{"url": "open/model", "a": 3, "b": 2}, 7]);
    assert_eq!(browser.run("page", &code).await, expected);
    browser.quiet("page").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_affects_its_topic_only() {
    let site = stock(&["sync"]);
    let server = Server::start(site.path());
    let mut browser = Browser::start().await;
    browser.v2("new", server.addr, "").await;
    browser.v1("old", server.addr).await;
    for (topic, uri) in [
        ("nowhere", "jackfield.error.no_route"),
        ("oro/email_event/7/1", "wamp.error.not_authorized"),
    ] {
        let code = format!(
            "try {{ await sync.subscribe('{topic}', () => {{}}).ready; }} catch ({{ uri, message }}) \
             {{ return [uri, message.length > 10, told.at(-1)[0], told.at(-1)[1].topic]; }}"
        );
        assert_eq!(browser.run("new", &code).await, json!([uri, true, "refused", topic]));
        browser.run("old", &format!("oro.subscribe('{topic}', () => heard.push('never'));")).await;
    }
    let code = "return await sync.publish('nowhere', 1).catch(({ uri }) => uri);";
    assert_eq!(browser.run("new", code).await, "jackfield.error.no_route");
    let code = "return await sync.call('nowhere').catch(({ uri }) => uri);";
    assert_eq!(browser.run("new", code).await, "wamp.error.no_such_procedure");
    let code = "return await oro.session.call('nowhere').catch(({ uri }) => uri);";
    assert_eq!(browser.run("old", code).await, "wamp.error.no_such_procedure");

    // Both continue without any trace of it.
    browser.run("new", "await sync.subscribe('open/a', (value) => heard.push(value)).ready;").await;
    browser.run("old", "oro.subscribe('open/a', (value) => heard.push(value)); oro.session.publish('open/a', 'here');").await;
    for page in ["new", "old"] {
        browser.until(page, "heard.length === 1").await;
        browser.quiet(page).await;
    }
    assert_eq!(browser.run("old", "return oro.states;").await, json!(["open"]));
    assert_eq!(
        browser.run("new", "return told.map(([name]) => name);").await,
        json!(["connected", "refused", "refused"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_and_hides_maintenance() {
    let site = stock(&["sync"]);
    let server = Server::start(site.path());
    let mut browser = Browser::start().await;
    browser.v1("old", server.addr).await;
    browser.run("old", "oro.subscribe('oro/maintenance', (value) => heard.push(value)); oro.session.publish('oro/maintenance', { isOn: false, userId: null });").await;
    browser.until("old", "heard.length === 1").await;
    for (page, user) in [("mine", "7"), ("other", "8")] {
        browser.v2(page, server.addr, "").await;
        let code = format!(
            "const {{ maintenanceNotice }} = await import('http://{}/sync/maintenance.js');
             maintenanceNotice(sync, {{ user: {user} }});
             await sync.subscribe('oro/maintenance', (value) => heard.push(value)).ready;",
            server.addr
        );
        browser.run(page, &code).await;
    }
    let mut backend = Client::connect(server.addr, Codec::Json, "realm1").await;
    let mut say = async |is_on: bool| {
        let event = json!([{"isOn": is_on, "userId": 7}]);
        backend
            .publish_acknowledged("oro/maintenance", json!({}), event, Value::Null)
            .await
            .unwrap();
    };
    let shown = "document.querySelector('dialog.jackfield-maintenance[open]') !== null";
    say(true).await;
    browser.until("other", shown).await;
    browser.until("mine", "heard.length === 1").await;
    assert_eq!(browser.run("mine", &format!("return {shown};")).await, false);
    // The dialog cannot be closed: neither by Escape, pressed twice, nor by a click.
    let escape = "for (let time = 0; time < 2; time++) {
        document.querySelector('dialog').requestClose?.();
        await new Promise((resolve) => setTimeout(resolve));
    }";
    browser.run("other", escape).await;
    browser.until("other", shown).await;
    say(false).await;
    browser.until("other", &format!("!({shown})")).await;
    browser.until("old", "heard.length === 3 && heard[1].isOn && !heard[2].isOn").await;
    for page in ["mine", "other", "old"] {
        browser.quiet(page).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connects_under_a_content_security_policy() {
    let site = Site::open();
    let server = Server::start(site.path());
    let addr = server.addr;
    let mut browser = Browser::start().await;
    for (number, connect, expect) in [
        (0, format!("ws://{addr}"), "connected"),
        // The guide warns of this case.
        (1, format!("http://{addr}"), "disconnected"),
    ] {
        let path = format!("/policy-{number}.html");
        let policy = format!("default-src 'none'; script-src http://{addr}; connect-src {connect}");
        let text = format!(
            "<!doctype html><meta http-equiv='Content-Security-Policy' content=\"{policy}\"><title>A strict page</title>"
        );
        browser.tell(json!({"do": "serve", "path": path, "text": text})).await;
        let url = format!("{}{path}", browser.home);
        let page = format!("page {number}");
        browser.tell(json!({"do": "open", "page": page, "url": url})).await;
        let code = format!(
            "const {{ Sync }} = await import('http://{addr}/sync.js');
             const sync = new Sync({{ url: 'http://{addr}/' }});
             return await new Promise((resolve) => {{
                 for (const name of ['connected', 'disconnected']) sync.addEventListener(name, () => resolve(name));
             }});"
        );
        assert_eq!(browser.run(&page, &code).await, expect, "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn works_in_node() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut command = script("node.mjs");
    command.arg(server.addr.to_string()).kill_on_drop(true);
    let output = within("Node", command.output()).await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*errors), (Some(0), ""));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["told"][0], "disconnected");
    assert!(said["attempts"].as_u64() >= Some(2), "{said}");
    assert_eq!(said["heard"], json!(["here"]));
}

/// A real hidden tab: its connection closes, and opens again.
#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_tab_disconnects_and_reconnects() {
    let site = Site::open();
    let server = Server::start(site.path());
    let mut command = script("hidden.mjs");
    command.arg(server.addr.to_string()).kill_on_drop(true);
    let output = within("the tab", command.output()).await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"));
    assert_eq!(seen["sessions"], 0);
    assert_eq!(
        seen["states"],
        json!(["connected visible", "disconnected hidden", "connected visible"])
    );
    assert_eq!(seen["heard"], json!(["back"]));
}
