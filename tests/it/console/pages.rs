//! Each page: what it shows, by mouse and by keys, in all looks. Pictures are in `target/browser`.

use super::*;
use crate::browser::pictures;
use crate::control::admin::READER;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v1;
use jackfield_tests::client::v2::Client;

const LOOKS: [(&str, u32, u32, &str); 3] =
    [("light", 1280, 850, "light"), ("dark", 1280, 850, "dark"), ("phone", 390, 844, "light")];

async fn client(server: &Server) -> Client {
    Client::connect(server.addr, Codec::Json, "realm1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn signs_in_with_a_token_for_this_tab_alone() {
    let fixture = served("");
    let mut console = Console::at_the_door(fixture.address).await;
    console.fill("#token", "0123456789abcdef0123456789abcdee").await;
    console.press("Enter").await;
    console.shows("The server does not know this token.").await;
    console.sign_in(CONSOLE).await;
    console.shows("console").await;
    assert_eq!(console.value("document.cookie + localStorage.length").await, "0");
    let page = console.value("document.documentElement.outerHTML + location").await;
    assert!(!page.as_str().unwrap().contains(CONSOLE));
    // Another tab of the same browser is not signed in; a reload of this one is.
    let url = format!("http://{}/#/plugins", console.address);
    let open = json!({ "do": "open", "page": "other", "url": url, "beside": PAGE });
    console.browser.tell(open).await;
    console.browser.until("other", "document.getElementById('token')").await;
    console.value("void setTimeout(() => location.reload())").await;
    console.until("document.querySelectorAll('.stat').length > 0").await;
    console.click("text=Sign out").await;
    console.until("document.getElementById('token')").await;
    assert_eq!(console.value("sessionStorage.length").await, 0);
}

/// A client names a topic after markup that would run a script.
#[tokio::test(flavor = "multi_thread")]
async fn texts_of_clients_become_no_markup() {
    const MARKUP: &str = "<img/src=x/onerror=alert(1)>";
    let fixture = served("unrouted: broadcast\n");
    let mut page = v1::Client::connect(fixture.server.addr).await;
    page.subscribe(MARKUP);
    page.round_trip().await;
    let mut console = Console::open(fixture.address).await;
    console.go("topics").await;
    console.shows(MARKUP).await;
    console.click("main tbody a").await;
    console.shows(MARKUP).await;
    let images = console.value("document.querySelectorAll('main img').length").await;
    assert_eq!(images, 0);
    console.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_reading_sees_everything_and_changes_nothing() {
    let fixture = served("");
    let mut client = client(&fixture.server).await;
    client.subscribe("open/a", json!({})).await;
    let mut console = Console::at_the_door(fixture.address).await;
    console.sign_in(READER).await;
    console.shows("read only").await;
    let session = format!("sessions/{}", client.session());
    let reason = "The token “reader” is for reading alone.";
    for (page, button) in [
        ("reloads", "Reload the site"),
        ("trace?topic=open/a", "Start"),
        ("publish?topic=open/a", "Publish"),
        ("plugins/hostile", "Disable"),
        (session.as_str(), "End the session"),
    ] {
        console.go(page).await;
        // It can be reached, and tells the reason.
        let found = format!(
            "[...document.querySelectorAll('main button')].find((it) => it.innerText.includes('{button}'))"
        );
        console.until(&format!("{found}?.hidden === false")).await;
        console.value(&format!("{found}.click()")).await;
        console.tells(reason).await;
        let told = console.value(&format!("[{found}.title, {found}.ariaDisabled]")).await;
        assert_eq!(told, json!([reason, "true"]), "{page}");
        console
            .value("document.querySelectorAll('.toast button').forEach((it) => it.click())")
            .await;
    }
    console.go("plugins/hostile/log").await;
    console.shows("the lines that the log of the server has").await;
    client.round_trip().await;
    assert!(!fixture.server.log().contains("jackfield::audit"));
    console.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_shows_its_part_in_every_look() {
    let fixture = served("realms: [realm1, shop]\n");
    let server = &fixture.server;
    let mut client = client(server).await;
    client.subscribe("open/kitchen", json!({})).await;
    client.subscribe("open/", json!({ "match": "prefix" })).await;
    for topic in ["h/print", "h/trap", "open/kitchen"] {
        let args = json!(["<img src=x onerror=alert(1)>"]);
        let _refused = client.publish_acknowledged(topic, json!({}), args, Value::Null).await;
    }
    let mut leaving = self::client(server).await;
    leaving.goodbye().await;
    drop(leaving);
    let session = client.session();
    let mut console = Console::open(fixture.address).await;
    // A shadow that is loaded, and a change with a problem.
    let shadow = crate::rollout::relabelled(&build::plugin("broadcast"), 1);
    fixture.site.write("open/jackfield_broadcast.shadow.wasm", shadow);
    console.go("plugins").await;
    console.shows("shadow").await;
    fixture.site.write("wrong/websocket_routing.yml", "a: 1\n");
    server.logged("reload failed");
    let pages: &[(&str, &[&str])] = &[
        ("overview", &["Sessions", "Messages in", "The site has 1 problem", "Memory of plugins"]),
        (
            "routes?topic=open/kitchen",
            &["is taken by the route test.open", "name = kitchen", "h.trap"],
        ),
        ("topics", &["open/kitchen", "prefix"]),
        ("topics/open%2Fkitchen", &["test.open", "1 subscriber"]),
        ("sessions", &["1 session", "WAMP v2, json"]),
        (&format!("sessions/{session}"), &["Signed in by", "open/kitchen", "test.open"]),
        ("plugins", &["hostile", "jackfield-broadcast", "shadow"]),
        ("plugins/hostile", &["trap · on-publish", "1 call · mean", "p50 ≤", "64 MiB each"]),
        (
            "plugins/jackfield-broadcast/versions",
            &["No call was compared yet.", "in service", "Promote", "FILE --share 10%"],
        ),
        ("plugins/hostile/faults", &["trap · on-publish", "this is what I do", "h/trap"]),
        ("plugins/hostile/log", &["info"]),
        (
            "reloads",
            &["Generation 1", "Reload failed", "websocket_routing.yml:1:4", "5 routes added"],
        ),
        ("trace", &["No trace is running"]),
        ("ended", &["said goodbye"]),
        ("publish", &["Keyword arguments"]),
        ("plugins/no-such", &["The site has no plugin with this name."]),
        ("no-such", &["The console has no page with this address."]),
    ];
    for (page, texts) in pages {
        console.go(page).await;
        for text in *texts {
            console.shows(text).await;
        }
        let name = page.split('?').next().unwrap().replace(&session.to_string(), "one");
        let name = name.replace("%2F", "-").replace('/', "-");
        for (look, width, height, scheme) in LOOKS {
            console.look(width, height, scheme).await;
            let wide = "document.documentElement.scrollWidth > innerWidth";
            assert_eq!(console.value(wide).await, false, "{page} is too wide: {look}");
            console.picture(&pictures().join(format!("console-{name}-{look}.png"))).await;
        }
    }
    // The newest generation serves, and no other reload says so.
    console.go("reloads").await;
    let marks = "[...document.querySelectorAll('.timeline .pill')].map((it) => it.innerText)";
    console.until(&format!("{marks}.filter((it) => it === 'in service').length === 1")).await;
    console.go("plugins/hostile/faults").await;
    console.until("document.querySelector('.backtrace')?.innerText.length > 10").await;
    // Texts of plugins and clients are shown, and not read as markup.
    assert_eq!(console.value("document.querySelectorAll('main img').length").await, 0);
    console.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn is_used_by_keys_alone() {
    let fixture = served("");
    let mut client = client(&fixture.server).await;
    client.subscribe("open/a", json!({})).await;
    let mut console = Console::open(fixture.address).await;
    for (key, page) in [("r", "routes"), ("t", "topics"), ("p", "plugins"), ("s", "sessions")] {
        console.press("g").await;
        console.press(key).await;
        console.until(&format!("document.querySelector('[data-page={page}]')")).await;
    }
    console.shows("1 session").await;
    console.press("/").await;
    assert_eq!(console.value("document.activeElement.type").await, "search");
    console.fill("[data-search]", "no such user").await;
    console.shows("No session matches").await;
    console.fill("[data-search]", &client.session().to_string()).await;
    console.shows("1 session").await;
    // From the search to the first row, and into it.
    console.press("Tab").await;
    console.until("document.activeElement.matches('td a')").await;
    console.press("Enter").await;
    console.shows("Signed in by").await;
    console.press("?").await;
    console.until("document.querySelector('dialog[open]')").await;
    console.press("Escape").await;
    console.until("!document.querySelector('dialog')").await;
    assert_eq!(console.value("document.documentElement.dataset.theme ?? 'none'").await, "none");
    for theme in ["light", "dark"] {
        console.click("text=Theme").await;
        assert_eq!(console.value("document.documentElement.dataset.theme").await, theme);
    }
    console.is_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_that_the_server_is_gone() {
    let mut fixture = served("");
    let mut console = Console::open(fixture.address).await;
    fixture.server.signal("TERM");
    console.shows("The server does not answer. Trying again…").await;
    let state = "document.querySelector('.side-foot .row').innerText";
    assert!(console.value(state).await.as_str().unwrap().starts_with("no answer"));
    console.until("document.querySelector('.stale')").await;
    assert_eq!(fixture.server.exit_code(), Some(0));
}
