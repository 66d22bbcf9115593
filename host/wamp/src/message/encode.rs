//! Encoding of a [`Message`]. Options are written only if they differ from their defaults.

use std::collections::BTreeSet;

use super::options::TRUSTLEVEL;
use super::{
    Call, CallId, CallOptions, Message, MessageKind, PublishOptions, ReceiverFilter,
    RegisterOptions, Unregistered, Unsubscribe, Unsubscribed,
};
use crate::codec::CodecWriter;
use crate::dialect::Codec;
use crate::id::{RequestId, SessionId};
use crate::passthru::Passthru;
use crate::payload::Payload;
use crate::position::Since;
use crate::uri::MatchPolicy;
use crate::value::{Dict, Value};

impl Message {
    /// Returns the message's kind.
    pub const fn kind(&self) -> MessageKind {
        match self {
            Self::Hello(_) => MessageKind::Hello,
            Self::Welcome(_) => MessageKind::Welcome,
            Self::Abort(_) => MessageKind::Abort,
            Self::Challenge(_) => MessageKind::Challenge,
            Self::Authenticate(_) => MessageKind::Authenticate,
            Self::Goodbye(_) => MessageKind::Goodbye,
            Self::Error(_) => MessageKind::Error,
            Self::Publish(_) => MessageKind::Publish,
            Self::Published(_) => MessageKind::Published,
            Self::Subscribe(_) => MessageKind::Subscribe,
            Self::Subscribed(_) => MessageKind::Subscribed,
            Self::Unsubscribe(_) => MessageKind::Unsubscribe,
            Self::Unsubscribed(_) => MessageKind::Unsubscribed,
            Self::Event(_) => MessageKind::Event,
            Self::Call(_) => MessageKind::Call,
            Self::Cancel(_) => MessageKind::Cancel,
            Self::Result(_) => MessageKind::Result,
            Self::Register(_) => MessageKind::Register,
            Self::Registered(_) => MessageKind::Registered,
            Self::Unregister(_) => MessageKind::Unregister,
            Self::Unregistered(_) => MessageKind::Unregistered,
            Self::Invocation(_) => MessageKind::Invocation,
            Self::Interrupt(_) => MessageKind::Interrupt,
            Self::Yield(_) => MessageKind::Yield,
        }
    }

    /// Appends the message to `out`.
    #[expect(clippy::too_many_lines, reason = "one short arm for each message")]
    pub fn encode(&self, codec: Codec, out: &mut Vec<u8>) {
        let kind = self.kind();
        let mut list = List { writer: CodecWriter::new(codec, out), kind };
        match self {
            Self::Hello(hello) => list.begin(2).text(&hello.realm).dict(&hello.details).end(),
            Self::Welcome(welcome) => {
                list.begin(2).uint(welcome.session.get()).dict(&welcome.details).end();
            }
            Self::Abort(abort) => list
                .begin(2 + abort.payload.trailing_len())
                .dict(&abort.details)
                .text(&abort.reason)
                .payload(&abort.payload)
                .end(),
            Self::Challenge(challenge) => {
                list.begin(2).text(&challenge.method).dict(&challenge.extra).end();
            }
            Self::Authenticate(proof) => {
                list.begin(2).text(&proof.signature).dict(&proof.extra).end();
            }
            Self::Goodbye(goodbye) => {
                list.begin(2).dict(&goodbye.details).text(&goodbye.reason).end();
            }
            Self::Error(error) => list
                .begin(4 + error.payload.trailing_len())
                .uint(error.request_type.code())
                .request(error.request)
                .dict(&error.details)
                .text(&error.uri)
                .payload(&error.payload)
                .end(),
            Self::Publish(publish) => list
                .begin(3 + publish.payload.trailing_len())
                .request(publish.request)
                .dict(&with_passthru(publish_options(&publish.options), &publish.payload))
                .text(&publish.topic)
                .payload(&publish.payload)
                .end(),
            Self::Published(done) => {
                list.begin(2).request(done.request).uint(done.publication.get()).end();
            }
            Self::Subscribe(subscribe) => {
                let mut options = Dict::new();
                insert_policy(&mut options, subscribe.policy);
                insert_flag(&mut options, "get_retained", subscribe.get_retained, false);
                if let Some(since) = &subscribe.since {
                    options.insert("_since", Value::Map(position(since)));
                }
                list.begin(3)
                    .request(subscribe.request)
                    .dict(&options)
                    .text(&subscribe.topic)
                    .end();
            }
            Self::Subscribed(done) => {
                list.begin(2).request(done.request).uint(done.subscription.get()).end();
            }
            Self::Unsubscribe(Unsubscribe::ById { request, subscription }) => {
                list.begin(2).request(*request).uint(subscription.get()).end();
            }
            // Version 2 has no such form; the peer answers with an error.
            Self::Unsubscribe(Unsubscribe::ByTopic { topic }) => list.begin(1).text(topic).end(),
            Self::Unsubscribed(Unsubscribed::Done(request))
            | Self::Unregistered(Unregistered::Done(request)) => {
                list.begin(1).request(*request).end();
            }
            Self::Unsubscribed(Unsubscribed::Revoked { subscription, reason }) => {
                list.revoked("subscription", subscription.get(), reason.as_deref());
            }
            Self::Event(event) => list
                .begin(3 + event.payload.trailing_len())
                .uint(event.subscription.get())
                .uint(event.publication.get())
                .dict(&event.details)
                .payload(&event.payload)
                .end(),
            Self::Call(call) => list.call(call),
            Self::Cancel(cancel) => {
                let options = Dict::from_iter([("mode", cancel.mode.name())]);
                list.begin(2).request(cancel.request).dict(&options).end();
            }
            Self::Result(result) => list
                .begin(2 + result.payload.trailing_len())
                .request(result.request)
                .dict(&with_passthru(progress(result.progress), &result.payload))
                .payload(&result.payload)
                .end(),
            Self::Register(register) => list
                .begin(3)
                .request(register.request)
                .dict(&register_options(&register.options))
                .text(&register.procedure)
                .end(),
            Self::Registered(done) => {
                list.begin(2).request(done.request).uint(done.registration.get()).end();
            }
            Self::Unregister(unregister) => {
                list.begin(2).request(unregister.request).uint(unregister.registration.get()).end();
            }
            Self::Unregistered(Unregistered::Revoked { registration, reason }) => {
                list.revoked("registration", registration.get(), reason.as_deref());
            }
            Self::Invocation(invocation) => list
                .begin(3 + invocation.payload.trailing_len())
                .request(invocation.request)
                .uint(invocation.registration.get())
                .dict(&invocation.details)
                .payload(&invocation.payload)
                .end(),
            Self::Interrupt(interrupt) => {
                list.begin(2).request(interrupt.request).dict(&interrupt.options).end();
            }
            Self::Yield(answer) => list
                .begin(2 + answer.payload.trailing_len())
                .request(answer.request)
                .dict(&with_passthru(progress(answer.progress), &answer.payload))
                .payload(&answer.payload)
                .end(),
        }
    }
}

/// CodecWriter of a message's list, element by element.
struct List<'o> {
    writer: CodecWriter<'o>,
    kind: MessageKind,
}

impl List<'_> {
    /// Begins the list; `len` is the number of elements after the code.
    fn begin(&mut self, len: usize) -> &mut Self {
        self.writer.begin_list(1 + len);
        self.uint(self.kind.code())
    }

    fn uint(&mut self, number: u64) -> &mut Self {
        self.writer.uint(number);
        self
    }

    fn request(&mut self, id: RequestId) -> &mut Self {
        self.uint(id.get())
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.writer.text(text);
        self
    }

    fn dict(&mut self, dict: &Dict) -> &mut Self {
        self.writer.dict(dict);
        self
    }

    fn payload(&mut self, payload: &Payload) -> &mut Self {
        payload.write_trailing(&mut self.writer);
        self
    }

    fn end(&mut self) {
        self.writer.end_list();
    }

    fn revoked(&mut self, name: &str, id: u64, reason: Option<&str>) {
        let mut details = Dict::new();
        details.insert(name, id);
        if let Some(reason) = reason {
            details.insert("reason", reason);
        }
        self.begin(2).uint(0).dict(&details).end();
    }

    fn call(&mut self, call: &Call) {
        self.begin(3 + call.payload.trailing_len());
        match &call.request {
            CallId::V2(request) => self.request(*request),
            // Not a message of version 2; the peer answers with an error.
            CallId::V1(text) => self.text(text),
        };
        let options = with_passthru(call_options(&call.options), &call.payload);
        self.dict(&options).text(&call.procedure).payload(&call.payload).end();
    }
}

fn insert_flag(dict: &mut Dict, key: &str, value: bool, default: bool) {
    if value != default {
        dict.insert(key, value);
    }
}

fn insert_text(dict: &mut Dict, key: &str, text: Option<&str>) {
    if let Some(text) = text {
        dict.insert(key, text);
    }
}

fn insert_level(dict: &mut Dict, level: Option<u32>) {
    if let Some(level) = level {
        dict.insert(TRUSTLEVEL, u64::from(level));
    }
}

fn insert_policy(dict: &mut Dict, policy: MatchPolicy) {
    match policy {
        MatchPolicy::Exact => {}
        MatchPolicy::Prefix | MatchPolicy::Wildcard => dict.insert("match", policy.name()),
    }
}

fn position(since: &Since) -> Dict {
    let mut dict = Dict::new();
    if let Some(epoch) = &since.epoch {
        dict.insert("epoch", epoch.as_str());
    }
    if since.latest {
        dict.insert("latest", true);
    }
    if let Some(offset) = since.offset {
        dict.insert("offset", offset);
    }
    if let Some(at) = &since.at {
        let mut numbers = Dict::new();
        for (node, number) in at {
            numbers.insert(format!("{node:x}"), *number);
        }
        dict.insert("at", Value::Map(numbers));
    }
    dict
}

/// Adds the attributes of payload passthru mode.
fn with_passthru(mut dict: Dict, payload: &Payload) -> Dict {
    for (key, value) in payload.passthru().into_iter().flat_map(Passthru::entries) {
        dict.insert(key, value);
    }
    dict
}

fn progress(progress: bool) -> Dict {
    let mut dict = Dict::new();
    insert_flag(&mut dict, "progress", progress, false);
    dict
}

fn publish_options(options: &PublishOptions) -> Dict {
    let mut dict = Dict::new();
    insert_flag(&mut dict, "acknowledge", options.acknowledge, false);
    insert_flag(&mut dict, "exclude_me", options.exclude_me, true);
    insert_flag(&mut dict, "disclose_me", options.disclose_me, false);
    insert_flag(&mut dict, "retain", options.retain, false);
    insert_level(&mut dict, options.trustlevel);
    if let Some(filter) = &options.filter {
        insert_filter(&mut dict, filter);
    }
    dict
}

fn insert_filter(dict: &mut Dict, filter: &ReceiverFilter) {
    let sessions =
        |list: &BTreeSet<SessionId>| list.iter().map(|id| Value::UInt(id.get())).collect();
    let texts =
        |list: &BTreeSet<String>| list.iter().map(|text| Value::Text(text.clone())).collect();
    let mut insert = |key, list: Vec<Value>| {
        if !list.is_empty() {
            dict.insert(key, Value::List(list));
        }
    };
    insert("exclude", sessions(&filter.exclude));
    insert("exclude_authid", texts(&filter.exclude_authid));
    insert("exclude_authrole", texts(&filter.exclude_authrole));
    insert("eligible", filter.eligible.as_ref().map(sessions).unwrap_or_default());
    insert("eligible_authid", filter.eligible_authid.as_ref().map(texts).unwrap_or_default());
    insert("eligible_authrole", filter.eligible_authrole.as_ref().map(texts).unwrap_or_default());
}

fn call_options(options: &CallOptions) -> Dict {
    let mut dict = Dict::new();
    insert_flag(&mut dict, "receive_progress", options.receive_progress, false);
    insert_flag(&mut dict, "progress", options.progress, false);
    insert_flag(&mut dict, "disclose_me", options.disclose_me, false);
    if let Some(timeout) = options.timeout {
        dict.insert("timeout", timeout);
    }
    insert_text(&mut dict, "runmode", options.runmode.as_deref());
    insert_text(&mut dict, "rkey", options.rkey.as_deref());
    insert_level(&mut dict, options.trustlevel);
    dict
}

fn register_options(options: &RegisterOptions) -> Dict {
    let mut dict = Dict::new();
    insert_policy(&mut dict, options.policy);
    if options.invoke != super::InvocationPolicy::default() {
        dict.insert("invoke", options.invoke.name());
    }
    insert_flag(&mut dict, "disclose_caller", options.disclose_caller, false);
    insert_flag(&mut dict, "forward_timeout", options.forward_timeout, false);
    insert_flag(&mut dict, "force_reregister", options.force_reregister, false);
    insert_text(&mut dict, "nkey", options.nkey.as_deref());
    if let Some(concurrency) = options.concurrency {
        dict.insert("concurrency", u64::from(concurrency.get()));
    }
    dict
}
