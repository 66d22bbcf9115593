//! Validation of a plan's options and their combinations.

use std::time::Duration;

use super::{Dialect, Plan, Target, Work};
use crate::timestamp::Timestamp;

impl Plan {
    /// Validates the plan.
    ///
    /// # Errors
    /// One sentence that names the option.
    pub fn check(&self) -> Result<(), String> {
        self.check_work()?;
        let numbers = [
            ("--window", self.window),
            ("--threads", self.threads),
            ("--connections, --publishers, --callers", self.work.connections()),
            ("--topics", self.work.topics()),
        ];
        for (name, number) in numbers {
            if number == 0 {
                return Err(format!("{name} must be at least 1"));
            }
        }
        if self.payload < Timestamp::BYTES {
            let least = Timestamp::BYTES;
            return Err(format!(
                "--payload must be at least {least}, as each text carries its send time"
            ));
        }
        if self.work.topics() > Timestamp::MAX_TOPICS {
            return Err(format!("at most {} topics are possible", Timestamp::MAX_TOPICS));
        }
        self.check_size()?;
        if !self.subscribe_at.is_empty()
            && [&self.target].into_iter().chain(&self.subscribe_at).any(Target::is_tls)
        {
            return Err("--subscribe-at needs ws:// URLs, also of the first server".to_owned());
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return Err("--rate must be greater than zero".to_owned());
        }
        if self.seconds.is_zero() {
            return Err("--seconds must be greater than zero".to_owned());
        }
        Ok(())
    }

    /// Longest text, in bytes.
    pub(crate) const MAX_PAYLOAD_BYTES: usize = 64 * 1024 * 1024;

    /// Rejects sizes and times far beyond any machine, which are typing errors.
    fn check_size(&self) -> Result<(), String> {
        let bounds = [
            ("--window", self.window, 1_048_576),
            ("--payload", self.payload, Self::MAX_PAYLOAD_BYTES),
            ("--threads", self.threads, 1024),
        ];
        for (name, number, most) in bounds {
            if number > most {
                return Err(format!("{name} must be at most {most}"));
            }
        }
        if self.work.connections() > 1_000_000 {
            return Err("at most 1000000 connections are possible: see --topics, --subscribers, \
                        --publishers, --callers, --connections"
                .to_owned());
        }
        for (name, duration) in [("--seconds", self.seconds), ("--warm-up", self.warm_up)] {
            if duration > Duration::from_hours(24) {
                return Err(format!("{name} must be at most a day (86400)"));
            }
        }
        // Each sender has a text, each topic a window of numbers.
        let (texts, windows) = match self.work {
            Work::FanOut { publishers, topics, .. } => (publishers, topics),
            Work::Publish { publishers: senders, .. } | Work::Call { callers: senders, .. } => {
                (senders, 0)
            }
            Work::Connect { .. } | Work::Subscribe { .. } => (0, 0),
        };
        if texts.saturating_mul(self.payload) > 1 << 32 {
            return Err(
                "--payload is too large for this number of --publishers or --callers".to_owned()
            );
        }
        if self.rate.is_none() && windows.saturating_mul(self.window) > 1 << 28 {
            return Err("--window is too large for this number of --topics".to_owned());
        }
        Ok(())
    }

    fn check_work(&self) -> Result<(), String> {
        match self.work {
            Work::FanOut { subscriptions_per_connection: 0, .. } => {
                return Err("--subscriptions-per-connection must be at least 1".to_owned());
            }
            Work::FanOut { topics, subscribers, publishers, .. } => {
                if subscribers == 0 || publishers == 0 {
                    return Err("--subscribers and --publishers must be at least 1".to_owned());
                }
                if publishers > topics {
                    return Err("--publishers must be at most --topics".to_owned());
                }
                if self.dialect == Dialect::Raw && topics != 1 {
                    return Err("--protocol raw has one topic: give --topics 1".to_owned());
                }
            }
            Work::Subscribe { .. } if self.rate.is_some() => {
                return Err("--rate does not apply to subscribe: each session goes as fast as it \
                            is answered"
                    .to_owned());
            }
            Work::Publish { .. } | Work::Subscribe { .. } if self.dialect == Dialect::Raw => {
                return Err("--protocol raw applies to connect and fan-out".to_owned());
            }
            Work::Call { .. } if matches!(self.dialect, Dialect::Nats | Dialect::Raw) => {
                return Err(format!(
                    "--protocol {} has no procedures: call applies to wamp2 and wamp1",
                    self.dialect.protocol()
                ));
            }
            Work::Call { callers: 0, .. } => {
                return Err("--callers must be at least 1".to_owned());
            }
            Work::Call { callee: true, .. } if self.dialect == Dialect::Wamp1 => {
                return Err("--callee applies to wamp2: clients of WAMP v1 register no procedures"
                    .to_owned());
            }
            Work::Connect { .. }
            | Work::Publish { .. }
            | Work::Call { .. }
            | Work::Subscribe { .. } => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Serializer;

    fn plan(work: Work) -> Plan {
        Plan {
            target: Target::parse("ws://h").unwrap(),
            subscribe_at: Vec::new(),
            tls: None,
            dialect: Dialect::Wamp2(Serializer::Json),
            realm: "realm1".to_owned(),
            topic: "t".to_owned(),
            compress: false,
            payload: 128,
            window: 32,
            rate: None,
            seconds: Duration::from_secs(1),
            warm_up: Duration::ZERO,
            sources: Vec::new(),
            threads: 1,
            pids: Vec::new(),
            work,
        }
    }

    fn fan_out(topics: usize, publishers: usize) -> Work {
        Work::FanOut { topics, subscribers: 10, publishers, subscriptions_per_connection: 4 }
    }

    fn call(callers: usize) -> Work {
        Work::Call { callers, procedure: "p".to_owned(), callee: false }
    }

    fn answered_call(callers: usize) -> Work {
        Work::Call { callers, procedure: "p".to_owned(), callee: true }
    }

    #[test]
    fn rejects_invalid_plans() {
        let good = plan(fan_out(10, 10));
        for good in [good.clone(), plan(call(9)), Plan { rate: Some(0.5), ..plan(call(1)) }] {
            assert_eq!(good.check(), Ok(()));
        }
        for (plan, message) in [
            (Plan { payload: 10, ..good.clone() }, "--payload"),
            (Plan { window: 0, ..good.clone() }, "--window"),
            (Plan { rate: Some(0.0), ..good.clone() }, "--rate"),
            (Plan { seconds: Duration::ZERO, ..good.clone() }, "--seconds"),
            (Plan { dialect: Dialect::Raw, ..good.clone() }, "raw"),
            (Plan { window: 1_048_577, ..good.clone() }, "--window"),
            (Plan { payload: usize::MAX, ..good.clone() }, "--payload"),
            (Plan { threads: usize::MAX, ..good.clone() }, "--threads"),
            (Plan { seconds: Duration::from_secs(86_401), ..good.clone() }, "--seconds"),
            (Plan { warm_up: Duration::MAX, ..good.clone() }, "--warm-up"),
            (plan(Work::Connect { connections: 1_000_001, bare: true }), "1000000 connections"),
            (plan(fan_out(1, 2)), "--publishers"),
            (Plan { window: 1_048_576, ..plan(fan_out(1000, 1)) }, "--window"),
            (Plan { payload: 1 << 26, ..plan(fan_out(100, 100)) }, "--payload"),
            (plan(fan_out(2_000_000, 1)), "topics are possible"),
            (
                Plan { rate: Some(1.0), ..plan(Work::Subscribe { connections: 1, topics: 1 }) },
                "--rate",
            ),
            (plan(call(0)), "--callers"),
            (Plan { dialect: Dialect::Nats, ..plan(call(1)) }, "--protocol nats has no procedures"),
            (Plan { dialect: Dialect::Raw, ..plan(call(1)) }, "--protocol raw has no procedures"),
            (Plan { payload: 1 << 26, ..plan(call(100)) }, "--callers"),
            (
                Plan { dialect: Dialect::Wamp1, ..plan(answered_call(1)) },
                "--callee applies to wamp2",
            ),
            (plan(answered_call(0)), "--callers"),
        ] {
            let error = plan.check().unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn a_fan_out_counts_its_connections() {
        // 10 topics in groups of 4 are three groups of 10 subscribers each.
        assert_eq!(fan_out(10, 2).connections(), 32);
        assert_eq!(fan_out(usize::MAX, usize::MAX).connections(), usize::MAX);
    }
}
