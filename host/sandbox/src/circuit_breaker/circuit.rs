//! One circuit: closed, open, or half open. Pure: time is a parameter.

use std::time::{Duration, Instant};

use crate::circuit_breaker::CircuitState;
use crate::policy::BreakerPolicy;

/// State of one circuit.
#[derive(Debug)]
pub(super) struct Circuit {
    /// Faults since `since`, or since the circuit opened.
    faults: u32,
    successes: u32,
    since: Instant,
    last_fault: Instant,
    clients: Distinct,
    sessions: Distinct,
    topics: Distinct,
    /// None while closed.
    opened: Option<Pause>,
    /// Name in log lines; empty while closed.
    name: String,
}

/// Open until `until`, half open afterwards.
#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    length: Duration,
}

/// Distinct values, up to a maximum.
#[derive(Debug, Default)]
struct Distinct(Vec<u64>);

/// The origin of a fault.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sources {
    pub(super) client: Option<u64>,
    pub(super) session: Option<u64>,
    pub(super) topic: u64,
}

/// Faults that open a circuit: their number, and the number of their different sources.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rule {
    pub(super) faults: u32,
    pub(super) clients: usize,
    pub(super) sessions: usize,
    pub(super) topics: usize,
    /// Whether at least half of the calls have to fail.
    pub(super) half: bool,
}

/// A circuit has opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) faults: u32,
    pub(super) pause: Duration,
    /// Whether it was half open before.
    pub(super) again: bool,
}

/// Distinct clients counted.
const MAX_CLIENTS: usize = 64;

impl Circuit {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            faults: 0,
            successes: 0,
            since: now,
            last_fault: now,
            clients: Distinct::default(),
            sessions: Distinct::default(),
            topics: Distinct::default(),
            opened: None,
            name: String::new(),
        }
    }

    /// Counts a fault. Returns the opening it causes.
    pub(super) fn fault(
        &mut self,
        now: Instant,
        from: Sources,
        rule: Rule,
        policy: &BreakerPolicy,
    ) -> Option<Opened> {
        if self.refuses_until(now).is_some() {
            // The call began before the circuit opened.
            return None;
        }
        if self.opened.is_none() && now.saturating_duration_since(self.since) >= policy.window {
            self.restart(now);
        }
        self.last_fault = now;
        let is_new = self.clients.note(from.client, MAX_CLIENTS);
        if rule.clients > 0 && !is_new {
            // Each client counts once, however often it fails.
            return None;
        }
        self.faults = self.faults.saturating_add(1);
        self.sessions.note(from.session, rule.sessions);
        self.topics.note(Some(from.topic), rule.topics);
        let enough = self.clients.are(rule.clients)
            && self.sessions.are(rule.sessions)
            && self.topics.are(rule.topics)
            && (!rule.half || self.faults >= self.successes);
        // A half-open circuit needs no further faults.
        if !enough || (self.opened.is_none() && self.faults < rule.faults) {
            return None;
        }
        let length = self.opened.map_or(policy.pause, |last| last.length.saturating_mul(2));
        let length = length.min(policy.max_pause);
        let (faults, again) = (self.faults, self.opened.is_some());
        self.opened = Some(Pause { until: now + length, length });
        self.restart(now);
        Some(Opened { faults, pause: length, again })
    }

    /// Counts a success.
    pub(super) fn success(&mut self) {
        self.successes = self.successes.saturating_add(1);
    }

    fn restart(&mut self, now: Instant) {
        self.faults = 0;
        self.successes = 0;
        self.since = now;
        self.clients = Distinct::default();
        self.sessions = Distinct::default();
        self.topics = Distinct::default();
    }

    pub(super) fn set_name(&mut self, name: String) {
        self.name = name;
    }

    /// The name, if the circuit has opened.
    pub(super) fn into_name(self) -> Option<String> {
        self.opened.map(|_| self.name)
    }

    /// The end of the pause, while open.
    pub(super) fn refuses_until(&self, now: Instant) -> Option<Instant> {
        self.opened.map(|pause| pause.until).filter(|until| now < *until)
    }

    /// Whether it is half open.
    pub(super) fn is_half_open(&self, now: Instant) -> bool {
        self.state(now) == CircuitState::HalfOpen
    }

    /// Whether it is open or half open.
    pub(super) fn has_opened(&self) -> bool {
        self.opened.is_some()
    }

    pub(super) fn last_fault(&self) -> Instant {
        self.last_fault
    }

    pub(super) fn state(&self, now: Instant) -> CircuitState {
        match self.opened {
            None => CircuitState::Closed,
            Some(pause) if now < pause.until => CircuitState::Open,
            Some(_) => CircuitState::HalfOpen,
        }
    }

    /// Whether the circuit can be removed. A long pause is remembered for as long again.
    pub(super) fn is_forgotten(&self, now: Instant, window: Duration) -> bool {
        let (since, kept) = match self.opened {
            None => (self.last_fault, window),
            Some(pause) => (pause.until, window.max(pause.length)),
        };
        now.saturating_duration_since(since) >= kept
    }
}

impl Distinct {
    /// Adds a value. Returns whether it is new.
    fn note(&mut self, value: Option<u64>, max: usize) -> bool {
        let Some(value) = value.filter(|value| self.0.len() < max && !self.0.contains(value))
        else {
            return false;
        };
        self.0.push(value);
        true
    }

    fn are(&self, wanted: usize) -> bool {
        self.0.len() >= wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a script of `time:event` in milliseconds: `f` a fault (`f4`: four of them), `s` a success,
    /// `?` a question whose answer is the next number, the end of the pause, 0 for none; a letter after
    /// `/` is the client that the faults come from.
    fn check(rule: Rule, script: &str) {
        let start = Instant::now();
        let ms = |n: u64| start + Duration::from_millis(n);
        let policy = BreakerPolicy::default();
        let mut circuit = Circuit::new(start);
        for step in script.split_whitespace() {
            let (time, event) = step.split_once(':').unwrap();
            let (event, client) = event.split_once('/').unwrap_or((event, "a"));
            let now = ms(time.parse().unwrap());
            let client = u64::from(client.as_bytes()[0]);
            let from = Sources { client: Some(client), session: Some(1), topic: 1 };
            match event.split_at(1) {
                ("f", count) => (0..count.parse().unwrap_or(1)).for_each(|_| {
                    circuit.fault(now, from, rule, &policy);
                }),
                ("s", count) => {
                    (0..count.parse().unwrap_or(1)).for_each(|_| circuit.success());
                }
                ("?", until) => {
                    let until: u64 = until.parse().unwrap();
                    let expected = (until > 0).then(|| ms(until));
                    assert_eq!(circuit.refuses_until(now), expected, "{step} in {script}");
                }
                _ => panic!("{step}"),
            }
        }
    }

    const FIVE: Rule = Rule { faults: 5, clients: 0, sessions: 0, topics: 0, half: false };

    #[test]
    fn forgives_a_few_faults() {
        check(FIVE, "0:?0 0:f4 0:?0");
        check(FIVE, "0:f4 10000:f4 10000:?0 20000:f4 20000:?0");
    }

    #[test]
    fn opens_at_repeated_faults() {
        check(FIVE, "0:f5 0:?1000 999:?1000 1000:?0");
        check(FIVE, "0:f 2000:f 4000:f 6000:f 8000:f 8000:?9000");
    }

    #[test]
    fn doubles_the_pause_up_to_a_minute() {
        check(FIVE, "0:f5 1000:f 1000:?3000 3000:f 3000:?7000");
        check(
            FIVE,
            "0:f5 1000:f 3000:f 7000:f 15000:f 31000:f 63000:f 63000:?123000 123000:f 123000:?183000",
        );
    }

    #[test]
    fn tells_the_first_opening_from_further_ones() {
        let (now, policy) = (Instant::now(), BreakerPolicy::default());
        let from = Sources { client: Some(1), session: Some(1), topic: 1 };
        let mut circuit = Circuit::new(now);
        let opened: Vec<_> =
            (0..5).filter_map(|_| circuit.fault(now, from, FIVE, &policy)).collect();
        let pause = policy.pause;
        assert_eq!(opened, [Opened { faults: 5, pause, again: false }]);
        let opened = circuit.fault(now + pause, from, FIVE, &policy);
        assert_eq!(opened, Some(Opened { faults: 1, pause: pause * 2, again: true }));
    }

    #[test]
    fn ignores_faults_of_calls_that_began_before_it_was_opened() {
        check(FIVE, "0:f5 500:f 500:?1000 1000:f 1000:?3000");
    }

    #[test]
    fn needs_half_of_the_calls_to_fail_where_the_rule_says_so() {
        let rule = Rule { half: true, ..FIVE };
        check(rule, "0:f 0:s5 0:f3 0:?0 0:f 0:?1000");
        check(rule, "0:f 0:s1000 0:f99 0:?0");
        check(FIVE, "0:f 0:s1000 0:f4 0:?1000");
    }

    #[test]
    fn counts_each_client_once() {
        let rule = Rule { faults: 3, clients: 3, half: true, ..FIVE };
        check(rule, "0:f99/a 0:s10 0:f99/b 0:f99/c 0:?0");
        check(rule, "0:f99/a 0:s3 0:f99/b 0:f99/c 0:?1000");
    }

    #[test]
    fn needs_faults_of_several_clients() {
        let rule = Rule { faults: 3, clients: 3, ..FIVE };
        check(rule, "0:f99/a 0:?0 0:f99/b 0:?0 0:f/c 0:?1000");
        // Half open, one client alone cannot open it again.
        check(
            rule,
            "0:f4/a 0:f/b 0:f/c 0:?1000 1000:f9/a 1000:?0 1000:f/b 1000:?0 1000:f/c 1000:?3000",
        );
    }
}
