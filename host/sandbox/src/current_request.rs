//! Request of the current call, owned by the instance's state: the plugin asks for what it reads
//! (`imports/request.rs`).
//!
//! All texts are in one buffer that is kept from call to call, so that a call copies a few hundred
//! bytes and allocates nothing.

use crate::request::{Caller, EventTexts, HookRequest};

/// The request of the current call, or of the last one.
#[derive(Debug, Default)]
pub(crate) struct CurrentRequest {
    /// Whether it is the request of a hook. `describe` and `configure` have none.
    is_hook: bool,
    texts: String,
    /// The end of each text.
    ends: Vec<usize>,
    /// The number of attributes.
    attributes: usize,
    session: Option<u64>,
    subscribers: u32,
}

/// The texts that each request has, in their order. Name and value of each attribute follow, then
/// the roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    Handler,
    Topic,
    Route,
    Authid,
    Authrole,
    Authmethod,
    Claims,
    Args,
    Kwargs,
}

/// Number of texts that each request has.
const FIXED: usize = Text::Kwargs as usize + 1;
/// Memory that is kept for the next call, in bytes.
const MAX_KEPT_BYTES: usize = 64 << 10;

impl CurrentRequest {
    /// A hook begins.
    pub(crate) fn begin(&mut self, request: &HookRequest<'_>, event: EventTexts<'_>) {
        let HookRequest { handler, route, topic, attributes, session, subscribers, .. } = *request;
        self.begin_outside(handler);
        self.push_all([topic, route]);
        match session {
            Some(Caller { authid, authrole, authmethod, claims, .. }) => {
                self.push_all([authid, authrole, authmethod, claims]);
            }
            None => self.push_all(["", "", "", "{}"]),
        }
        self.push_all([event.args, event.kwargs]);
        for &(name, value) in attributes {
            self.push_all([name, value]);
        }
        self.push_all(session.iter().flat_map(|session| session.roles).map(String::as_str));
        self.is_hook = true;
        self.attributes = attributes.len();
        self.session = session.map(|session| session.id);
        self.subscribers = subscribers;
    }

    /// A call begins that is no hook, for a handler or for none.
    pub(crate) fn begin_outside(&mut self, handler: &str) {
        self.is_hook = false;
        self.texts.clear();
        self.ends.clear();
        self.push(handler);
    }

    /// The call has ended: the memory of a large event is given back.
    pub(crate) fn end(&mut self) {
        if self.texts.capacity() > MAX_KEPT_BYTES {
            *self = Self::default();
        }
    }

    /// Whether a hook runs.
    pub(crate) fn is_hook(&self) -> bool {
        self.is_hook
    }

    /// A text; empty where the call has none.
    pub(crate) fn text(&self, text: Text) -> &str {
        self.at(text as usize)
    }

    /// Names and values of the attributes.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        let places = (FIXED..).step_by(2).take(self.attributes);
        places.map(|place| (self.at(place), self.at(place + 1)))
    }

    /// The roles of the session.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &str> {
        let places = FIXED + 2 * self.attributes..self.ends.len();
        places.map(|place| self.at(place))
    }

    /// The session that sent the message.
    pub(crate) fn session(&self) -> Option<u64> {
        self.session
    }

    /// The number of sessions subscribed to the topic.
    pub(crate) fn subscribers(&self) -> u32 {
        self.subscribers
    }

    fn push_all<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) {
        for text in texts {
            self.push(text);
        }
    }

    fn push(&mut self, text: &str) {
        self.texts.push_str(text);
        self.ends.push(self.texts.len());
    }

    fn at(&self, place: usize) -> &str {
        let begin = place.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        let text =
            begin.zip(self.ends.get(place)).and_then(|(begin, &end)| self.texts.get(begin..end));
        text.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audience::RealmId;

    fn request<'a>(
        attributes: &'a [(&'a str, &'a str)],
        session: Option<Caller<'a>>,
    ) -> HookRequest<'a> {
        HookRequest {
            realm: RealmId(1),
            handler: "acme.chat",
            route: "acme.rooms",
            topic: "acme/chat/1",
            attributes,
            session,
            login: None,
            subscribers: 3,
            depth: 0,
        }
    }

    fn caller(roles: &[String]) -> Caller<'_> {
        Caller {
            id: 7,
            authid: "ann",
            authrole: "member",
            roles,
            authmethod: "ticket",
            claims: "{\"id\":1}",
            client: 1,
            anonymous_from: None,
        }
    }

    #[test]
    fn keeps_what_a_hook_may_read() {
        let mut current = CurrentRequest::default();
        let roles = ["member".to_owned(), String::new(), "clerk".to_owned()];
        let attributes = [("room", "1"), ("floor", "")];
        let event = EventTexts { args: "[1]", kwargs: "{\"a\":2}" };
        current.begin(&request(&attributes, Some(caller(&roles))), event);
        assert!(current.is_hook());
        let texts = [
            (Text::Handler, "acme.chat"),
            (Text::Topic, "acme/chat/1"),
            (Text::Route, "acme.rooms"),
            (Text::Authid, "ann"),
            (Text::Authrole, "member"),
            (Text::Authmethod, "ticket"),
            (Text::Claims, "{\"id\":1}"),
            (Text::Args, "[1]"),
            (Text::Kwargs, "{\"a\":2}"),
        ];
        for (text, expected) in texts {
            assert_eq!(current.text(text), expected, "{text:?}");
        }
        assert!(current.attributes().eq(attributes));
        assert!(current.roles().eq(&roles));
        assert_eq!((current.session(), current.subscribers()), (Some(7), 3));
    }

    #[test]
    fn forgets_the_call_before() {
        let mut current = CurrentRequest::default();
        let roles = ["member".to_owned()];
        current.begin(&request(&[("room", "1")], Some(caller(&roles))), EventTexts::NONE);
        current.begin(&request(&[], None), EventTexts::NONE);
        assert_eq!(current.attributes().count(), 0);
        assert_eq!(current.roles().count(), 0);
        assert_eq!(current.session(), None);
        assert_eq!((current.text(Text::Authid), current.text(Text::Claims)), ("", "{}"));
        assert_eq!((current.text(Text::Args), current.text(Text::Kwargs)), ("[]", "{}"));
        current.begin_outside("acme.chat");
        assert!(!current.is_hook());
        assert_eq!((current.text(Text::Handler), current.text(Text::Topic)), ("acme.chat", ""));
    }

    #[test]
    fn gives_the_memory_of_large_events_back() {
        let mut current = CurrentRequest::default();
        let large = "x".repeat(1 << 20);
        current.begin(&request(&[], None), EventTexts { args: &large, kwargs: "{}" });
        current.end();
        assert!(current.texts.capacity() <= MAX_KEPT_BYTES);
        current.begin(&request(&[], None), EventTexts::NONE);
        let kept = current.texts.capacity();
        current.end();
        assert_eq!(current.texts.capacity(), kept);
    }
}
