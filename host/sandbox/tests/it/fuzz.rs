//! Mutated components: the loader and the contract hold for bytes that no compiler writes.
//!
//! The corpus is `tests/corpus` and two guests. Each run mutates one of them, loads it, and calls all
//! hooks of what loads. Runs have numbers, so that a failure can be repeated:
//! `JACKFIELD_FUZZ=FIRST..END`.

#![expect(clippy::print_stdout, reason = "a test that fails shows the number of its run")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jackfield_sandbox::{PluginPolicy, RouteConfig, Sandbox};

use crate::guests::guest;
use crate::stage::{audience, hostile, policy, publish, request, sandbox};

/// Runs of the test as part of all tests.
const RUNS: Range<u64> = 0..300;
/// The longest text of an error or fault: names of components are cut before they get there.
const MAX_TEXT_BYTES: usize = 8_000;
/// Mutations of one run, at most.
const MAX_MUTATIONS: u64 = 4;

/// Numbers that look random, the same for the same seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap()
    }
}

fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    if dice.next().is_multiple_of(2) && !bytes.is_empty() {
        // A component with one wrong bit often loads, and fails later.
        let place = dice.below(bytes.len());
        bytes[place] ^= 1 << dice.below(8);
        return;
    }
    for _ in 0..=dice.next() % MAX_MUTATIONS {
        let place = dice.below(bytes.len());
        let length = dice.below(64).min(bytes.len() - place);
        match dice.next() % 8 {
            0 => bytes.truncate(place),
            1 => drop(bytes.drain(place..place + length)),
            2 => {
                let copy = bytes[place..place + length].to_vec();
                let to = dice.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            3 => {
                let low = dice.next().to_le_bytes();
                bytes.splice(place..place + length, low);
            }
            _ if bytes.is_empty() => bytes.push(0),
            4 | 5 => bytes[place] = [0, 1, 0x7f, 0x80, 0xff][dice.below(5)],
            _ => bytes[place] ^= 1 << dice.below(8),
        }
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let small = files.iter().map(|file| std::fs::read(file).unwrap());
    // Guests more often: few mutations of the small files reach the second check.
    let guests = ["counter", "versioned"].map(guest);
    let often = (0..small.len()).flat_map(|_| guests.clone());
    small.clone().chain(often).collect()
}

/// Loads a component and calls all of its hooks. Returns the place where it was refused, if it was.
async fn exercise(sandbox: &Sandbox, bytes: &[u8]) -> &'static str {
    let mut policy = PluginPolicy::default();
    policy.limits.deadline = Duration::from_millis(100);
    policy.limits.memory = 4 << 20;
    let plugin = match sandbox.load("fuzz.wasm", bytes, policy, audience()).await {
        Ok(plugin) => plugin,
        Err(error) => return checked(&error.to_string(), "refused by the loader"),
    };
    let handlers = plugin.manifest().handlers.iter().map(|it| it.name.clone());
    let routes: Vec<RouteConfig> = handlers.map(|it| crate::stage::route(&it)).collect();
    let lanes = match plugin.start(1, &routes).await {
        Ok(lanes) => lanes,
        Err(error) => return checked(&error.to_string(), "refused a route"),
    };
    let lane = lanes.of("t/1");
    let mut ended = "ran";
    for route in &routes {
        let request = request(&route.handler, &[]);
        let answers = [
            lane.on_subscribe(&request).await.map(drop),
            lane.on_publish(&request, "[\"a\"]", "{}").await.map(drop),
            lane.on_call(&request, "[]", "{}", &AtomicBool::new(false)).await.map(drop),
            lane.on_timer(&request).await.map(drop),
            lane.on_unsubscribe(&request).await.map(drop),
        ];
        for fault in answers.into_iter().filter_map(Result::err) {
            ended = checked(&fault.to_string(), "failed in a hook");
        }
    }
    ended
}

/// Checks what an operator would read.
#[track_caller]
fn checked(text: &str, place: &'static str) -> &'static str {
    assert!(text.len() < MAX_TEXT_BYTES, "{} bytes: {text:.500}", text.len());
    assert!(!text.chars().any(|it| it.is_control() && it != '\n'), "{text:?}");
    place
}

/// The runs of the variable `JACKFIELD_FUZZ`, `FIRST..END`.
fn runs() -> Range<u64> {
    let Ok(text) = std::env::var("JACKFIELD_FUZZ") else { return RUNS };
    let (first, end) = text.split_once("..").expect("JACKFIELD_FUZZ=FIRST..END");
    first.parse().unwrap()..end.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn survives_mutated_components() {
    let (sandbox, corpus) = (sandbox(), corpus());
    let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
    for whole in &corpus {
        *ends.entry(exercise(&sandbox, whole).await).or_default() += 1;
    }
    assert!(ends.contains_key("ran"), "the guests are sound: {ends:?}");
    for run in runs() {
        let mut dice = Dice(run);
        let mut bytes = corpus[dice.below(corpus.len())].clone();
        mutate(&mut bytes, &mut dice);
        // The number of the run, in the output of a test that fails.
        println!("JACKFIELD_FUZZ={run}..{}", run + 1);
        *ends.entry(exercise(&sandbox, &bytes).await).or_default() += 1;
    }
    if runs() == RUNS {
        assert!(ends.contains_key("refused by the loader"), "{ends:?}");
        let loaded = ends["ran"] + ends.get("failed in a hook").unwrap_or(&0);
        assert!(loaded > 10, "hardly anything loads: {ends:?}");
    }
    // A neighbour is well.
    let lanes = hostile(&sandbox, PluginPolicy::default(), &["echo"]).await;
    publish(lanes.of("t/1"), "echo", "{}").await.unwrap();
}

/// An answer is accepted exactly if its texts are what the contract asks for.
#[tokio::test(flavor = "multi_thread")]
async fn accepts_answers_that_are_json_and_no_others() {
    const PARTS: [&str; 16] = [
        "[", "]", "{", "}", ",", ":", "\"a\"", "1", "-", "e9", "null", "tru", "\\u00e9", "\"\u{0}",
        " ", "\u{2028}",
    ];
    let lanes = hostile(&sandbox(), steady(), &["nonsense", "nonsense_publish"]).await;
    let (mut dice, mut accepted, mut refused) = (Dice(1), 0, 0);
    for run in 0..3_000 {
        let parts = (0..dice.below(6)).map(|_| PARTS[dice.below(PARTS.len())]);
        // Half of them are arrays, if what is inside is sound.
        let inside: String = parts.collect();
        let text = if run % 2 == 0 { format!("[{inside}]") } else { inside };
        let is_sound = serde_json::from_str::<Vec<serde_json::Value>>(&text).is_ok();
        for handler in ["nonsense", "nonsense_publish"] {
            match publish(lanes.of("t/1"), handler, &text).await {
                Ok(_) => assert!(is_sound, "{handler} {text:?}"),
                Err(fault) => {
                    checked(&fault.to_string(), "failed in a hook");
                    assert!(!is_sound, "{handler} {text:?}: {fault}");
                }
            }
        }
        if is_sound { accepted += 1 } else { refused += 1 }
    }
    assert!(accepted > 300 && refused > 300, "{accepted} {refused}");
}

/// Faults never open a circuit.
fn steady() -> PluginPolicy {
    let mut policy = policy();
    // No deadline that a busy machine could miss.
    policy.limits.deadline = Duration::from_mins(1);
    policy.limits.breaker.enabled = false;
    policy
}
