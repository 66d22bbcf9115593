//! One call of the plugin: the request, the call itself, and its effects on the sessions.

use std::{
    mem,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use super::{Harness, Member, Received};
use crate::{
    Event, Plugin, Request, SessionId,
    handler::{Configured, Hooks},
    testing::{Failure, imports, pattern, user::DEFAULT_REALM, world::Effect},
};

/// The host's limit of effects per hook.
const MAX_EFFECTS: usize = 1_000;

impl Harness {
    /// The request for a topic, and the hooks of its handler.
    #[track_caller]
    pub(super) fn ask(&mut self, session: Option<SessionId>, topic: &str) -> (Request, Hooks) {
        self.begin(session, topic);
        let found = self.routes.iter().find_map(|route| {
            pattern::attributes(&route.channel, topic).map(|found| (route, found))
        });
        let Some((route, attributes)) = found else { panic!("no route matches {topic}") };
        let request = Request {
            route: Arc::new(route.clone()),
            topic: topic.to_owned().into(),
            attributes: attributes.into(),
            session: session.map(|id| self.member(id).session.clone()).into(),
            subscribers: u32::try_from(self.world.subscribers(topic).len())
                .unwrap_or(u32::MAX)
                .into(),
        };
        (request, self.handler(&route.handler).hooks())
    }

    /// Resets the world for a hook about a topic.
    #[track_caller]
    pub(super) fn begin(&mut self, session: Option<SessionId>, topic: &str) {
        self.world.realm = match session {
            Some(id) => self.member(id).realm.clone(),
            None => DEFAULT_REALM.to_owned(),
        };
        topic.clone_into(&mut self.world.topic);
        self.world.deferred = None;
        self.world.may_wait = false;
    }

    #[track_caller]
    pub(super) fn handler(&self, name: &str) -> &dyn Configured {
        match self.plugin.handlers.iter().find(|handler| handler.name() == name) {
            Some(handler) => &**handler,
            None => panic!("the plugin has no handler {name}"),
        }
    }

    #[track_caller]
    pub(super) fn present(&self, id: SessionId) {
        assert!(self.member(id).here, "session {id} has left");
    }

    /// A session that has joined; it may have left, because handlers learn who left a topic.
    #[track_caller]
    pub(super) fn member(&self, id: SessionId) -> &Member {
        match self.members.get(&id) {
            Some(member) => member,
            None => panic!("no session {id} has joined"),
        }
    }

    /// Calls the plugin. A panic undoes everything and replaces the instance. A stateless plugin has
    /// a fresh instance for each call.
    pub(super) fn run<T>(&mut self, hook: impl FnOnce(&mut Plugin) -> T) -> Result<T, Failure> {
        if self.plugin.is_stateless() {
            self.renew();
        }
        let before = self.world.store.clone();
        let outside = imports::exchange(mem::take(&mut self.world));
        let plugin = &mut self.plugin;
        let answer = panic::catch_unwind(AssertUnwindSafe(|| hook(plugin)));
        self.world = imports::exchange(outside);
        let fault = match answer {
            Ok(answer) if self.world.effects.len() <= MAX_EFFECTS => return Ok(answer),
            Ok(_) => format!("more than {MAX_EFFECTS} effects"),
            Err(payload) => match payload.downcast::<String>() {
                Ok(text) => *text,
                Err(payload) => {
                    payload.downcast_ref::<&str>().map_or("a panic", |text| *text).to_owned()
                }
            },
        };
        self.world.store = before;
        self.world.effects.clear();
        if let Some(number) = self.world.deferred.take() {
            self.world.awaited.remove(&number);
        }
        self.renew();
        Err(Failure::Fault(fault))
    }

    /// Replaces the instance by a fresh one.
    fn renew(&mut self) {
        let mut fresh = (self.make)();
        if let Err(error) = self.configure_all(&mut fresh) {
            panic!("a fresh instance refuses the route {error}");
        }
        self.plugin = fresh;
    }

    /// Configures an instance in the world of this harness: its store, its time and its log.
    pub(super) fn configure_all(&mut self, plugin: &mut Plugin) -> Result<(), String> {
        let outside = imports::exchange(mem::take(&mut self.world));
        let configured = plugin.configure_all(&self.routes);
        self.world = imports::exchange(outside);
        self.world.effects.clear();
        configured
    }

    /// Applies the effects of the last hook in order.
    pub(super) fn settle(&mut self) -> Result<(), Failure> {
        let mut answer = Ok(());
        let realm = self.world.realm.clone();
        for effect in mem::take(&mut self.world.effects) {
            // An earlier effect may have called hooks of a session of another realm.
            self.world.realm.clone_from(&realm);
            match effect {
                Effect::Publish { topic, event, exclude, eligible } => {
                    self.deliver(&topic, &event, &exclude, eligible.as_deref());
                }
                Effect::Send { session, topic, event } => {
                    self.deliver(&topic, &event, &[], Some(&[session]));
                }
                Effect::Unsubscribe { session, topic } => {
                    answer = answer.and(self.unsubscribe(session, &topic));
                }
                Effect::Request(request) => self.world.requests.push(request),
                Effect::Call(call) => self.world.calls.push(call),
                Effect::Complete(number, result) => {
                    if self.world.awaited.remove(&number) {
                        self.world.completed.insert(number, result);
                    }
                }
                Effect::Close { session, reason, message } => {
                    if let Some(member) = self.members.get_mut(&session)
                        && member.here
                    {
                        member.closed = Some((reason, message));
                        answer = answer.and(self.end(session));
                    }
                }
            }
        }
        answer
    }

    pub(super) fn end(&mut self, session: SessionId) -> Result<(), Failure> {
        if let Some(member) = self.members.get_mut(&session) {
            member.here = false;
        }
        let mut answer = Ok(());
        for (_, topic) in self.world.audience.keys().cloned().collect::<Vec<_>>() {
            answer = self.unsubscribe(session, &topic).and(answer);
        }
        answer
    }

    /// Removes a subscription; returns whether there was one.
    pub(super) fn remove(&mut self, session: SessionId, topic: &str) -> bool {
        let Some(member) = self.members.get(&session) else { return false };
        let place = (member.realm.clone(), topic.to_owned());
        self.world.audience.get_mut(&place).is_some_and(|sessions| sessions.remove(&session))
    }

    pub(super) fn deliver(
        &mut self,
        topic: &str,
        event: &Event,
        exclude: &[SessionId],
        eligible: Option<&[SessionId]>,
    ) {
        for id in self.world.subscribers(topic) {
            if exclude.contains(&id) || eligible.is_some_and(|only| !only.contains(&id)) {
                continue;
            }
            if let Some(member) = self.members.get_mut(&id) {
                member.inbox.push(Received { topic: topic.to_owned(), event: event.clone() });
            }
        }
    }
}
