//! Examples of `docs/publishing.md`: each is run as printed, against the real server, and a
//! subscriber receives its events.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::v2::Client;
use jackfield_tests::client::{v1, within};
use jackfield_tests::packages::installed;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const PAGE: &str = include_str!("../../docs/publishing.md");
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const TOPICS: [&str; 3] = ["oro/maintenance", "oro/data/update", "oro/outdated_user_page"];

/// Returns the code blocks of one language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let rest = PAGE.split(fence.as_str()).skip(1);
    rest.map(|rest| rest.split("```\n").next().expect("a fence at the end")).collect()
}

/// Starts a server with the page's own configuration and the topics of OroPlatform, and a page that
/// listens to them.
async fn served() -> (Site, Server, v1::Client) {
    let site = Site::new();
    for name in ["sync", "chat"] {
        let routes = build::root().join("plugins").join(name).join("websocket_routing.yml");
        let routes = std::fs::read_to_string(routes).unwrap();
        site.bundle(name, &routes, &[build::plugin(name)]);
    }
    let orders = "orders: { channel: 'acme/orders/{id}', handler: { callback: 'broadcast' }, history: {} }\n";
    site.bundle("orders", orders, &[build::plugin("broadcast")]);
    let [config] = blocks("yaml")[..] else { panic!("one configuration") };
    let server =
        Server::configured(site.path(), &config.replace("{ env: JACKFIELD_TOKEN }", TOKEN));
    let mut page = v1::Client::connect(server.addr).await;
    for topic in TOPICS {
        page.subscribe(topic);
    }
    page.round_trip().await;
    (site, server, page)
}

/// Runs a program on an example, which has to succeed, and returns its output.
async fn run(server: &Server, program: &str, arguments: &[&str], example: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let address = server.addr.to_string();
    let file = folder.path().join(if program == "node" { "example.mjs" } else { "example" });
    std::fs::write(&file, example.replace("127.0.0.1:8080", &address)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let commands = build::jackfield().parent().unwrap().display();
    let output = Command::new(program)
        .args(arguments)
        .arg(&file)
        .env("JACKFIELD_TOKEN", TOKEN)
        .env("JACKFIELD_URL", format!("ws://{address}/"))
        .env("PATH", format!("{commands}:{path}"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = within(format!("{program} to end"), output).await.expect("it is installed");
    let (out, err) = (String::from_utf8(output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} ended with {:?}\n{out:?}\n{err}", output.status);
    out.unwrap()
}

/// Runs a language's blocks as one program: a publication, then tags.
async fn run_language(language: &str, package: &str, program: &str) {
    installed(program, package);
    let (_site, server, mut page) = served().await;
    let examples = blocks(language);
    assert_eq!(examples.len(), 2, "{language}");
    run(&server, program, &[], &examples.join("\n")).await;
    heard(&mut page, TOPICS[0], json!({"isOn": true, "userId": 7})).await;
    let tags = json!([
        {"username": "admin", "tagname": "Oro_Bundle_UserBundle_Entity_User_7"},
        {"username": "admin", "tagname": "Oro_Bundle_UserBundle_Entity_User_type_collection"},
    ]);
    heard(&mut page, TOPICS[1], tags).await;
    page.expect_no_event().await;
}

async fn heard(page: &mut v1::Client, topic: &str, expected: Value) {
    let event = page.event().await;
    assert_eq!((event.topic.as_str(), &event.event), (topic, &expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn php_example_publishes() {
    run_language("php", "php-cli", "php").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_example_publishes() {
    run_language("python", "python3", "python3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn node_example_publishes() {
    run_language("js", "nodejs", "node").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_and_command_examples_publish() {
    installed("curl", "curl");
    let (_site, server, mut page) = served().await;
    let [one, several, call, history, position, command, ping, maintenance] = blocks("sh")[..]
    else {
        panic!("eight")
    };
    let sh = async |example: &str| run(&server, "sh", &["-eu"], example).await;
    let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");

    let answer = parse(&sh(one).await);
    assert_eq!(answer["delivered"], 1);
    let [shown_one, shown_several, shown_result, shown_history, shown_position] =
        blocks("json")[..]
    else {
        panic!("five")
    };
    same_shape(&answer, &parse(shown_one));
    heard(&mut page, TOPICS[0], json!({"isOn": true, "userId": 7})).await;

    let answer = parse(&sh(several).await);
    assert_eq!(answer["published"][1], parse(shown_several)["published"][1]);
    same_shape(&answer, &parse(shown_several));
    assert_eq!(answer, parse(&sh(several).await), "the key stands for the first answer");
    heard(&mut page, TOPICS[2], json!({"role": "ROLE_ADMIN"})).await;
    heard(&mut page, TOPICS[0], json!({"isOn": false, "userId": null})).await;

    let mut guest = Client::connect(server.addr, Codec::Cbor, "realm1").await;
    guest.subscribe("acme/chat/lobby", json!({})).await;
    let answer = parse(&sh(call).await);
    same_shape(&answer, &parse(shown_result));
    assert_eq!(answer["args"][0].as_array().map(Vec::len), Some(1), "{answer}");

    let paid = guest.publish_acknowledged("acme/orders/7", json!({}), json!(["paid"]), Value::Null);
    let publication = paid.await.unwrap();
    let answer = parse(&sh(history).await);
    same_shape(&answer, &parse(shown_history));
    same_shape(&answer["events"][0], &parse(shown_history)["events"][0]);
    let event = &answer["events"][0];
    assert_eq!((&event["publication"], &event["args"]), (&json!(publication), &json!(["paid"])));
    let position_now = parse(&sh(position).await);
    same_shape(&position_now, &parse(shown_position));
    assert_eq!(position_now["epoch"], answer["epoch"]);
    assert_eq!((&position_now["offset"], &answer["offset"]), (&json!(1), &json!(1)));

    assert_eq!(sh(command).await, "");
    heard(&mut page, TOPICS[0], json!({"isOn": true, "userId": 7})).await;
    assert!(parse(&sh(ping).await)["publication"].is_u64());
    assert_eq!(sh(maintenance).await, "");
    heard(&mut page, TOPICS[0], json!({"isOn": true, "userId": 7})).await;
    heard(&mut page, TOPICS[0], json!({"isOn": false, "userId": null})).await;
    page.expect_no_event().await;
}

/// Checks that the documented answer has the keys of the real one.
#[track_caller]
fn same_shape(answer: &Value, shown: &Value) {
    let keys = |value: &Value| {
        let keys = value.as_object().into_iter().flat_map(|it| it.keys().cloned());
        keys.collect::<Vec<_>>()
    };
    assert_eq!(keys(answer), keys(shown));
    let lists = (answer["published"].as_array(), shown["published"].as_array());
    if let (Some(answer), Some(shown)) = lists {
        assert_eq!(
            answer.iter().map(keys).collect::<Vec<_>>(),
            shown.iter().map(keys).collect::<Vec<_>>()
        );
    }
}
