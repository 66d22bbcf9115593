//! A look at a frame that is to be received later: whether it cancels a call, or makes one.
//!
//! It changes nothing of the session, and it proves nothing: a frame that breaks the rules is found
//! out when it is received in its turn.

use super::{Frame, Protocol, State};
use crate::dialect::Dialect;
use crate::id::RequestId;
use crate::message::{Cancel, Kind, Message, Requested, requested};

/// The subject of a frame, as far as it matters before its turn.
#[derive(Clone, Debug, PartialEq)]
pub enum Foresight {
    /// A call is given up.
    Cancel(Cancel),
    /// A call is made.
    Call(RequestId),
    /// Anything else. Version 1 has nothing that could not wait for its turn.
    Other,
}

impl Protocol {
    /// The subject of the frame.
    pub fn foresee(&self, frame: Frame) -> Foresight {
        let Dialect::V2(codec) = self.dialect else { return Foresight::Other };
        let bytes = match frame {
            Frame::Text(bytes) if !self.dialect.is_binary() => bytes,
            Frame::Binary(bytes) if self.dialect.is_binary() => bytes,
            Frame::Text(_) | Frame::Binary(_) => return Foresight::Other,
        };
        match requested(codec, &bytes, self.depth) {
            Some(Requested { kind: Kind::Call, request, .. }) => Foresight::Call(request),
            Some(Requested { kind: Kind::Cancel, .. }) if self.state == State::Open => {
                match Message::decode_within(codec, &bytes, self.depth) {
                    Ok(Message::Cancel(cancel)) => Foresight::Cancel(cancel),
                    Ok(_) | Err(_) => Foresight::Other,
                }
            }
            Some(_) | None => Foresight::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::dialect::Codec;
    use crate::message::CancelMode;

    #[track_caller]
    fn check(text: &str, expect: &Foresight) {
        let session = Protocol { state: State::Open, ..Protocol::new(Dialect::V2(Codec::Json)) };
        assert_eq!(session.foresee(Frame::Text(Bytes::from(text.to_owned()))), *expect, "{text}");
    }

    #[test]
    fn recognizes_calls_and_cancels_ahead() {
        let [one, two] = [1, 2].map(|id| RequestId::new(id).unwrap());
        check(r#"[48,1,{},"a"]"#, &Foresight::Call(one));
        check(r#"[48, 2, {"timeout":5}, "a", [1e400]]"#, &Foresight::Call(two));
        let cancel = |mode| Foresight::Cancel(Cancel { request: one, mode });
        check("[49,1,{}]", &cancel(CancelMode::KillNoWait));
        check(r#"[49,1,{"mode":"skip"}]"#, &cancel(CancelMode::Skip));
        check(r#"[49,1,{"mode":"kill"}]"#, &cancel(CancelMode::Kill));
        let others = [
            r#"[49,1,{"mode":"x"}]"#,
            "[49]",
            "[49,\"1\",{}]",
            "[48",
            "",
            r#"[16,1,{},"a"]"#,
            "[6,{},\"a\"]",
        ];
        for other in others {
            check(other, &Foresight::Other);
        }
    }

    #[test]
    fn recognizes_no_other_messages_ahead() {
        let cancel = || Frame::Text(Bytes::from_static(b"[49,1,{}]"));
        assert_eq!(Protocol::new(Dialect::V1).foresee(cancel()), Foresight::Other);
        let fresh = Protocol::new(Dialect::V2(Codec::Json));
        assert_eq!(fresh.foresee(cancel()), Foresight::Other);
        let binary = Protocol { state: State::Open, ..Protocol::new(Dialect::V2(Codec::Cbor)) };
        assert_eq!(binary.foresee(cancel()), Foresight::Other);
    }
}
