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
    world.realm.end_durable_histories(|_| true);
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
    let expect = LoggedHistory { epoch: in_flight.epoch, first: 0, has_retained: true };
    assert_eq!(kept(&world), Some(expect), "it may be in the file at any moment");
    assert!(world.publish_saved(1, &in_flight));
    drop(world.save(2));
    let expect = LoggedHistory { first: 1, has_retained: false, ..expect };
    assert_eq!(kept(&world), Some(expect));
    world.now += Duration::from_mins(2);
    assert_eq!(kept(&world), Some(LoggedHistory { first: 3, ..expect }), "they are too old");
    world.realm.end_histories(|_| true);
    assert_ne!(kept(&world).unwrap().epoch, expect.epoch);
}
