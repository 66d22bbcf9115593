//! Changes of versions that fail, or meet another one: nothing of a failed change stays, and nothing
//! of another one is lost.

use super::*;
use jackfield_tests::build;

/// A server with the versions 1 to 3, of which the first is pinned, and a site with a problem.
async fn pinned(fixture: &Fixture) -> (Server, [String; 3]) {
    let server = fixture.start("");
    let mut digests = vec![digest(&fixture.site.file("v/versioned.wasm"))];
    fixture.until_kept("versioned", &[true]).await;
    for number in 2..=3 {
        fixture.deploy("v/versioned.wasm", component(number));
        digests.push(digest(&fixture.site.file("v/versioned.wasm")));
        until_version(&server, "versioned", digests.last().unwrap()).await;
    }
    fixture.until_kept("versioned", &[true, true, true]).await;
    assert_eq!(fixture.jackfield(&["rollback", "versioned", &digests[0]]).code, Some(0));
    fixture.site.write("x/websocket_routing.yml", "a: 1\n");
    server.until_health("reload", "failed");
    (server, digests.try_into().unwrap())
}

/// Requests that are made at once: their statuses.
async fn at_once<const N: usize>(server: &Server, requests: [(&str, Value); N]) -> Vec<u16> {
    let socket = server.control_socket();
    let asked = requests.map(|(path, body)| {
        let (socket, path) = (socket.clone(), path.to_owned());
        tokio::spawn(async move { ask(&socket, "POST", &path, &body.to_string()).await.0 })
    });
    let mut codes = Vec::new();
    for asked in asked {
        codes.push(asked.await.unwrap());
    }
    codes
}

/// The pin and the candidate of the plugin in the table on the disk.
fn saved(fixture: &Fixture) -> (Value, Value) {
    let index = fs::read(fixture.data.path().join("data/versions/index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let entry = &index["plugins"]["versioned"];
    (entry["pin"]["serves"].clone(), entry["candidate"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_change_beside_another_one_leaves_the_pin() {
    let fixture = Fixture::new();
    fixture.site.bundle(
        "h",
        "h: { channel: h, handler: { callback: echo } }\n",
        &[build::guest("hostile")],
    );
    let (server, [first, second, _]) = pinned(&fixture).await;
    let new = fixture.data.path().join("new.wasm");
    fs::write(&new, component(5)).unwrap();
    let first_hex = json!(first["sha256:".len()..]);
    for round in 0..12 {
        let switch = if round % 4 < 2 { "/v1/disable" } else { "/v1/enable" };
        let change = match round % 2 {
            0 => ("/v1/rollback", json!({ "plugin": "versioned", "digest": second })),
            _ => ("/v1/canary", json!({ "plugin": "versioned", "file": new, "share": "100%" })),
        };
        // A change that saves the table, while another one is being tried.
        let codes = at_once(&server, [change, (switch, json!({ "plugin": "hostile" }))]).await;
        assert_eq!(codes, [422, 200], "round {round}");
        let history = fixture.jackfield(&["history", "versioned", "--json"]).json();
        assert_eq!(history["plugins"][0]["pin"]["digest"], first, "round {round}");
        assert_eq!(saved(&fixture), (first_hex.clone(), Value::Null), "round {round}");
    }
    assert!(!server.log().contains("the pin of plugin versioned has ended"), "{}", server.log());
    fixture.site.remove("x/websocket_routing.yml");
    drop(server);
    let server = fixture.start("");
    assert_eq!(plugin(&server, "versioned").await["digest"], first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_not_read_yet_goes_before_a_roll_back() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    fixture.until_kept("versioned", &[true]).await;
    fixture.deploy("v/versioned.wasm", component(2));
    until_version(&server, "versioned", &digest(&fixture.site.file("v/versioned.wasm"))).await;
    fixture.until_kept("versioned", &[true, true]).await;
    fixture.deploy("v/versioned.wasm", component(7));
    let seventh = digest(&fixture.site.file("v/versioned.wasm"));
    let socket = server.control_socket();
    let body = json!({ "plugin": "versioned" }).to_string();
    let (code, answer) = ask(&socket, "POST", "/v1/rollback", &body).await;
    // Unless the deployment served before the request came.
    if code == 200 {
        assert_eq!(answer["from"], seventh, "{answer}");
        return;
    }
    assert!(code == 409 && answer["message"].to_string().contains("meanwhile"), "{answer}");
    until_version(&server, "versioned", &seventh).await;
    assert_eq!(plugin(&server, "versioned").await["pinned"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_returned_to_while_a_broken_file_waits() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    let first = digest(&fixture.site.file("v/versioned.wasm"));
    fixture.until_kept("versioned", &[true]).await;
    fixture.deploy("v/versioned.wasm", component(2));
    until_version(&server, "versioned", &digest(&fixture.site.file("v/versioned.wasm"))).await;
    fixture.until_kept("versioned", &[true, true]).await;
    fixture.deploy("v/versioned.wasm", b"text".to_vec());
    server.until_health("reload", "failed");
    let rolled = fixture.jackfield(&["rollback", "versioned"]);
    assert_eq!(rolled.code, Some(0), "{rolled:?}");
    assert_eq!(plugin(&server, "versioned").await["digest"], first);
}

#[tokio::test(flavor = "multi_thread")]
async fn says_that_a_component_could_not_be_written() {
    let fixture = Fixture::new();
    let server = fixture.start("");
    fixture.until_kept("versioned", &[true]).await;
    let first = digest(&fixture.site.file("v/versioned.wasm"));
    let new = fixture.data.path().join("new.wasm");
    fs::write(&new, component(2)).unwrap();
    let second = digest(&new);
    // In the place of the incomplete component, as a full disk would be.
    let folder = fixture.data.path().join("data/versions");
    let obstacle = folder.join(&second["sha256:".len()..]).with_extension("tmp");
    fs::create_dir(&obstacle).unwrap();
    let told = "error: the change is lost when the server ends: failed to write";
    let new = new.to_str().unwrap();
    let placed = fixture.jackfield(&["canary", "versioned", new, "--share", "50%"]);
    assert!(placed.code == Some(1) && placed.err.contains(told), "{placed:?}");
    let socket = server.control_socket();
    let page = ask(&socket, "GET", "/v1/canary?plugin=versioned", "").await.1;
    assert!(page["canary"]["serves"] == true && page["survives_restart"] == false, "{page}");
    let promoted = fixture.jackfield(&["promote", "versioned", "--json"]);
    let answer = promoted.json();
    assert_eq!((promoted.code, &answer["result"]), (Some(1), &json!("ok")), "{promoted:?}");
    assert!(answer["survives_restart"] == false && answer["save_error"].is_string(), "{answer}");
    assert_eq!(plugin(&server, "versioned").await["digest"], second);
    // The table promises nothing that the next start cannot serve.
    assert_eq!(saved(&fixture), (Value::Null, Value::Null));
    drop(server);
    let server = fixture.start("");
    assert_eq!(plugin(&server, "versioned").await["digest"], first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_served_ends_no_pin() {
    let fixture = Fixture::new();
    let (server, [first, _, third]) = pinned(&fixture).await;
    let reload = || run(command(&["reload", fixture.site.path().to_str().unwrap()])).code;
    // The site has a problem, so that the new file does not serve.
    fixture.deploy("v/versioned.wasm", component(4));
    assert_eq!(reload(), Some(1));
    let history = fixture.jackfield(&["history", "versioned", "--json"]).json();
    assert_eq!(history["plugins"][0]["pin"]["digest"], first);
    // The file that was rolled back comes back.
    fixture.deploy("v/versioned.wasm", component(3));
    assert_eq!(digest(&fixture.site.file("v/versioned.wasm")), third);
    fixture.site.remove("x/websocket_routing.yml");
    assert_eq!(reload(), Some(0));
    assert_eq!(plugin(&server, "versioned").await["digest"], first);
    // A new file that serves ends the pin, also on the disk.
    fixture.deploy("v/versioned.wasm", component(5));
    let fifth = digest(&fixture.site.file("v/versioned.wasm"));
    until_version(&server, "versioned", &fifth).await;
    // The first one served twice.
    fixture.until_kept("versioned", &[true; 5]).await;
    assert_eq!(saved(&fixture).0, Value::Null);
    drop(server);
    let server = fixture.start("");
    assert_eq!(plugin(&server, "versioned").await["digest"], fifth);
}
