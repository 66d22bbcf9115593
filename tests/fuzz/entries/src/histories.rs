//! Files with histories, and histories that nodes of a cluster send: what can be read is written in one form.

use crate::history_bytes::{
    SavedRealms, decode_event, decode_mirror, decode_realms, encode_event, encode_mirror,
    encode_realms,
};

/// The content of a file or of a message.
pub fn histories(data: &[u8]) {
    if let Some(realms) = decode_realms(data) {
        let bytes = written(&realms);
        let again = decode_realms(&bytes).expect("it is read again");
        assert_eq!(written(&again), bytes);
    }
    if let Some(event) = decode_event(data) {
        let bytes = encode_event(&event);
        let again = decode_event(&bytes).expect("it is read again");
        assert_eq!(encode_event(&again), bytes);
    }
    if let Some(mirror) = decode_mirror(data) {
        let bytes = encode_mirror(&mirror);
        let again = decode_mirror(&bytes).expect("it is read again");
        assert_eq!(encode_mirror(&again), bytes);
    }
}

fn written(realms: &SavedRealms) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_realms(realms, &mut bytes);
    bytes
}
