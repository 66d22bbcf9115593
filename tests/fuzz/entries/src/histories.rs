//! Files with histories: what can be read is written in one form.

use crate::history_bytes::{decode_event, decode_realms, encode_realms};

/// The content of a file.
pub fn histories(data: &[u8]) {
    if let Some(realms) = decode_realms(data) {
        let written = encode_realms(&realms);
        let again = decode_realms(&written).expect("it is read again");
        assert_eq!(encode_realms(&again), written);
    }
    let _event = decode_event(data);
}
