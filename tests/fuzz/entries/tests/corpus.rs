//! The targets of `make fuzz` over their corpus, and over random changes of it, so that they run with
//! every `make test`. Seeds are fixed: a failure is the same each time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by a panic"
)]

use std::path::Path;

use jackfield_fuzz_entries::TARGETS;

/// Random inputs of a target: some seconds for all of them.
const ROUNDS: usize = 2_000;
const MAX_BYTES: usize = 4_096;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let entries = std::fs::read_dir(&folder).expect("each target has a folder of inputs");
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has inputs");
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Changes an input: bytes are replaced, removed, repeated, or come from another input.
fn changed(input: &[u8], other: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut input = input.to_vec();
    for _ in 0..random.usize(1..6) {
        let at = random.usize(0..=input.len());
        let end = (at + random.usize(0..16)).min(input.len());
        match random.u8(0..5) {
            0 => input.insert(at, random.u8(..)),
            1 => drop(input.drain(at..end)),
            2 if at < input.len() => input[at] ^= 1 << random.u8(0..8),
            3 => {
                let copy = input[at..end].to_vec();
                input.splice(at..at, copy);
            }
            _ => {
                let from = random.usize(0..=other.len());
                let to = (from + random.usize(0..64)).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    input.truncate(MAX_BYTES);
    input
}

#[test]
fn targets_hold_their_invariants() {
    for (name, run) in TARGETS {
        let all = corpus(name);
        for input in &all {
            run(input);
        }
        let mut random = fastrand::Rng::with_seed(1);
        for round in 0..ROUNDS {
            let input: Vec<u8> = if round % 4 == 0 {
                (0..random.usize(0..300)).map(|_| random.u8(..)).collect()
            } else {
                let [one, other] = [(); 2].map(|()| &all[random.usize(0..all.len())]);
                changed(one, other, &mut random)
            };
            let result = std::panic::catch_unwind(|| run(&input));
            assert!(result.is_ok(), "{name}, round {round}: {}", input.escape_ascii());
        }
    }
}
