//! Several faults at once, by seed: nodes and servers of NATS are killed, stopped and restarted while others
//! are away. No page has a silent hole.

use std::time::Duration;

use tokio::time::sleep;

use super::chaos::Group;
use crate::history::cuts::Random;

/// The number of rounds, if `JACKFIELD_FAULTS` does not say another one.
const ROUNDS: u64 = 4;

/// Most faults of a round.
const MAX_FAULTS: u64 = 3;

/// A part of the group that is away until the end of the round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Away {
    StoppedNode(usize),
    StoppedNats(usize),
    KilledNats(usize),
}

#[tokio::test(flavor = "multi_thread")]
async fn several_faults_at_once_leave_no_silent_hole() {
    let rounds = std::env::var("JACKFIELD_FAULTS").ok().and_then(|it| it.parse().ok());
    let mut group = Group::start().await;
    for seed in 0..rounds.unwrap_or(ROUNDS) {
        let mut random = Random(seed);
        let mut away = Vec::new();
        let mut names = Vec::new();
        for _ in 0..=random.below(MAX_FAULTS) {
            let index = usize::try_from(random.below(3)).unwrap();
            let (kind, wait) = (random.below(5), random.below(4_000));
            if let Some(name) = fault(&mut group, &mut away, index, kind, wait).await {
                names.push(format!("{name} {index}"));
            }
            sleep(Duration::from_millis(random.below(4_000))).await;
        }
        sleep(Duration::from_millis(random.below(6_000))).await;
        for one in away {
            match one {
                Away::StoppedNode(index) => group.members[index].server().signal("CONT"),
                Away::StoppedNats(index) => group.nats[index].signal("CONT"),
                Away::KilledNats(index) => group.nats[index].restart(),
            }
            sleep(Duration::from_millis(random.below(2_000))).await;
        }
        group.settled(&format!("round {seed}: {}", names.join(", "))).await;
    }
    group.end().await;
}

/// Makes a fault, unless this part is away. Returns its name.
async fn fault(
    group: &mut Group,
    away: &mut Vec<Away>,
    index: usize,
    kind: u64,
    wait: u64,
) -> Option<&'static str> {
    let is_nats_away = [Away::StoppedNats(index), Away::KilledNats(index)];
    let is_away = match kind {
        0..3 => away.contains(&Away::StoppedNode(index)),
        _ => is_nats_away.iter().any(|it| away.contains(it)),
    };
    if is_away {
        return None;
    }
    Some(match kind {
        0 => {
            group.members[index].end("KILL");
            sleep(Duration::from_millis(wait)).await;
            group.members[index].restart();
            "node killed:"
        }
        1 => {
            group.members[index].end("TERM");
            group.members[index].restart();
            "node restarted:"
        }
        2 => {
            group.members[index].server().signal("STOP");
            away.push(Away::StoppedNode(index));
            "node stopped:"
        }
        3 => {
            group.nats[index].signal("STOP");
            away.push(Away::StoppedNats(index));
            "NATS stopped:"
        }
        _ => {
            group.nats[index].kill();
            away.push(Away::KilledNats(index));
            "NATS killed:"
        }
    })
}
