//! Lookahead: detects whether a waiting frame makes or cancels a call.
//!
//! It changes no state and validates nothing: errors of the frame are found when it is handled.

use super::{Frame, Protocol, State};
use crate::dialect::Dialect;
use crate::id::RequestId;
use crate::message::{Cancel, Message, MessageKind, RequestHeader};

/// The meaning of a frame that is not handled yet.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookahead {
    /// A cancel of a call.
    Cancel(Cancel),
    /// A call.
    Call(RequestId),
    /// Any other frame, and every frame of version 1.
    Other,
}

impl Protocol {
    /// Reads the header of a frame.
    pub fn look_ahead(&self, frame: Frame) -> Lookahead {
        let Dialect::V2(codec) = self.dialect else { return Lookahead::Other };
        let bytes = match frame {
            Frame::Text(bytes) if !self.dialect.is_binary() => bytes,
            Frame::Binary(bytes) if self.dialect.is_binary() => bytes,
            Frame::Text(_) | Frame::Binary(_) => return Lookahead::Other,
        };
        match RequestHeader::read(codec, &bytes, self.depth) {
            Some(RequestHeader { kind: MessageKind::Call, request, .. }) => {
                Lookahead::Call(request)
            }
            Some(RequestHeader { kind: MessageKind::Cancel, .. }) if self.state == State::Open => {
                match Message::decode_within(codec, &bytes, self.depth) {
                    Ok(Message::Cancel(cancel)) => Lookahead::Cancel(cancel),
                    Ok(_) | Err(_) => Lookahead::Other,
                }
            }
            Some(_) | None => Lookahead::Other,
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
    fn check(text: &str, expect: &Lookahead) {
        let session = Protocol { state: State::Open, ..Protocol::new(Dialect::V2(Codec::Json)) };
        assert_eq!(
            session.look_ahead(Frame::Text(Bytes::from(text.to_owned()))),
            *expect,
            "{text}"
        );
    }

    #[test]
    fn recognizes_calls_and_cancels_ahead() {
        let [one, two] = [1, 2].map(|id| RequestId::new(id).unwrap());
        check(r#"[48,1,{},"a"]"#, &Lookahead::Call(one));
        check(r#"[48, 2, {"timeout":5}, "a", [1e400]]"#, &Lookahead::Call(two));
        let cancel = |mode| Lookahead::Cancel(Cancel { request: one, mode });
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
            check(other, &Lookahead::Other);
        }
    }

    #[test]
    fn recognizes_no_other_messages_ahead() {
        let cancel = || Frame::Text(Bytes::from_static(b"[49,1,{}]"));
        assert_eq!(Protocol::new(Dialect::V1).look_ahead(cancel()), Lookahead::Other);
        let fresh = Protocol::new(Dialect::V2(Codec::Json));
        assert_eq!(fresh.look_ahead(cancel()), Lookahead::Other);
        let binary = Protocol { state: State::Open, ..Protocol::new(Dialect::V2(Codec::Cbor)) };
        assert_eq!(binary.look_ahead(cancel()), Lookahead::Other);
    }
}
