//! Messages between nodes: whatever arrives, a node forgets peers that are silent.

use std::time::Duration;

use bytes::Bytes;
use jackfield_broker::peers::{NodeId, Peers};

use crate::input::Input;

/// A sequence of messages and ticks.
pub fn peers(data: &[u8]) {
    let id = NodeId;
    let mut here = Peers::new(id(1), "here", "1.0.0");
    let mut there = Peers::new(id(2), "there", "1.0.0");
    let mut now = Duration::from_secs(100);
    let mut input = Input(data);
    while !input.is_empty() {
        match input.below(6) {
            0 => {
                here.hear_hello(&Bytes::copy_from_slice(input.bytes()), now);
            }
            1 => {
                let _received = here.receive(&Bytes::copy_from_slice(input.bytes()), now);
            }
            2 => {
                now += Duration::from_millis(u64::from(input.byte()) * 10);
                let _notices = here.tick(now);
            }
            3 => {
                // The peer says hello, and all it has to say arrives with a change.
                here.hear_hello(&Bytes::from(there.hello()), now);
                there.hear_hello(&Bytes::from(here.hello()), now);
                let _notices = there.tick(now);
                for (_, mut message) in there.take_messages() {
                    let at = usize::from(input.byte()) * message.len() / 256;
                    if let Some(byte) = message.get_mut(at) {
                        *byte ^= input.byte();
                    }
                    let _received = here.receive(&message.into(), now);
                }
            }
            4 => {
                for (_, message) in here.take_messages() {
                    let _received = there.receive(&message.into(), now);
                }
            }
            _ => {
                there.send(id(1), input.bytes());
            }
        }
    }
    for _ in 0..3 {
        now += Duration::from_mins(1);
        let _notices = here.tick(now);
    }
    let views = here.views(now);
    assert!(views.is_empty(), "{} peers", views.len());
}
