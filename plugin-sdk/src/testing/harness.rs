//! The dialogue: sessions join, subscribe, publish and leave, and the plugin answers as it would
//! in the broker. Mistakes in the test itself (a topic without a route, a session that has left)
//! panic.

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

/// An event that a session has received; compares with `("topic", event)` alone, so that an empty
/// list needs no type.
#[derive(Debug, Clone)]
pub struct Received {
    /// Of which topic.
    pub topic: String,
    /// What.
    pub event: Event,
}

struct Member {
    session: Session,
    inbox: Vec<Received>,
    /// The reason and the message, if the plugin ended it.
    closed: Option<(String, String)>,
    here: bool,
}

impl Harness {
    /// Starts an instance, and checks what it says of itself.
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

    /// Adds a route without args; its name is its channel.
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

    /// Adds a route that the plugin may refuse.
    ///
    /// # Errors
    ///
    /// The text that the operator would see.
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

    /// A new session.
    pub fn join(&mut self, user: User) -> SessionId {
        self.joined += 1;
        let id = SessionId::from(self.joined);
        let session = user.session(id);
        self.members.insert(id, Member { session, inbox: Vec::new(), closed: None, here: true });
        id
    }

    /// The session goes away, and leaves every topic.
    ///
    /// # Errors
    ///
    /// The last fault of `on_unsubscribe`; the session has left all the same.
    #[track_caller]
    pub fn leave(&mut self, session: SessionId) -> Result<(), Failure> {
        self.present(session);
        self.end(session)
    }

    /// The session wants to subscribe. Once it has, doing so again changes nothing.
    ///
    /// # Errors
    ///
    /// The handler's.
    #[track_caller]
    pub fn subscribe(&mut self, session: SessionId, topic: &str) -> Result<(), Failure> {
        self.present(session);
        if self.is_subscribed(session, topic) {
            return Ok(());
        }
        let (request, hooks) = self.ask(Some(session), topic);
        let verdict = if hooks.subscribe {
            self.run(|plugin| plugin.on_subscribe(&request))?
        } else {
            Subscribe::Allow
        };
        let answer = match verdict {
            Subscribe::Allow => {
                self.world.audience.entry(topic.to_owned()).or_default().insert(session);
                Ok(())
            }
            Subscribe::Deny(refusal) => Err(refusal.into()),
        };
        self.settle()?;
        answer
    }

    /// The session leaves the topic. If it was not subscribed, nothing happens.
    ///
    /// # Errors
    ///
    /// The handler's fault; the session has left the topic all the same.
    #[track_caller]
    pub fn unsubscribe(&mut self, session: SessionId, topic: &str) -> Result<(), Failure> {
        let Some(sessions) = self.world.audience.get_mut(topic) else { return Ok(()) };
        if !sessions.remove(&session) {
            return Ok(());
        }
        let (request, hooks) = self.ask(Some(session), topic);
        if hooks.unsubscribe {
            self.run(|plugin| plugin.on_unsubscribe(&request))?;
        }
        self.settle()
    }

    /// The session publishes, to all but itself, as is usual in WAMP.
    ///
    /// # Errors
    ///
    /// The handler's.
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

    /// The back office publishes, to all.
    ///
    /// # Errors
    ///
    /// The handler's.
    #[track_caller]
    pub fn publish_as_host(&mut self, topic: &str, event: Event) -> Result<(), Failure> {
        self.publication(None, topic, event)
    }

    /// The session calls the topic as a procedure.
    ///
    /// # Errors
    ///
    /// The handler's.
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
        self.settle()?;
        Ok(answer?)
    }

    /// The timer of the topic's route has run down.
    ///
    /// # Errors
    ///
    /// The handler's fault.
    #[track_caller]
    pub fn timer(&mut self, topic: &str) -> Result<(), Failure> {
        let (request, hooks) = self.ask(None, topic);
        if hooks.timer {
            self.run(|plugin| plugin.on_timer(&request))?;
        }
        self.settle()
    }

    /// Moves the clock: `jackfield_plugin::now()`, and with it the values of the store that expire.
    /// Timers run by [`Harness::timer`] alone.
    pub fn advance(&mut self, time: Duration) {
        self.world.now = self.world.now.saturating_add(time);
    }

    /// The time that hooks read by `jackfield_plugin::now()`. Every test begins at 1 January 2026,
    /// 00:00 UTC.
    pub fn now(&self) -> SystemTime {
        self.world.time()
    }

    /// Another version takes over: the store and the subscriptions stay, memory does not.
    ///
    /// # Errors
    ///
    /// What the new version says against a route, as the operator would see it; the old one then
    /// serves on.
    pub fn reload(&mut self, plugin: impl Fn() -> Plugin + 'static) -> Result<(), String> {
        let mut next = plugin();
        check(&next);
        for route in &self.routes {
            next.configure(route).map_err(|error| format!("{}: {error}", route.name))?;
        }
        self.plugin = next;
        self.make = Box::new(plugin);
        Ok(())
    }

    /// What the session has received since this was last asked.
    #[track_caller]
    pub fn received(&mut self, session: SessionId) -> Vec<Received> {
        match self.members.get_mut(&session) {
            Some(member) => mem::take(&mut member.inbox),
            None => panic!("no session {session} has joined"),
        }
    }

    /// Whether the session is subscribed to the topic.
    pub fn is_subscribed(&self, session: SessionId, topic: &str) -> bool {
        self.world.audience.get(topic).is_some_and(|sessions| sessions.contains(&session))
    }

    /// The reason URI and the message with which the plugin ended the session, if it did.
    pub fn closed(&self, session: SessionId) -> Option<(&str, &str)> {
        let (reason, message) = self.members.get(&session)?.closed.as_ref()?;
        Some((reason, message))
    }

    /// From now on the store takes nothing more, or does again.
    pub fn set_store_full(&mut self, full: bool) {
        self.world.full = full;
    }

    /// The names of the hooks that the handler wants, as the contract spells them.
    #[track_caller]
    pub fn hooks(&self, handler: &str) -> Vec<&'static str> {
        let hooks = self.handler(handler).hooks();
        let named = [
            (hooks.subscribe, "subscribe"),
            (hooks.unsubscribe, "unsubscribe"),
            (hooks.publish, "publish"),
            (hooks.call, "call"),
            (hooks.timer, "timer"),
        ];
        named.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name).collect()
    }

    /// How often the handler's timer runs where the route does not say, if the handler does.
    #[track_caller]
    pub fn every(&self, handler: &str) -> Option<Duration> {
        self.handler(handler).every()
    }

    /// The line that the operator sees of the handler.
    #[track_caller]
    pub fn summary(&self, handler: &str) -> &str {
        self.handler(handler).summary()
    }

    /// The value that the plugin's store has under the key.
    #[track_caller]
    pub fn stored<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let bytes = self.world.get(key)?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Some(value),
            Err(error) => panic!("the store has something else under {key}: {error}"),
        }
    }

    /// What the plugin has logged since this was last asked.
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

/// What the host would not load either.
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
