//! Two homes on a log that does not check what its messages are behind, as old servers of NATS may: each step of
//! one can come between two steps of the other, and another program writes as well.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use super::super::*;
use crate::{LogReader, WriteLease};

/// What both nodes see. One of them runs at a time.
#[derive(Default)]
struct World {
    random: u64,
    /// The node whose turn it is.
    turn: usize,
    has_ended: [bool; 2],
    all: Vec<(u64, Bytes)>,
    last: u64,
    /// The number of the last lease, and the node that has it.
    lease: (u64, usize),
    /// The keys of commits that were acknowledged.
    acknowledged: BTreeSet<String>,
    /// The keys that homes have read, one after the other.
    read: Vec<BTreeSet<String>>,
    snapshots: usize,
}

impl World {
    /// Returns a number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % limit
    }
}

#[derive(Clone)]
struct Node {
    index: usize,
    world: Arc<(Mutex<World>, Condvar)>,
}

impl Node {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, world: MutexGuard<'_, World>) {
        let woken = self.world.1.wait_while(world, |it| it.turn != self.index);
        drop(woken.unwrap_or_else(PoisonError::into_inner));
    }

    /// Lets any node have the next turn.
    fn step(&self) {
        let mut world = self.lock();
        let next = usize::try_from(world.below(2)).unwrap();
        world.turn = if world.has_ended[next] { self.index } else { next };
        self.world.1.notify_all();
        self.wait(world);
    }

    fn end(&self) {
        let mut world = self.lock();
        world.has_ended[self.index] = true;
        world.turn = 1 - self.index;
        self.world.1.notify_all();
    }

    /// Reads the log, one message a step. A home may shorten it meanwhile.
    fn read(&self) -> LogState {
        'again: for _ in 0..100 {
            let mut reader = LogReader::default();
            let (end, mut from) = (self.lock().last, 0);
            while from <= end {
                self.step();
                let found = self.lock().all.iter().find(|it| it.0 >= from).cloned();
                let Some((place, message)) = found else { break };
                from = place + 1;
                match reader.take(place, message) {
                    Ok(()) => {}
                    Err(LogFormatError::Removed { .. }) => continue 'again,
                    Err(error) => panic!("{error}"),
                }
            }
            return reader.finish();
        }
        panic!("the log stays unreadable");
    }
}

impl CommitLog for Node {
    fn is_required(&self) -> bool {
        true
    }

    fn max_message_bytes(&self) -> usize {
        90
    }

    fn append(&mut self, appends: Vec<Append>) -> Vec<Result<Appended, AppendError>> {
        let append = |append: Append| {
            let mut places = Vec::new();
            for part in append.parts {
                self.step();
                let mut world = self.lock();
                world.last += 1;
                if world.below(20) == 0 {
                    let place = world.last;
                    world.all.push((place, Bytes::from_static(b"of another program")));
                    world.last += 1;
                }
                let place = world.last;
                world.all.push((place, part));
                places.push(place);
                if world.below(40) == 0 {
                    return Err(AppendError::Failed("the node has died".to_owned()));
                }
            }
            self.step();
            Ok(Appended { first: places[0], last: *places.last().unwrap() })
        };
        appends.into_iter().map(append).collect()
    }

    fn read_back(
        &mut self,
        _plugin: &str,
        places: RangeInclusive<u64>,
    ) -> Result<Vec<(u64, Bytes)>, AppendError> {
        let mut found = Vec::new();
        for place in places {
            self.step();
            found.extend(self.lock().all.iter().find(|it| it.0 == place).cloned());
        }
        Ok(found)
    }

    fn trim(&mut self, _plugin: &str, before: u64) {
        self.step();
        self.lock().all.retain(|it| it.0 >= before);
    }

    fn set_aside(&mut self, _plugin: &str, _saved: &Saved) -> Result<(), EngineError> {
        Ok(())
    }

    fn given_up(&self, _plugin: &str, _error: &EngineError) {}
}

fn keys(saved: &Saved) -> BTreeSet<String> {
    saved.entries.iter().map(|it| it.0.clone()).collect()
}

/// Takes the lease again and again, and commits as long as nothing fails.
fn live(node: &Node) {
    let folder = TempDir::new().unwrap();
    let inner = SqliteEngine::open(folder.path()).unwrap();
    let seed = u64::try_from(node.index).unwrap() << 32;
    let mut engine = CopiedEngine::new(inner, node.clone(), seed);
    node.wait(node.lock());
    let mut commits = 0;
    for _life in 0..8 {
        let number = {
            let mut world = node.lock();
            // The last holder is not told.
            world.lease = (world.lease.0 + 1, node.index);
            world.lease.0
        };
        let holder = node.clone();
        let lease = WriteLease::new(number, move || holder.lock().lease == (number, holder.index));
        let state = node.read();
        let from = TakeOver { state, node: "web".to_owned(), lease: lease.clone() };
        let Ok(saved) = engine.take_over("acme", from) else { continue };
        if lease.is_valid() {
            let mut world = node.lock();
            assert!(world.acknowledged.is_subset(&keys(&saved)), "a commit is lost");
            world.read.push(keys(&saved));
        }
        loop {
            commits += 1;
            let key = format!("{}-{commits}", node.index);
            let length = usize::try_from(node.lock().below(200)).unwrap();
            let value = Value { bytes: vec![b'x'; length].into(), expires: None };
            let entries = vec![(Arc::from(key.as_str()), Some(value))];
            let changes = Changes { plugin: "acme".into(), schema: 1, entries };
            if engine.prepare(&[&changes]).pop().unwrap().is_err() {
                break;
            }
            node.lock().acknowledged.insert(key);
            engine.commit(&[&changes]).unwrap();
            if node.lock().below(4) == 0 {
                let plugin = "acme".into();
                if let Err(error) = engine.compact(&plugin) {
                    engine.give_up(&plugin, &error);
                    break;
                }
                node.lock().snapshots += 1;
                engine.trim(&plugin);
            }
            if node.lock().below(8) == 0 {
                break;
            }
        }
        engine.resign("acme");
    }
}

#[test]
fn acknowledged_commits_survive_and_all_readers_agree_without_a_check_of_places() {
    let (mut commits, mut skipped, mut snapshots) = (0, 0, 0);
    for seed in 1..=100 {
        let world = World { random: seed * 0x9e37_79b9_7f4a_7c15, ..World::default() };
        let world = Arc::new((Mutex::new(world), Condvar::new()));
        let nodes = [0, 1].map(|index| Node { index, world: Arc::clone(&world) });
        std::thread::scope(|scope| {
            for node in &nodes {
                scope.spawn(|| {
                    let lived = std::panic::catch_unwind(|| live(node));
                    node.end();
                    lived.unwrap_or_else(|_| panic!("seed {seed}"));
                });
            }
        });
        let world = nodes[0].lock();
        let mut reader = LogReader::default();
        let mut chain = Chain::default();
        for (place, message) in &world.all {
            reader.take(*place, message.clone()).unwrap();
            skipped += usize::from(chain.take(*place, &mut message.clone()).unwrap().is_none());
        }
        let end = keys(&reader.finish().saved.unwrap_or_default());
        assert!(world.acknowledged.is_subset(&end), "seed {seed}: a commit is lost");
        for read in world.read.windows(2) {
            assert!(
                read[0].is_subset(&read[1]),
                "seed {seed}: two homes have read different forks"
            );
        }
        for read in &world.read {
            assert!(read.is_subset(&end), "seed {seed}: a home has read another fork");
        }
        commits += world.acknowledged.len();
        snapshots += world.snapshots;
    }
    assert!(commits > 100 && skipped > 100 && snapshots > 12, "{commits} {skipped} {snapshots}");
}
