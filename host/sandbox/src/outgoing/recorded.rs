//! Effects with an answer as recordings keep them: all that the plugin gave, and no permit. One that
//! is read from a recording is compared, and never performed.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ReplyTo;
use super::call::OutgoingCall;
use super::deferred::Completion;
use super::origin::AllowedOrigin;
use super::request::{HttpRequest, OutgoingRequest};
use super::tally::{OutgoingKind, Permit, Tally};
use crate::event::PluginEvent;
use crate::refusal::CallResult;
use crate::store_value::StoreValue;

#[derive(Serialize, Deserialize)]
struct RecordedRequest {
    /// The number that its answer refers to.
    number: u64,
    reply_to: ReplyTo,
    method: String,
    origin: String,
    path: String,
    headers: Vec<(String, StoreValue)>,
    body: StoreValue,
    timeout_ms: u64,
    context: StoreValue,
}

#[derive(Serialize, Deserialize)]
struct RecordedCall {
    /// The number that its result refers to.
    number: u64,
    reply_to: ReplyTo,
    procedure: String,
    event: PluginEvent,
    timeout_ms: u64,
    context: StoreValue,
}

#[derive(Serialize, Deserialize)]
struct RecordedCompletion {
    call: u64,
    answer: CallResult,
}

impl From<OutgoingRequest> for RecordedRequest {
    fn from(request: OutgoingRequest) -> Self {
        let OutgoingRequest { reply_to, request, context, permit, .. } = request;
        let HttpRequest { origin, path, method, headers, body, timeout, .. } = request;
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), StoreValue(value.as_bytes().to_vec()))
        };
        Self {
            number: permit.number(),
            reply_to,
            method: method.as_str().to_owned(),
            origin: origin.to_string(),
            path,
            headers: headers.iter().map(header).collect(),
            body: StoreValue(body),
            timeout_ms: milliseconds(timeout),
            context: StoreValue(context),
        }
    }
}

impl TryFrom<RecordedRequest> for OutgoingRequest {
    type Error = String;

    fn try_from(recorded: RecordedRequest) -> Result<Self, String> {
        let RecordedRequest { number, reply_to, method, origin, path, headers, .. } = recorded;
        let RecordedRequest { body, timeout_ms, context, .. } = recorded;
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let origin: AllowedOrigin = origin.parse().map_err(|error| text(&error))?;
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| text(&error))?;
            let value = HeaderValue::from_bytes(&value.0).map_err(|error| text(&error))?;
            map.append(name, value);
        }
        let request = HttpRequest {
            origin: origin.into(),
            path,
            method: Method::from_bytes(method.as_bytes()).map_err(|error| text(&error))?,
            headers: map,
            body: body.0,
            timeout: Duration::from_millis(timeout_ms),
            max_response_bytes: 0,
            may_be_private: false,
        };
        let permit = Permit::of_replay(OutgoingKind::Http, number);
        Ok(Self { reply_to, request, context: context.0, depth: 0, permit })
    }
}

impl From<OutgoingCall> for RecordedCall {
    fn from(call: OutgoingCall) -> Self {
        let OutgoingCall { reply_to, procedure, event, timeout, context, permit, .. } = call;
        let (timeout_ms, context) = (milliseconds(timeout), StoreValue(context));
        Self { number: permit.number(), reply_to, procedure, event, timeout_ms, context }
    }
}

impl From<RecordedCall> for OutgoingCall {
    fn from(recorded: RecordedCall) -> Self {
        let RecordedCall { number, reply_to, procedure, event, timeout_ms, context } = recorded;
        let (timeout, context) = (Duration::from_millis(timeout_ms), context.0);
        let (depth, permit) = (0, Permit::of_replay(OutgoingKind::Call, number));
        Self { reply_to, procedure, event, timeout, context, depth, permit }
    }
}

impl From<Completion> for RecordedCompletion {
    fn from(completion: Completion) -> Self {
        let Completion { number, answer, .. } = completion;
        Self { call: number, answer }
    }
}

impl From<RecordedCompletion> for Completion {
    fn from(RecordedCompletion { call, answer }: RecordedCompletion) -> Self {
        Self { number: call, answer, tally: Tally::apart() }
    }
}

/// Serializes an effect in its recorded form.
macro_rules! recorded {
    ($($effect:ty => $recorded:ty),*) => {$(
        impl Serialize for $effect {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                <$recorded>::from(self.clone()).serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $effect {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::try_from(<$recorded>::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }
    )*};
}

recorded!(
    OutgoingRequest => RecordedRequest,
    OutgoingCall => RecordedCall,
    Completion => RecordedCompletion
);

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::effect::Effect;

    #[test]
    fn recordings_keep_what_the_plugin_gave() {
        let reply_to = r#"{"plugin":"p","handler":"h","topic":"t"}"#;
        for text in [
            format!(
                r#"{{"number":3,"reply_to":{reply_to},"method":"POST","origin":"https://a.example",
                "path":"/b?c",
                "headers":[["x-a","é"],["x-a","2"]],"body":{{"base64":"/w=="}},"timeout_ms":5,
                "context":"{{}}"}}"#
            ),
            format!(
                r#"{{"number":4,"reply_to":{reply_to},"procedure":"a.b","event":{{"args":"[1]",
                "kwargs":"{{}}"}},"timeout_ms":5,"context":""}}"#
            ),
            r#"{"call":7,"answer":{"Err":{"uri":"a.b","message":"no"}}}"#.to_owned(),
        ] {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            let effect = if value["method"].is_string() {
                Effect::Request(serde_json::from_str(&text).unwrap())
            } else if value["procedure"].is_string() {
                Effect::Call(serde_json::from_str(&text).unwrap())
            } else {
                Effect::Complete(serde_json::from_str(&text).unwrap())
            };
            let written = serde_json::to_string(&effect).unwrap();
            let read: Effect = serde_json::from_str(&written).unwrap();
            assert_eq!(read, effect);
            let kept = |part: &serde_json::Value| written.contains(&part.to_string());
            let values = value.as_object().unwrap().values();
            assert!(values.clone().all(kept), "{written}");
        }
    }
}
