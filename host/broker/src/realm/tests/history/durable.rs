//! Events that are saved before they are delivered: the place that is saved is the place that is
//! delivered, or nothing is.

use super::*;
use crate::history::{LoggedHistory, PreparedEvent};

impl World {
    /// Does something with a durable publication with this argument.
    fn with<T>(&self, number: u64, work: impl FnOnce(&Publication<'_>) -> T) -> T {
        let payload = Payload::from_json(&format!("[{number}]"), "").unwrap();
        let recording = Recording { rule: self.rule, now: self.now, is_durable: true };
        work(&Publication {
            id: PublicationId::new(1_000 + number).unwrap(),
            recording: Some(&recording),
            ..publication("t", &payload)
        })
    }

    fn prepare(&self, number: u64) -> PreparedEvent {
        self.with(number, |it| self.realm.prepare(it).unwrap().unwrap())
    }

    /// Returns whether the event is delivered.
    fn publish_saved(&self, number: u64, prepared: &PreparedEvent) -> bool {
        let mut batch = PendingFlushes::default();
        let publish = |it: &Publication<'_>| self.realm.publish_saved(it, prepared, &mut batch);
        let delivered = self.with(number, publish).unwrap().is_some();
        batch.flush();
        delivered
    }

    /// Ends the durable histories as a reload does. The random ids begin at this one.
    fn end_durable(&self, first: u64) {
        let (mut batch, mut id) = (PendingFlushes::default(), first);
        let random = || {
            id += 1;
            PublicationId::new(id - 1).unwrap()
        };
        self.realm.end_durable_histories(|_| true, random, &mut batch);
        batch.flush();
    }

    fn save(&self, number: u64) -> PreparedEvent {
        let prepared = self.prepare(number);
        assert!(self.publish_saved(number, &prepared));
        prepared
    }
}

fn place(prepared: &PreparedEvent) -> (u64, u64, bool) {
    (prepared.first, prepared.offset, prepared.is_new)
}

#[test]
fn an_event_that_is_not_saved_has_no_effect() {
    let world = World::new();
    let peer = world.join(1, "ann", V2);
    world.subscribe(&peer, Some(&Since::default()));
    assert_eq!(place(&world.prepare(1)), (1, 1, true));
    // It could not be saved. The next one has the same place.
    let second = world.prepare(2);
    assert_eq!(place(&second), (1, 1, true));
    assert_eq!(short(&peer.read()), [json!(33), json!([0, false, 0])]);
    assert!(world.publish_saved(2, &second));
    assert_eq!(place(&world.save(3)), (1, 2, false));
    assert_eq!(short(&peer.read()), [json!("2@1"), json!("3@2")]);
    // Five events are kept, and the file is told so by the next one.
    (4..=7).for_each(|number| drop(world.save(number)));
    assert_eq!(place(&world.prepare(8)), (2, 7, false));
}

#[test]
fn an_event_whose_place_is_taken_is_prepared_again() {
    let mut world = World::new();
    let first = world.save(1);
    let prepared = world.prepare(2);
    // A reload ends the history.
    world.end_durable(7);
    assert!(!world.publish_saved(2, &prepared));
    let again = world.prepare(2);
    assert_eq!(place(&again), (2, 2, true));
    assert_ne!(again.epoch, first.epoch);
    assert!(world.publish_saved(2, &again));
    // A publication that a reload has overtaken is not saved: the file has the epoch no longer.
    let prepared = world.prepare(3);
    world.publish_all(1);
    assert!(!world.publish_saved(3, &prepared));
    let last = world.prepare(3);
    assert_eq!(place(&last), (4, 4, true));
    assert_ne!(last.epoch, again.epoch);
}

#[test]
fn saved_histories_go_on_after_a_crash() {
    let world = World::new();
    let peer = world.join(1, "ann", V2);
    world.subscribe(&peer, Some(&Since::default()));
    let events = [1, 2, 3].map(|number| world.save(number).event);
    let epoch = epoch(&peer.read());
    assert!(world.realm.save_histories(|_| true).is_empty(), "the file has it already");
    let saved = crate::history::SavedTopic {
        topic: "t".to_owned(),
        epoch: world.prepare(4).epoch,
        top: 3,
        last: world.now,
        events: events.to_vec(),
        retained: None,
    };
    let next = World::new();
    next.realm.restore_durable_histories(vec![saved]);
    let again = next.join(2, "ann", V2);
    next.subscribe(&again, Some(&since(&epoch, 1)));
    assert_eq!(short(&again.read()), [json!(33), json!([1, true, 2]), json!("2@2"), json!("3@3")]);
    assert_eq!(place(&next.prepare(4)), (1, 4, false));
}

#[test]
fn the_file_is_told_what_the_memory_has() {
    let mut world = World::new();
    assert_eq!(world.realm.durable_history("t", world.now), None);
    let in_flight = world.prepare(1);
    let kept = |world: &World| world.realm.durable_history("t", world.now);
    let expect = LoggedHistory { epoch: in_flight.epoch, first: 0, top: 0, has_retained: true };
    assert_eq!(kept(&world), Some(expect), "it may be in the file at any moment");
    assert!(world.publish_saved(1, &in_flight));
    drop(world.save(2));
    let expect = LoggedHistory { first: 1, top: 2, has_retained: false, ..expect };
    assert_eq!(kept(&world), Some(expect));
    world.now += Duration::from_mins(2);
    assert_eq!(kept(&world), Some(LoggedHistory { first: 3, ..expect }), "they are too old");
    world.realm.end_histories(|_| true);
    assert_ne!(kept(&world).unwrap().epoch, expect.epoch);
}

/// The file may keep the epoch: no client has a position of it behind the events that are saved.
#[test]
fn subscribers_are_told_the_epoch_of_events_that_are_not_saved() {
    let mut world = World::new();
    let peer = world.join(1, "ann", V2);
    world.subscribe(&peer, Some(&Since::default()));
    (1..=3).for_each(|number| drop(world.save(number)));
    let saved = epoch(&peer.read());
    // A reload ends the history before the next event.
    world.end_durable(7);
    world.publish_all(1);
    let read = peer.read();
    let ended = epoch(&read);
    assert_eq!(read.len(), 2);
    assert_eq!(short(&read)[0], json!([3, false, 0]));
    assert_ne!(ended, saved);
    // A publication that a reload has overtaken ends it itself.
    drop(world.save(5));
    peer.read();
    world.publish_all(1);
    let read = peer.read();
    assert_eq!(short(&read)[0], json!([5, false, 0]));
    assert_ne!(epoch(&read), ended);
}

/// Two processes that go on with the same file make different epochs from the one in it.
#[test]
fn a_durable_history_that_ends_gets_a_random_epoch() {
    let [one, two] = [11, 12].map(|random| {
        let world = World::new();
        drop(world.save(1));
        world.end_durable(random);
        world.prepare(2).epoch
    });
    assert_ne!(one, two);
}

#[test]
fn a_clean_stop_replaces_another_epoch_of_the_file() {
    let saved = |epoch: u64, top: u64| crate::history::SavedTopic {
        topic: "t".to_owned(),
        epoch,
        top,
        last: Duration::from_secs(1),
        events: Vec::new(),
        retained: None,
    };
    // The epoch and the offset of the file, and of the clean stop.
    for (file, stop, expect) in [((1, 4), (2, 7), (2, 8, true)), ((1, 4), (1, 3), (1, 5, false))] {
        let world = World::new();
        world.realm.restore_durable_histories(vec![saved(file.0, file.1)]);
        world.realm.restore_histories(vec![saved(stop.0, stop.1)]);
        let next = world.prepare(1);
        assert_eq!((next.epoch, next.offset, next.is_new), expect);
    }
}
