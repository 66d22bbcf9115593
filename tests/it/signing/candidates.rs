//! Shadows and canaries with a lower number than a release that has served: a warning, and no promotion
//! where downgrades are refused, unless it is forced.

use serde_json::json;

use super::server::Fixture;
use crate::control::digest;
use crate::rollout::until_version;
use jackfield_tests::client::within;

const WARNING: &str =
    "its signature has the number 3, and the plugin `versioned` has had 5 already";

#[tokio::test(flavor = "multi_thread")]
async fn an_older_candidate_is_promoted_by_force_alone() {
    let fixture = Fixture::new();
    let key = fixture.keys.make("own");
    fixture.deploy(fixture.signed("own", 1, "5"));
    let server = fixture.start(&format!("verify: [{key}], refuse_downgrades: true"));
    fixture.until_kept(1).await;
    let _signed = fixture.signed("own", 2, "3");
    let file = fixture.desk.path().join("versioned.wasm");
    let (older, file) = (digest(&file), file.to_str().unwrap());

    let placed = fixture.jackfield(&["shadow", "versioned", file]);
    assert!(placed.code == Some(0) && placed.err.contains(WARNING), "{placed:?}");
    server.logged(&format!(
        "the shadow of the plugin versioned is older than a version that has served: {WARNING}"
    ));
    server.logged(&format!(
        "action=\"shadow\" plugin=\"versioned\" file=\"{file}\" digest=\"{older}\" result=\"ok\""
    ));
    let page = fixture.jackfield(&["shadow", "versioned"]);
    assert!(page.out.contains(&format!("note: {WARNING}")), "{page:?}");
    let refused = fixture.jackfield(&["promote", "versioned"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("the shadow of the plugin `versioned` is refused as a downgrade"));
    assert!(refused.err.contains("`jackfield promote versioned DIGEST --force`"), "{refused:?}");
    assert_eq!(fixture.jackfield(&["shadow", "versioned", "--stop"]).code, Some(0));

    let placed = fixture.jackfield(&["canary", "versioned", file, "--share", "10%", "--json"]);
    assert_eq!((placed.code, &placed.json()["warnings"]), (Some(0), &json!([WARNING])));
    server.logged("the canary of the plugin versioned is older than a version that has served");
    server.logged(&format!(
        "action=\"canary\" plugin=\"versioned\" file=\"{file}\" digest=\"{older}\" share=\"10%\""
    ));
    let refused = fixture.jackfield(&["promote", "versioned", &older]);
    assert!(refused.code == Some(1) && refused.err.contains("as a downgrade"), "{refused:?}");
    let forced = fixture.jackfield(&["promote", "versioned", &older, "--force"]);
    assert!(forced.code == Some(0) && forced.err.contains(WARNING), "{forced:?}");
    server.logged(&format!(
        "action=\"promote\" plugin=\"versioned\" digest=\"{older}\" result=\"ok\""
    ));
    until_version(&server, "versioned", &older).await;
    // The end of a promoted canary is no error.
    let log = server.log();
    let ended = log.lines().find(|line| line.contains("has ended: it serves all topics"));
    assert!(ended.is_some_and(|line| line.contains("INFO")), "{log}");
    assert!(!log.contains("ERROR"), "{log}");
    // What was forced lowers nothing.
    fixture.deploy(fixture.signed("own", 3, "4"));
    fixture.refuses("has the number 4, and the plugin `versioned` has had 5");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_shadow_of_the_site_is_promoted_by_force_alone() {
    let fixture = Fixture::new();
    let key = fixture.keys.make("own");
    fixture.deploy(fixture.signed("own", 1, "5"));
    let server = fixture.start(&format!("verify: [{key}], refuse_downgrades: true"));
    fixture.until_kept(1).await;
    let (component, signature) = fixture.signed("own", 2, "3");
    fixture.site.rename_over("v/versioned.shadow.wasm.minisig", signature);
    fixture.site.rename_over("v/versioned.shadow.wasm", component);
    let shadow = digest(&fixture.site.file("v/versioned.shadow.wasm"));
    within("the shadow", async {
        while !fixture.jackfield(&["shadow", "versioned"]).out.contains(WARNING) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let refused = fixture.jackfield(&["promote", "versioned", &shadow]);
    assert!(refused.code == Some(1) && refused.err.contains("as a downgrade"), "{refused:?}");
    let forced = fixture.jackfield(&["promote", "versioned", &shadow, "--force"]);
    assert_eq!(forced.code, Some(0), "{forced:?}");
    until_version(&server, "versioned", &shadow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_candidate_is_promoted_where_downgrades_are_not_refused() {
    let fixture = Fixture::new();
    let key = fixture.keys.make("own");
    fixture.deploy(fixture.signed("own", 1, "5"));
    let server = fixture.start(&format!("verify: [{key}]"));
    let _signed = fixture.signed("own", 2, "3");
    let file = fixture.desk.path().join("versioned.wasm");
    let placed =
        fixture.jackfield(&["canary", "versioned", file.to_str().unwrap(), "--share", "10%"]);
    assert!(placed.code == Some(0) && placed.err.contains(WARNING), "{placed:?}");
    let promoted = fixture.jackfield(&["promote", "versioned"]);
    assert!(promoted.code == Some(0) && promoted.err.contains(WARNING), "{promoted:?}");
    until_version(&server, "versioned", &digest(&file)).await;
}
