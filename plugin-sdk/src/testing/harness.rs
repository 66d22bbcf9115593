//! The harness: sessions join, subscribe, publish and leave, and the plugin answers as in the
//! broker. Errors of the test itself (a topic without a route, a session that has left) panic.

#![expect(
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::needless_pass_by_value,
    reason = "a mistake in a test has to stop the test, and events are made where they are sent"
)]

use std::{
    collections::BTreeMap,
    mem,
    time::{Duration, SystemTime},
};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Failure, User, world::World};
use crate::{Event, Plugin, Publish, Route, Session, SessionId, Subscribe, log::Level};

mod access;
mod outgoing;
mod turn;

/// A broker for one plugin.
pub struct Harness {
    make: Box<dyn Fn() -> Plugin>,
    plugin: Plugin,
    routes: Vec<Route>,
    members: BTreeMap<SessionId, Member>,
    joined: u64,
    world: World,
}

/// An event that a session has received. It compares with `("topic", event)` only, so that an
/// empty list needs no type.
#[derive(Debug, Clone)]
pub struct Received {
    /// The topic of the event.
    pub topic: String,
    /// The payload.
    pub event: Event,
}

struct Member {
    session: Session,
    realm: String,
    inbox: Vec<Received>,
    /// Reason and message, if the plugin ended the session.
    closed: Option<(String, String)>,
    here: bool,
}

impl Harness {
    /// Starts an instance and checks its description.
    pub fn new(plugin: impl Fn() -> Plugin + 'static) -> Self {
        let first = plugin();
        check(&first);
        Self {
            make: Box::new(plugin),
            plugin: first,
            routes: Vec::new(),
            members: BTreeMap::new(),
            joined: 0,
            world: World::default(),
        }
    }

    /// Adds a route without args, with its channel as its name.
    #[track_caller]
    pub fn route(&mut self, channel: &str, handler: &str) {
        self.route_with(channel, handler, &Value::Null);
    }

    /// Adds a route with `handler.args`.
    #[track_caller]
    pub fn route_with(&mut self, channel: &str, handler: &str, args: &Value) {
        if let Err(text) = self.try_route(channel, handler, args) {
            panic!("the plugin refuses the route {channel}: {text}");
        }
    }

    /// Adds a route with `handler.args` that the plugin may refuse.
    ///
    /// # Errors
    ///
    /// The error for the operator.
    pub fn try_route(&mut self, channel: &str, handler: &str, args: &Value) -> Result<(), String> {
        let route = Route {
            handler: handler.to_owned(),
            name: channel.to_owned(),
            channel: channel.to_owned(),
            args: args.to_string(),
        };
        self.run(|plugin| plugin.configure(&route))
            .map_err(|failure| failure.to_string())?
            .map_err(|error| error.to_string())?;
        self.routes.push(route);
        Ok(())
    }

    /// Opens a session.
    pub fn join(&mut self, user: User) -> SessionId {
        self.joined += 1;
        let id = SessionId::from(self.joined);
        let realm = user.realm.clone();
        let session = user.session(id);
        let member = Member { session, realm, inbox: Vec::new(), closed: None, here: true };
        self.members.insert(id, member);
        id
    }

    /// Ends the session and its subscriptions.
    ///
    /// # Errors
    ///
    /// The last fault of `on_unsubscribe`; the session has left nevertheless.
    #[track_caller]
    pub fn leave(&mut self, session: SessionId) -> Result<(), Failure> {
        self.present(session);
        self.end(session)
    }

    /// Subscribes the session. A second subscription has no effect.
    ///
    /// # Errors
    ///
    /// The refusal or fault of the handler.
    #[track_caller]
    pub fn subscribe(&mut self, session: SessionId, topic: &str) -> Result<(), Failure> {
        self.present(session);
        if self.is_subscribed(session, topic) {
            return Ok(());
        }
        let (request, hooks) = self.ask(Some(session), topic);
        let verdict = if hooks.subscribe {
            self.world.may_wait = true;
            self.run(|plugin| plugin.on_subscribe(&request))?
        } else {
            Subscribe::Allow
        };
        let answer = match verdict {
            Subscribe::Allow => {
                let place = self.world.place(topic);
                self.world.audience.entry(place).or_default().insert(session);
                Ok(())
            }
            Subscribe::Deny(refusal) => Err(refusal.into()),
        };
        self.settle()?;
        answer
    }

    /// Unsubscribes the session. Has no effect if it was not subscribed.
    ///
    /// # Errors
    ///
    /// The fault of the handler; the session is unsubscribed nevertheless.
    #[track_caller]
    pub fn unsubscribe(&mut self, session: SessionId, topic: &str) -> Result<(), Failure> {
        if !self.remove(session, topic) {
            return Ok(());
        }
        let (request, hooks) = self.ask(Some(session), topic);
        if hooks.unsubscribe {
            self.run(|plugin| plugin.on_unsubscribe(&request))?;
        }
        self.settle()
    }

    /// Publishes as the session, to all subscribers except itself, as is the default in WAMP.
    ///
    /// # Errors
    ///
    /// The refusal or fault of the handler.
    #[track_caller]
    pub fn publish(
        &mut self,
        session: SessionId,
        topic: &str,
        event: Event,
    ) -> Result<(), Failure> {
        self.present(session);
        self.publication(Some(session), topic, event)
    }

    /// Publishes as the host, as the HTTP API does, to all subscribers.
    ///
    /// # Errors
    ///
    /// The refusal or fault of the handler.
    #[track_caller]
    pub fn publish_as_host(&mut self, topic: &str, event: Event) -> Result<(), Failure> {
        self.publication(None, topic, event)
    }

    /// Calls the topic as a procedure, as the session.
    ///
    /// # Errors
    ///
    /// The refusal or fault of the handler.
    #[track_caller]
    pub fn call(
        &mut self,
        session: SessionId,
        topic: &str,
        event: Event,
    ) -> Result<Event, Failure> {
        self.present(session);
        let (request, _) = self.ask(Some(session), topic);
        let answer = self.run(|plugin| plugin.on_call(&request, &event))?;
        if answer.is_err()
            && let Some(number) = self.world.deferred.take()
        {
            self.world.awaited.remove(&number);
        }
        self.settle()?;
        Ok(answer?)
    }

    /// Runs the timer hook of the topic once.
    ///
    /// # Errors
    ///
    /// The fault of the handler.
    #[track_caller]
    pub fn timer(&mut self, topic: &str) -> Result<(), Failure> {
        let (request, hooks) = self.ask(None, topic);
        if hooks.timer {
            self.run(|plugin| plugin.on_timer(&request))?;
        }
        self.settle()
    }

    /// Advances the clock of `jackfield_plugin::now()` and of the store's expiry. Timers run by
    /// [`Harness::timer`] only.
    pub fn advance(&mut self, time: Duration) {
        self.world.now = self.world.now.saturating_add(time);
    }

    /// Sets the clock back, as an operator may do with that of a server.
    pub fn set_back(&mut self, time: Duration) {
        self.world.now = self.world.now.saturating_sub(time);
    }

    /// The time of `jackfield_plugin::now()`. Every test begins at 1 January 2026, 00:00 UTC.
    pub fn now(&self) -> SystemTime {
        self.world.time()
    }

    /// Replaces the plugin by another version, which keeps the store and the subscriptions.
    ///
    /// # Errors
    ///
    /// The error of a route that the new version refuses; the old version stays.
    pub fn reload(&mut self, plugin: impl Fn() -> Plugin + 'static) -> Result<(), String> {
        let mut next = plugin();
        check(&next);
        self.configure_all(&mut next)?;
        self.plugin = next;
        self.make = Box::new(plugin);
        Ok(())
    }

    /// Takes the events that the session has received since the last call.
    #[track_caller]
    pub fn received(&mut self, session: SessionId) -> Vec<Received> {
        match self.members.get_mut(&session) {
            Some(member) => mem::take(&mut member.inbox),
            None => panic!("no session {session} has joined"),
        }
    }

    /// Whether the session is subscribed to the topic.
    pub fn is_subscribed(&self, session: SessionId, topic: &str) -> bool {
        let Some(member) = self.members.get(&session) else { return false };
        let place = (member.realm.clone(), topic.to_owned());
        self.world.audience.get(&place).is_some_and(|sessions| sessions.contains(&session))
    }

    /// Ends the session and its subscriptions without a call of `on_unsubscribe`, as if the hook had
    /// been lost: the handler was removed for a while, or the server was restarted.
    #[track_caller]
    pub fn vanish(&mut self, session: SessionId) {
        self.present(session);
        if let Some(member) = self.members.get_mut(&session) {
            member.here = false;
        }
        for sessions in self.world.audience.values_mut() {
            sessions.remove(&session);
        }
    }

    /// Reason URI and message, if the plugin ended the session.
    pub fn closed(&self, session: SessionId) -> Option<(&str, &str)> {
        let (reason, message) = self.members.get(&session)?.closed.as_ref()?;
        Some((reason, message))
    }

    /// Makes the store refuse writes, or accept them again.
    pub fn set_store_full(&mut self, full: bool) {
        self.world.full = full;
    }

    /// The names of the handler's hooks, as the contract spells them.
    #[track_caller]
    pub fn hooks(&self, handler: &str) -> Vec<&'static str> {
        let hooks = self.handler(handler).hooks();
        let named = [
            (hooks.subscribe, "subscribe"),
            (hooks.unsubscribe, "unsubscribe"),
            (hooks.publish, "publish"),
            (hooks.call, "call"),
            (hooks.timer, "timer"),
            (hooks.authorize, "authorize"),
            (hooks.find, "find"),
            (hooks.ticket, "ticket"),
        ];
        named.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name).collect()
    }

    /// The handler's default interval of the timer.
    #[track_caller]
    pub fn every(&self, handler: &str) -> Option<Duration> {
        self.handler(handler).every()
    }

    /// The handler's description for the operator.
    #[track_caller]
    pub fn summary(&self, handler: &str) -> &str {
        self.handler(handler).summary()
    }

    /// The value of a key in the plugin's store.
    #[track_caller]
    pub fn stored<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let bytes = self.world.get(key)?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Some(value),
            Err(error) => panic!("the store has something else under {key}: {error}"),
        }
    }

    /// The keys in the plugin's store, in order.
    pub fn keys(&self) -> Vec<String> {
        self.world.entries("", u32::MAX).into_iter().map(|(key, _)| key).collect()
    }

    /// The number of writes to the store.
    #[cfg(test)]
    pub(crate) fn written(&self) -> u64 {
        self.world.writes
    }

    /// Takes the lines that the plugin has logged since the last call.
    pub fn logged(&mut self) -> Vec<(Level, String)> {
        mem::take(&mut self.world.lines)
    }

    #[track_caller]
    fn publication(
        &mut self,
        publisher: Option<SessionId>,
        topic: &str,
        event: Event,
    ) -> Result<(), Failure> {
        let (request, hooks) = self.ask(publisher, topic);
        let verdict = if hooks.publish {
            self.run(|plugin| plugin.on_publish(&request, &event))?
        } else {
            Publish::Broadcast
        };
        let mut answer = Ok(());
        match verdict {
            Publish::Broadcast => self.deliver(topic, &event, publisher.as_slice(), None),
            Publish::Deliver(mut delivery) => {
                delivery.exclude.extend(publisher);
                let event = delivery.event.unwrap_or(event);
                self.deliver(topic, &event, &delivery.exclude, delivery.eligible.as_deref());
            }
            Publish::Drop => {}
            Publish::Reject(refusal) => answer = Err(refusal.into()),
        }
        self.settle()?;
        answer
    }
}

impl PartialEq<(&str, Event)> for Received {
    fn eq(&self, (topic, event): &(&str, Event)) -> bool {
        self.topic == *topic && self.event == *event
    }
}

/// Panics for plugins that the host would not load.
#[track_caller]
fn check(plugin: &Plugin) {
    assert!(!plugin.name.is_empty(), "the plugin has no name");
    for (index, handler) in plugin.handlers.iter().enumerate() {
        let name = handler.name();
        assert!(!name.is_empty(), "a handler has no name");
        let before = plugin.handlers.iter().take(index);
        assert!(before.into_iter().all(|other| other.name() != name), "two handlers named {name}");
    }
}
