//! Tests of generations built while plugins are being loaded. No new plugin of these tests is
//! loaded, as nothing waits for it.

use super::*;

impl Fixture {
    /// Builds the generation that is served before any further plugin is loaded.
    async fn at_once(&self, previous: &Generation) -> Generation {
        let snapshot = Site::new(self.root.path()).read().unwrap();
        let mut loads = Loads::new(Arc::clone(&self.context));
        loads.follow(&snapshot, Some(previous));
        let generation = build(&snapshot, Some(previous), &loads).await.unwrap();
        assert!(loads.is_loading());
        assert!(!generation.serves(snapshot.hash()), "some of it is missing");
        generation
    }
}

fn tell(name: &str, channel: &str) -> String {
    format!("{name}:\n    channel: '{channel}'\n    handler: tell\n")
}

/// Returns the routes and the versions of their plugins, in matching order.
fn shown(generation: &Generation) -> Vec<(&str, &str, &str)> {
    let bound = generation.bound();
    let shown = bound.map(|(route, handler)| {
        (route.name.as_str(), route.channel.as_str(), handler.manifest().version.as_str())
    });
    shown.collect()
}

const FIRST: &str = "@@VERSION-000001";

/// Builds a generation with routes of `versioned` before, between and behind one of `hostile`.
async fn first(fixture: &Fixture) -> Generation {
    let routes = [route("a", "a", ""), tell("b", "b"), route("c", "c", ""), route("d", "d", "")];
    fixture.put("websocket_routing.yml", routes.concat());
    fixture.put("hostile.wasm", guest("hostile"));
    fixture.put("p.wasm", version(1));
    fixture.prepare(None).await.unwrap()
}

#[tokio::test]
async fn a_plugin_that_is_being_replaced_keeps_its_routes() {
    let fixture = Fixture::new();
    let first = first(&fixture).await;
    let hostile = first.find("b").unwrap().handler.manifest().version.clone();
    // One route is removed, one has another channel, and one is new.
    let routes = [route("a", "a2", ""), tell("b", "b2"), tell("e", "e"), route("f", "f", "")];
    fixture.put("websocket_routing.yml", routes.concat());
    for file in ["p.wasm", "q.wasm"] {
        fs::remove_file(fixture.root.path().join("p.wasm")).unwrap();
        fixture.put(file, version(2));
        let next = fixture.at_once(&first).await;
        let expect = [
            ("a", "a", FIRST),
            ("b", "b2", &hostile),
            ("c", "c", FIRST),
            ("d", "d", FIRST),
            ("e", "e", &hostile),
        ];
        assert_eq!(shown(&next), expect, "{file}");
        assert!(next.loading()[0].ends_with(file));
    }
    let whole = fixture.prepare(Some(&first)).await.unwrap();
    let names: Vec<&str> = shown(&whole).into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names, ["a", "b", "e", "f"]);
    assert!(whole.loading().is_empty());
}

#[tokio::test]
async fn drops_a_removed_plugin_while_others_load() {
    let fixture = Fixture::new();
    let first = first(&fixture).await;
    fixture.put("websocket_routing.yml", tell("b", "b"));
    fs::remove_file(fixture.root.path().join("p.wasm")).unwrap();
    fixture.put("liar.wasm", guest("liar"));
    let next = fixture.at_once(&first).await;
    assert_eq!(shown(&next).len(), 1);
    assert_eq!(next.plugins().len(), 1);
}

#[tokio::test]
async fn omits_routes_whose_handler_is_still_loading() {
    let fixture = Fixture::new();
    let first = first(&fixture).await;
    fixture.put("new/websocket_routing.yml", "x:\n    channel: x\n    handler: to_come\n");
    fixture.put("new/liar.wasm", guest("liar"));
    let next = fixture.at_once(&first).await;
    assert_eq!(shown(&next), shown(&first));
    assert!(next.is_same(&first), "so nothing has to be served anew");
}

#[tokio::test]
async fn held_plugins_count_towards_the_lanes() {
    let fixture = Fixture::new();
    fixture.plugins().lanes = 2;
    let first = first(&fixture).await;
    assert_eq!(first.totals().0, 2);
    // The route of `hostile` needs one lane more, while `versioned` is being replaced.
    let two = format!("{}    lanes: 2\n", tell("b", "b"));
    fixture.put("websocket_routing.yml", [route("a", "a", ""), two].concat());
    fixture.put("p.wasm", version(2));
    let snapshot = Site::new(fixture.root.path()).read().unwrap();
    let mut loads = Loads::new(Arc::clone(&fixture.context));
    loads.follow(&snapshot, Some(&first));
    let problems = build(&snapshot, Some(&first), &loads).await.unwrap_err();
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let [text] = &texts[..] else { panic!("one problem: {texts:?}") };
    let expected = "the plugin `hostile` has 2 lanes, and other plugins 1; all together may have 2";
    assert!(text.contains(expected), "{text}");
}
