//! Runner: the lines of a script, one after another.
//!
//! A message is handled to its end, and queued to every receiver, before the next line. So nothing
//! has to be waited for, except timers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jackfield_config::Config;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::client::{Client, Item};
use super::failure::Failure;
use super::pattern::Bindings;
use super::script::{Action, Declaration, Expected, Line, Script, Sent};
use super::symbol::Version;
use super::value::Value;
use super::world::World;

mod inbox;

/// The maximum time to wait for a message, in a site with timers.
const MAX_PATIENCE: Duration = Duration::from_secs(5);

/// The HELLO of a client that is not raw, with the roles and features of a client library.
const HELLO_DETAILS: &str = r#"{"agent": "dialogue", "roles": {
    "publisher": {"features": {"publisher_exclusion": true}},
    "subscriber": {"features": {"pattern_based_subscription": true, "subscription_revocation": true}},
    "caller": {"features": {"call_canceling": true, "progressive_call_results": true}},
    "callee": {"features": {"call_canceling": true, "progressive_call_results": true, "registration_revocation": true}}
}}"#;

/// The state of a running script.
pub(super) struct Runner<'w> {
    world: &'w World,
    config: &'w Config,
    clients: BTreeMap<String, Client>,
    /// The address of each name, so that a client that returns is the same client.
    addresses: BTreeMap<String, Ipv4Addr>,
    bindings: Bindings,
    arrived: Arc<Notify>,
    deadline: Instant,
    timeout: Duration,
}

impl<'w> Runner<'w> {
    pub(super) fn new(world: &'w World, config: &'w Config, timeout: Duration) -> Self {
        Self {
            world,
            config,
            clients: BTreeMap::new(),
            addresses: BTreeMap::new(),
            bindings: Bindings::default(),
            arrived: Arc::default(),
            deadline: Instant::now() + timeout,
            timeout,
        }
    }

    /// Runs the script up to its first failure. `after` is called after each line.
    pub(super) async fn run(
        mut self,
        script: &Script,
        mut after: impl FnMut(&Line),
    ) -> Vec<Failure> {
        for line in &script.lines {
            let (deadline, timeout) = (self.deadline, self.timeout);
            let step = Box::pin(self.step(line));
            let done = timeout_at(deadline, step).await.unwrap_or_else(|_| {
                let message = format!("the script takes longer than {timeout:?}");
                let help = "the option --timeout sets the maximum time of each script";
                Err(Failure::new(line.range.clone(), message).with_help(help))
            });
            after(line);
            if let Err(failure) = done {
                return vec![failure];
            }
        }
        let end = script.lines.last().map_or(0..0, |line| line.range.clone());
        let unread =
            self.clients.iter_mut().map(|(name, client)| inbox::check_read(client, name, &end));
        unread.filter_map(Result::err).collect()
    }

    async fn step(&mut self, line: &Line) -> Result<(), Failure> {
        self.settle(line.number).await;
        match &line.action {
            Action::Join(declaration) => self.join(declaration, line).await?,
            Action::Send(name, sent) => self.send(name, sent, line).await?,
            Action::Expect(name, expected) => return self.expect(name, expected, line).await,
            Action::Leave(name) => self.leave(name, line).await?,
            Action::Disconnect(name) => self.present(name, &line.range)?.leave().await,
            Action::Wait(time) => sleep(*time).await,
        }
        self.settle(line.number).await;
        Ok(())
    }

    /// Moves everything that has arrived into the inboxes. A closing session informs handlers,
    /// which may close further sessions; each closes once.
    async fn settle(&mut self, line: usize) {
        loop {
            let mut has_closed = false;
            for (name, client) in &mut self.clients {
                has_closed |= client.settle(line).await;
                if let Some(session) = client.session() {
                    self.bindings.bind(name, session);
                }
            }
            if !has_closed {
                return;
            }
        }
    }

    async fn join(&mut self, declaration: &Declaration, line: &Line) -> Result<(), Failure> {
        let name = &declaration.name;
        if let Some(client) = self.clients.get_mut(name) {
            inbox::check_read(client, name, &line.range)?;
            if !client.is_closed {
                let failure =
                    Failure::new(line.range.clone(), format!("`{name}` is connected already"));
                return Err(failure.with_help(format!("end its session first: `{name} leaves`")));
            }
        }
        let number = u8::try_from(self.addresses.len() + 1).unwrap_or(u8::MAX);
        // An address for documentation, RFC 5737.
        let address = Ipv4Addr::new(192, 0, 2, number);
        let address = *self.addresses.entry(name.clone()).or_insert(address);
        let (realms, limits) = (&self.world.realms, self.config.limits);
        let client =
            Client::connect(declaration, address, realms, limits, &self.arrived, line.number);
        let mut client = client.map_err(|error| no_randomness(error, &line.range))?;
        if !declaration.is_raw {
            if declaration.version == Version::V2 {
                let default = self.world.realms.default_realm();
                let realm = declaration.realm.as_deref().unwrap_or(default.realm().name());
                let hello = format!("[1, {}, {HELLO_DETAILS}]", Value::text(realm));
                client.send(hello).await.map_err(|error| no_randomness(error, &line.range))?;
            }
            if client.session().is_none() {
                let message = format!("`{name}` cannot join");
                let failure = Failure::new(line.range.clone(), message);
                return Err(failure.with_actual(inbox::shown(client.inbox.front(), None)));
            }
            client.pop();
        }
        self.clients.insert(name.clone(), client);
        Ok(())
    }

    async fn send(&mut self, name: &str, sent: &Sent, line: &Line) -> Result<(), Failure> {
        let bindings = self.bindings.clone();
        let client = self.present(name, &line.range)?;
        let failed = |message: String| Failure::new(line.range.clone(), message);
        let unbound = |name: String| failed(format!("`${name}` has no value here"));
        let text = match sent {
            Sent::Symbol(symbol) => {
                let symbol = symbol.resolve(&bindings).map_err(unbound)?;
                let message = client.ledger.encode(&symbol);
                let message =
                    message.map_err(|why| failed(format!("`{name}` cannot send it: {why}")))?;
                client.ledger.sent(&message, true);
                message.to_string()
            }
            Sent::Raw(value) => {
                let message = bindings.resolve(value).map_err(unbound)?;
                client.ledger.sent(&message, false);
                message.to_string()
            }
            Sent::Frame(text) => text.clone(),
        };
        client.send(text).await.map_err(|error| no_randomness(error, &line.range))
    }

    async fn expect(
        &mut self,
        name: &str,
        expected: &Expected,
        line: &Line,
    ) -> Result<(), Failure> {
        let patience = Instant::now() + MAX_PATIENCE;
        loop {
            let Some(client) = self.clients.get_mut(name) else {
                return Err(Failure::new(line.range.clone(), format!("`{name}` is not connected")));
            };
            if inbox::take(client, name, expected, &mut self.bindings, &line.range)? {
                return Ok(());
            }
            let may_come = self.world.has_timers && !client.is_closed;
            if !may_come || timeout_at(patience, self.arrived.notified()).await.is_err() {
                let message = format!("`{name}` has received nothing");
                let failure = Failure::new(line.range.clone(), message);
                let failure = failure.with_expected(inbox::written(expected));
                return Err(if may_come {
                    failure.with_help(format!("timers had {MAX_PATIENCE:?} to send something"))
                } else {
                    failure
                });
            }
            self.settle(line.number).await;
        }
    }

    async fn leave(&mut self, name: &str, line: &Line) -> Result<(), Failure> {
        let client = self.present(name, &line.range)?;
        let goodbye = r#"[6, {}, "wamp.close.normal"]"#;
        if client.is_v1() {
            client.leave().await;
            return Ok(());
        }
        client.send(goodbye.to_owned()).await.map_err(|error| no_randomness(error, &line.range))?;
        // The router's GOODBYE, and the end of the connection.
        let is_answer =
            |item: &Item| matches!(item, Item::Closed { .. }) || inbox::is_goodbye(item);
        while client.inbox.front().is_some_and(is_answer) {
            client.pop();
        }
        Ok(())
    }

    /// Returns a client that can send. All messages that it has received so far have been expected.
    fn present(&mut self, name: &str, range: &Range<usize>) -> Result<&mut Client, Failure> {
        let not_connected = || Failure::new(range.clone(), format!("`{name}` is not connected"));
        let client = self.clients.get_mut(name).ok_or_else(not_connected)?;
        inbox::check_read(client, name, range)?;
        if client.is_closed {
            let failure = Failure::new(range.clone(), format!("the session of `{name}` has ended"));
            return Err(failure.with_help(format!("`client {name}` connects it again")));
        }
        Ok(client)
    }
}

fn no_randomness(error: getrandom::Error, range: &Range<usize>) -> Failure {
    Failure::new(range.clone(), format!("the system has no randomness to give: {error}"))
}
