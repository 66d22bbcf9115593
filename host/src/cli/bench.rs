//! `jackfield bench`: measures a server from its clients' side. What is done is in the crate
//! `jackfield-bench`; here is how it is told and how it answers.

use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use jackfield_bench::plan::{Dialect, Plan, Serializer, Target, Work};

use super::say;

/// What `jackfield bench` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    work: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Open connections and keep them: rates, latency, memory of the server a connection.
    Connect {
        #[command(flatten)]
        common: Common,
        /// How many.
        #[arg(long, default_value_t = 1000)]
        connections: usize,
        /// A session alone, without a subscription.
        #[arg(long)]
        bare: bool,
    },
    /// Publish, acknowledged, to topics without subscribers: rates, latency of the answer.
    Publish {
        #[command(flatten)]
        common: Common,
        /// Connections that publish, each with --window publications in flight.
        #[arg(long, default_value_t = 1)]
        publishers: usize,
        /// Topics; as many as publishers without it.
        #[arg(long)]
        topics: Option<usize>,
    },
    /// Call a procedure: rates, latency of the result.
    // It has no topics.
    #[command(mut_arg("topic", |topic| topic.hide(true)))]
    Call {
        #[command(flatten)]
        common: Common,
        /// Connections that call, each with --window calls in flight.
        #[arg(long, default_value_t = 1)]
        callers: usize,
        /// Its exact name. It gets one text, of --payload bytes, as its only argument.
        #[arg(long, value_name = "URI", conflicts_with = "topic")]
        procedure: String,
    },
    /// Subscribe and unsubscribe in turn: rates, latency of the answers.
    Subscribe {
        #[command(flatten)]
        common: Common,
        /// Sessions that do.
        #[arg(long, default_value_t = 100)]
        connections: usize,
        /// Topics; as many as sessions without it.
        #[arg(long)]
        topics: Option<usize>,
    },
    /// Publish to topics with subscribers: rates, latency from publish to delivery.
    FanOut {
        #[command(flatten)]
        common: Common,
        /// Topics, each with a publisher.
        #[arg(long, default_value_t = 1)]
        topics: usize,
        /// Subscribers of each topic.
        #[arg(long, default_value_t = 100)]
        subscribers: usize,
        /// Connections that publish, each to its share of the topics; one a topic without it.
        #[arg(long)]
        publishers: Option<usize>,
        /// Topics that each subscriber's connection is subscribed to: for many topics with few
        /// connections. `limits.subscriptions` of the server bounds it.
        #[arg(long, default_value_t = 1)]
        subscriptions_per_connection: usize,
    },
}

/// What all of them are told.
#[derive(Debug, clap::Args)]
struct Common {
    /// The server, such as ws://127.0.0.1:8080/.
    #[arg(value_name = "URL", value_parser = Target::parse)]
    url: Target,
    /// What is spoken. `nats` is for comparing, over WebSocket (not by call); so is `raw` (fan-out
    /// and connect only): what is sent to URL/pub comes to everybody at URL/sub.
    #[arg(long, value_enum, default_value_t = Protocol::Wamp2)]
    protocol: Protocol,
    /// How messages of WAMP v2 look.
    #[arg(long, value_enum, default_value_t = SerializerName::Json)]
    serializer: SerializerName,
    /// The realm that sessions of WAMP v2 join.
    #[arg(long, default_value = "realm1")]
    realm: String,
    /// Topics are called PREFIX0, PREFIX1 … The server needs a route for them.
    #[arg(long, value_name = "PREFIX", default_value = "bench.t")]
    topic: String,
    /// Bytes of the text that is published, or that a procedure gets.
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    payload: usize,
    /// What may be in flight: events of each publisher (one is in flight until every subscriber
    /// has it, or until it is acknowledged), calls of each caller, or connections that are being
    /// opened.
    #[arg(long, default_value_t = 32)]
    window: usize,
    /// So many publications (calls, connections) a second, all together, instead of --window. Latency is
    /// then counted from when each was due, not from when it was sent: a server that stalls
    /// cannot hide what it has kept waiting.
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// How long is measured; of `connect`, how long the connections are kept.
    #[arg(long, value_parser = seconds, default_value = "5")]
    seconds: Duration,
    /// How long it runs before it is measured; `connect` has no warm-up.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "1")]
    warm_up: Duration,
    /// The server's process, if it runs on this Linux machine: its CPU time and memory are told as
    /// well. May be repeated.
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
    /// A local address to connect from; repeated, they take turns. One address has 28 000 ports.
    #[arg(long, value_name = "ADDR")]
    source: Vec<IpAddr>,
    /// Threads of this generator.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Tell on stderr each second how it goes, also where that is no terminal.
    #[arg(long)]
    progress: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Protocol {
    Wamp2,
    Wamp1,
    Nats,
    Raw,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SerializerName {
    Json,
    Msgpack,
    Cbor,
}

/// The exit code of what makes no sense, clap's own.
const USAGE: u8 = 2;

/// Measures, and prints what came of it.
///
/// # Errors
/// When the answer cannot be written.
pub fn run(args: Args, out: &mut dyn Write) -> io::Result<ExitCode> {
    let (common, work) = args.work.split();
    let (json, progress) = (common.json, common.progress);
    let plan = common.plan(work);
    let mut err = io::stderr();
    if let Err(error) = plan.check() {
        say(format_args!("error: {error}\n\nFor more information, try '--help'."));
        return Ok(ExitCode::from(USAGE));
    }
    let terminal = err.is_terminal();
    let mut line = |line: &str| {
        // Whoever does not see it misses nothing that the result does not tell.
        let _unseen = match (terminal, progress) {
            (true, _) => write!(err, "\r\x1b[K{line}").and_then(|()| err.flush()),
            (false, true) => writeln!(err, "{line}"),
            (false, false) => Ok(()),
        };
    };
    let result = jackfield_bench::run(&plan, &mut line);
    if terminal {
        let _unseen = write!(err, "\r\x1b[K");
    }
    match result {
        Ok(report) if json => writeln!(out, "{}", report.json())?,
        Ok(report) => write!(out, "{}", report.text())?,
        Err(failure) => {
            say(format_args!("error: {failure}"));
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Task {
    fn split(self) -> (Common, Work) {
        match self {
            Self::Connect { common, connections, bare } => {
                (common, Work::Connect { connections, bare })
            }
            Self::Publish { common, publishers, topics } => {
                (common, Work::Publish { publishers, topics: topics.unwrap_or(publishers) })
            }
            Self::Call { common, callers, procedure } => {
                (common, Work::Call { callers, procedure })
            }
            Self::Subscribe { common, connections, topics } => {
                (common, Work::Subscribe { connections, topics: topics.unwrap_or(connections) })
            }
            Self::FanOut {
                common,
                topics,
                subscribers,
                publishers,
                subscriptions_per_connection,
            } => {
                let publishers = publishers.unwrap_or(topics);
                let work =
                    Work::FanOut { topics, subscribers, publishers, subscriptions_per_connection };
                (common, work)
            }
        }
    }
}

impl Common {
    fn plan(self, work: Work) -> Plan {
        let serializer = match self.serializer {
            SerializerName::Json => Serializer::Json,
            SerializerName::Msgpack => Serializer::MessagePack,
            SerializerName::Cbor => Serializer::Cbor,
        };
        let dialect = match self.protocol {
            Protocol::Wamp2 => Dialect::Wamp2(serializer),
            Protocol::Wamp1 => Dialect::Wamp1,
            Protocol::Nats => Dialect::Nats,
            Protocol::Raw => Dialect::Raw,
        };
        Plan {
            target: self.url,
            dialect,
            realm: self.realm,
            topic: self.topic,
            payload: self.payload,
            window: self.window,
            rate: self.rate,
            seconds: self.seconds,
            warm_up: self.warm_up,
            sources: self.source,
            threads: self.threads,
            pids: self.pid,
            work,
        }
    }
}

/// A number of seconds, such as `5` or `0.5`.
fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a number of seconds, such as 5 or 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn plan(line: &str) -> Result<Plan, String> {
        let line = ["bench"].into_iter().chain(line.split(' '));
        let (common, work) =
            Line::try_parse_from(line).map_err(|error| error.to_string())?.args.work.split();
        let plan = common.plan(work);
        plan.check().map(|()| plan)
    }

    #[test]
    fn every_command_has_its_defaults() {
        let cases = [
            ("connect ws://h", Work::Connect { connections: 1000, bare: false }),
            ("publish ws://h --publishers 3", Work::Publish { publishers: 3, topics: 3 }),
            ("call ws://h --procedure a/b", Work::Call { callers: 1, procedure: "a/b".to_owned() }),
            ("subscribe ws://h --topics 7", Work::Subscribe { connections: 100, topics: 7 }),
            (
                "fan-out ws://h --topics 4",
                Work::FanOut {
                    topics: 4,
                    subscribers: 100,
                    publishers: 4,
                    subscriptions_per_connection: 1,
                },
            ),
        ];
        for (line, work) in cases {
            let plan = plan(line).unwrap();
            assert_eq!(plan.work, work, "{line}");
            assert_eq!(plan.dialect, Dialect::Wamp2(Serializer::Json));
            assert_eq!((plan.payload, plan.window, plan.threads), (128, 32, 1));
            assert_eq!((plan.realm.as_str(), plan.topic.as_str()), ("realm1", "bench.t"));
            assert_eq!(
                (plan.seconds, plan.warm_up),
                (Duration::from_secs(5), Duration::from_secs(1))
            );
        }
    }

    #[test]
    fn passes_options_on() {
        let plan = plan(
            "fan-out ws://h/p --serializer cbor --rate 2.5 --seconds 0.5 --pid 1 --pid 2 \
             --source 127.0.0.1 --source ::1",
        )
        .unwrap();
        assert_eq!(plan.dialect, Dialect::Wamp2(Serializer::Cbor));
        assert_eq!((plan.rate, plan.seconds), (Some(2.5), Duration::from_millis(500)));
        assert_eq!((plan.pids, plan.sources.len()), (vec![1, 2], 2));
    }

    #[test]
    fn rejects_invalid_options_by_name() {
        for (line, said) in [
            ("fan-out http://h", "ws://127.0.0.1:8080/"),
            ("fan-out ws://h --seconds five", "number of seconds"),
            ("publish ws://h --protocol raw", "raw"),
            ("publish ws://h --payload 3", "--payload"),
            ("fan-out ws://h --subscriptions-per-connection 0", "--subscriptions-per-connection"),
            ("register ws://h", "register"),
            ("call ws://h", "--procedure"),
            ("call ws://h --procedure p --topic t", "--topic"),
            ("call ws://h --procedure p --protocol nats", "nats"),
            ("call ws://h --procedure p --protocol raw", "raw"),
            ("call ws://h --procedure p --callers 0", "--callers"),
        ] {
            let error = plan(line).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
