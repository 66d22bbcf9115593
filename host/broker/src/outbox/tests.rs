//! Tests of outboxes, with transports that accept a number of bytes and then block.

use super::*;

use jackfield_wamp::id::SubscriptionId;

use super::queue::FRAME_OVERHEAD_BYTES;
use crate::close_reason::CloseCause;

fn outbox(bytes: usize, frames: usize, overflow: Overflow) -> Outbox {
    Outbox::new(Bounds { bytes, frames, overflow })
}

/// Drains into a transport that accepts `room` bytes and then blocks.
fn drain(outbox: &Outbox, room: usize) -> (Vec<u8>, Drained) {
    let mut taken = Vec::new();
    let end = outbox
        .drain(|slices| {
            let mut count = 0;
            for byte in slices.iter().flat_map(|slice| slice.iter()) {
                if taken.len() == room {
                    break;
                }
                taken.push(*byte);
                count += 1;
            }
            if count == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
        })
        .unwrap();
    (taken, end)
}

#[test]
fn only_the_first_push_asks_for_a_flush() {
    let outbox = outbox(100, 10, Overflow::Disconnect);
    assert_eq!(outbox.push("ab".into()), PushOutcome::Flush);
    assert_eq!(outbox.push("cd".into()), PushOutcome::Queued);
    assert_eq!(drain(&outbox, 100), (b"abcd".to_vec(), Drained::Empty));
    assert_eq!(outbox.push("ef".into()), PushOutcome::Flush);
}

#[test]
fn a_blocked_transport_resumes_where_it_stopped() {
    let outbox = outbox(100, 10, Overflow::Disconnect);
    let _ = outbox.push("hello".into());
    let _ = outbox.push("world".into());
    assert_eq!(drain(&outbox, 7), (b"hellowo".to_vec(), Drained::Blocked));
    assert_eq!(outbox.bytes(), 3);
    // A flush is still pending, so a further push does not ask for another.
    assert_eq!(outbox.push("!".into()), PushOutcome::Queued);
    assert_eq!(drain(&outbox, 100), (b"rld!".to_vec(), Drained::Empty));
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn partial_writes_keep_the_order_of_frames() {
    let outbox = outbox(10_000, 1000, Overflow::Disconnect);
    let frames: Vec<u8> = (0..200).collect();
    for byte in &frames {
        let _ = outbox.push(Bytes::copy_from_slice(&[*byte]));
    }
    assert_eq!(drain(&outbox, 10_000), (frames, Drained::Empty));
}

#[test]
fn overflow_closes_with_a_reason_or_drops() {
    let strict = outbox(4, 10, Overflow::Disconnect);
    assert_eq!(strict.push("abcd".into()), PushOutcome::Flush);
    assert_eq!(strict.push("e".into()), PushOutcome::Overflow);
    assert_eq!(strict.push("f".into()), PushOutcome::Closed);
    assert_eq!(strict.closing().unwrap().reason, CloseReason::SLOW_SUBSCRIBER);

    let lenient = outbox(4, 10, Overflow::DropEvent);
    assert_eq!(lenient.push("abcd".into()), PushOutcome::Flush);
    assert_eq!(lenient.push("e".into()), PushOutcome::Dropped);
    assert_eq!(lenient.dropped(), 1);
    // A result is never dropped silently.
    assert_eq!(lenient.forward("e".into()), PushOutcome::Overflow);
}

#[test]
fn replies_never_close_a_session_and_report_crowding() {
    let outbox = outbox(8, 10, Overflow::Disconnect);
    let _ = outbox.reply("abcdef".into());
    assert_eq!(drain(&outbox, 1).1, Drained::Blocked);
    for _ in 0..10 {
        assert_eq!(outbox.reply("gh".into()), PushOutcome::Crowded);
    }
    assert!(outbox.is_crowded() && outbox.closing().is_none());
    // Messages from other sessions remain bounded.
    assert_eq!(outbox.push("i".into()), PushOutcome::Overflow);
}

#[test]
fn a_blocked_outbox_is_crowded_above_half_until_below_a_quarter() {
    let outbox = outbox(16, 100, Overflow::Disconnect);
    let _ = outbox.push("aaaaaaaa".into());
    // A queue that is about to be flushed is not crowded.
    assert_eq!(outbox.push("bb".into()), PushOutcome::Queued);
    assert_eq!(drain(&outbox, 2).1, Drained::Blocked);
    assert_eq!(outbox.push("c".into()), PushOutcome::Crowded);
    assert_eq!(outbox.pressure(), Pressure { waits: true, written: 2 });
    let _ = drain(&outbox, 5);
    assert_eq!(outbox.pressure(), Pressure { waits: false, written: 7 });
    assert_eq!(outbox.push("d".into()), PushOutcome::Queued);
}

#[test]
fn a_publisher_waits_once_for_a_stuck_transport() {
    let outbox = outbox(16, 100, Overflow::Disconnect);
    let _ = outbox.push("aaaaaaaaaa".into());
    let _ = drain(&outbox, 1);
    assert_eq!(outbox.push("b".into()), PushOutcome::Crowded);
    outbox.give_up(outbox.pressure().written);
    assert_eq!(outbox.push("c".into()), PushOutcome::Queued);
    let _ = drain(&outbox, 1);
    assert_eq!(outbox.push("d".into()), PushOutcome::Crowded);
}

#[test]
fn dropping_events_delays_no_publisher() {
    let outbox = outbox(8, 100, Overflow::DropEvent);
    let _ = outbox.push("aaaaa".into());
    let _ = drain(&outbox, 1);
    assert_eq!(outbox.push("bb".into()), PushOutcome::Queued);
}

#[test]
fn bounds_the_number_of_frames() {
    let outbox = outbox(1000, 2, Overflow::Disconnect);
    assert_eq!(outbox.push("a".into()), PushOutcome::Flush);
    assert_eq!(outbox.push("b".into()), PushOutcome::Queued);
    assert_eq!(outbox.push("c".into()), PushOutcome::Overflow);
}

#[test]
fn an_oversized_frame_passes_an_empty_outbox() {
    let outbox = outbox(4, 10, Overflow::Disconnect);
    assert_eq!(outbox.push("abcdefgh".into()), PushOutcome::Flush);
}

#[test]
fn close_completes_a_partial_frame_and_sends_nothing_after_it() {
    let outbox = outbox(100, 10, Overflow::Disconnect);
    let _ = outbox.push("hello".into());
    let _ = outbox.push("world".into());
    let _ = drain(&outbox, 2);
    assert!(outbox.close(CloseReason {
        cause: CloseCause::Handler,
        reason: "a".into(),
        message: String::new()
    }));
    assert!(!outbox.close(CloseReason {
        cause: CloseCause::Handler,
        reason: "b".into(),
        message: String::new()
    }));
    outbox.farewell([Bytes::from("bye")], true);
    assert_eq!(outbox.push("late".into()), PushOutcome::Closed);
    assert_eq!(drain(&outbox, 100), (b"llobye".to_vec(), Drained::Empty));
    assert_eq!(outbox.closing().unwrap().reason, "a");
}

#[test]
fn counts_for_the_total_while_its_transport_takes_no_more() {
    let total = Arc::new(Total::new(1_000));
    let bounds = Bounds { bytes: 10_000, frames: 100, overflow: Overflow::Disconnect };
    let outbox = Outbox::counted(bounds, Arc::clone(&total));
    let _ = outbox.push(vec![b'x'; 2_000].into());
    assert_eq!((total.bytes(), outbox.held_bytes()), (0, 0));
    let _ = drain(&outbox, 500);
    assert_eq!(total.bytes(), 1_500 + FRAME_OVERHEAD_BYTES);
    let _ = outbox.push(vec![b'x'; 100].into());
    assert_eq!(total.bytes(), 1_600 + 2 * FRAME_OVERHEAD_BYTES);
    assert_eq!(total.bytes(), outbox.held_bytes());
    assert!(outbox.is_total_exceeded());
    // A partly written frame has to stay.
    let closing =
        CloseReason { cause: CloseCause::Handler, reason: "full".into(), message: String::new() };
    assert!(outbox.evict(closing.clone()));
    assert!(!outbox.evict(closing));
    assert_eq!(total.bytes(), 1_500 + FRAME_OVERHEAD_BYTES);
    drop(outbox);
    assert_eq!(total.bytes(), 0);
}

/// Returns the frame of an event with the number of events that it replaces.
fn numbered(text: &'static str) -> impl Fn(u64) -> Option<Bytes> {
    move |count| Some(format!("{text}+{count}").into())
}

fn subscription(id: u64) -> SubscriptionId {
    SubscriptionId::new(id).unwrap()
}

#[test]
fn a_newer_event_replaces_a_waiting_one_of_its_subscription() {
    let outbox = outbox(100, 10, Overflow::Latest);
    let push =
        |id, text: &'static str| outbox.push_latest(subscription(id), text.into(), numbered(text));
    // A subscriber that keeps up gets every event.
    assert_eq!(push(1, "a1 "), PushOutcome::Flush);
    assert_eq!(push(1, "a2 "), PushOutcome::Queued);
    assert_eq!(drain(&outbox, 100), (b"a1 a2 ".to_vec(), Drained::Empty));
    let _ = push(1, "a3 ");
    let _ = outbox.reply("reply ".into());
    let _ = push(2, "b1 ");
    // The transport is blocked within the event, which stays.
    assert_eq!(drain(&outbox, 1), (b"a".to_vec(), Drained::Blocked));
    let _ = push(1, "a4 ");
    let _ = push(2, "b2 ");
    let _ = push(1, "a5 ");
    let _ = push(1, "a6 ");
    // Events keep the order in which the newest ones were published.
    assert_eq!(drain(&outbox, 100), (b"3 reply b2 +1a6 +2".to_vec(), Drained::Empty));
    let OutboxTraffic { replaced, dropped, waiting, .. } = outbox.traffic();
    assert_eq!((replaced, dropped, waiting), (3, 0, 0));
    // Afterwards, no count is left.
    let _ = push(1, "a7 ");
    assert_eq!(drain(&outbox, 100), (b"a7 ".to_vec(), Drained::Empty));
}

#[test]
fn a_client_without_the_newest_event_is_closed() {
    let outbox = outbox(8, 10, Overflow::Latest);
    let push = |id, text: &'static str| outbox.push_latest(subscription(id), text.into(), |_| None);
    let _ = push(1, "aaaa");
    assert_eq!(drain(&outbox, 0).1, Drained::Blocked);
    for _ in 0..100 {
        // Version 1 shows no count.
        assert_eq!(push(1, "bbbb"), PushOutcome::Queued);
    }
    assert_eq!(push(2, "cccc"), PushOutcome::Queued);
    assert_eq!(push(3, "d"), PushOutcome::Overflow);
    // By a pattern, an event is dropped.
    let outbox = self::outbox(4, 10, Overflow::Latest);
    let _ = outbox.push("abcd".into());
    assert_eq!(outbox.push("e".into()), PushOutcome::Dropped);
}

proptest::proptest! {
    /// However events, replies and writes alternate: replies stay, and of each subscription the newest
    /// event arrives last, in the order of publication.
    #[test]
    fn the_newest_event_of_each_subscription_arrives(
        steps in proptest::collection::vec((0..5_u8, 0..12_usize), 0..100)
    ) {
        let outbox = outbox(10_000, 1_000, Overflow::Latest);
        let mut written = Vec::new();
        let mut newest = [None; 3];
        let mut replies = 0;
        for (number, (what, room)) in (0_u8..).zip(steps) {
            match what {
                0..3 => {
                    let id = u64::from(what) + 1;
                    let frame = Bytes::copy_from_slice(&[what, number, b'|']);
                    let _ = outbox.push_latest(subscription(id), frame, |_| None);
                    newest[usize::from(what)] = Some(number);
                }
                3 => {
                    let _ = outbox.reply(Bytes::copy_from_slice(&[3, number, b'|']));
                    replies += 1;
                }
                _ => written.extend(drain(&outbox, room).0),
            }
        }
        written.extend(drain(&outbox, 10_000).0);
        let frames: Vec<(u8, u8)> = written.chunks(3).map(|it| (it[0], it[1])).collect();
        proptest::prop_assert_eq!(written.len() % 3, 0);
        proptest::prop_assert!(frames.is_sorted_by_key(|it| it.1), "{:?}", frames);
        proptest::prop_assert_eq!(frames.iter().filter(|it| it.0 == 3).count(), replies);
        for (what, newest) in (0..).zip(newest) {
            let last = frames.iter().rfind(|it| it.0 == what).map(|it| it.1);
            proptest::prop_assert_eq!(last, newest);
        }
    }
}
