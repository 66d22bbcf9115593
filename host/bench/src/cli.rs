//! Command line of the load generator, which users start as `jackfield bench`.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use jackfield_text::Terminal;

use crate::plan::{Dialect, Plan, Serializer, Target, Tls, Work};

/// Measure the throughput and latency of a running server.
#[derive(Debug, Parser)]
#[command(name = "jackfield bench", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    work: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Open connections and keep them: rate, latency, server memory per connection.
    Connect {
        #[command(flatten)]
        common: Common,
        /// Number of connections.
        #[arg(long, default_value_t = 1000)]
        connections: usize,
        /// Open sessions without a subscription.
        #[arg(long)]
        bare: bool,
    },
    /// Publish to topics without subscribers: rate, latency of the acknowledgement.
    Publish {
        #[command(flatten)]
        common: Common,
        /// Number of publishing connections, each with --window publications in flight.
        #[arg(long, default_value_t = 1)]
        publishers: usize,
        /// Number of topics [default: the number of publishers].
        #[arg(long)]
        topics: Option<usize>,
    },
    /// Call a procedure: rate, latency of the result.
    // Calls have no topics.
    #[command(mut_arg("topic", |topic| topic.hide(true)))]
    Call {
        #[command(flatten)]
        common: Common,
        /// Number of calling connections, each with --window calls in flight.
        #[arg(long, default_value_t = 1)]
        callers: usize,
        /// Exact name of the procedure. Its only argument is a text of --payload bytes.
        #[arg(long, value_name = "URI", conflicts_with = "topic")]
        procedure: String,
        /// Register the procedure at one more connection, which returns the argument: calls of one client
        /// by another. Only with WAMP v2; the server has to allow it.
        #[arg(long)]
        callee: bool,
    },
    /// Subscribe and unsubscribe alternately: rate, latency of the replies.
    Subscribe {
        #[command(flatten)]
        common: Common,
        /// Number of sessions.
        #[arg(long, default_value_t = 100)]
        connections: usize,
        /// Number of topics [default: the number of sessions].
        #[arg(long)]
        topics: Option<usize>,
    },
    /// Publish to topics with subscribers: rate, latency from publish to delivery.
    FanOut {
        #[command(flatten)]
        common: Common,
        /// Number of topics.
        #[arg(long, default_value_t = 1)]
        topics: usize,
        /// Number of subscribers of each topic.
        #[arg(long, default_value_t = 100)]
        subscribers: usize,
        /// Number of publishing connections, among which the topics are divided [default: one for
        /// each topic].
        #[arg(long)]
        publishers: Option<usize>,
        /// Number of topics to which each subscriber's connection subscribes: for many topics with
        /// few connections. At most `limits.subscriptions` of the server.
        #[arg(long, default_value_t = 1)]
        subscriptions_per_connection: usize,
        /// URL of another node of the server's cluster, at which the subscribers connect in place of the
        /// first URL; repeated ones take turns, and the first URL is one of them only if it is repeated.
        #[arg(long, value_name = "URL", value_parser = Target::parse)]
        subscribe_at: Vec<Target>,
    },
}

/// Options of all workloads.
#[derive(Debug, clap::Args)]
struct Common {
    /// URL of the server, such as ws://127.0.0.1:8080/ or wss://shop.example.com/ws.
    #[arg(value_name = "URL", value_parser = Target::parse)]
    url: Target,
    /// Certificates of the authorities that a wss:// server may have, in PEM, in place of those of the
    /// system; or the variable JACKFIELD_CA.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Protocol of the clients. `nats` (over WebSocket, all workloads except call) and `raw`
    /// (connect and fan-out) are for comparisons: a `raw` message to URL/pub reaches every client
    /// of URL/sub.
    #[arg(long, value_enum, default_value_t = Protocol::Wamp2)]
    protocol: Protocol,
    /// Serialization of WAMP v2.
    #[arg(long, value_enum, default_value_t = SerializerName::Json)]
    serializer: SerializerName,
    /// Realm of WAMP v2 sessions.
    #[arg(long, default_value = "realm1")]
    realm: String,
    /// Prefix of the topics: PREFIX0, PREFIX1 … The server needs a route for them.
    #[arg(long, value_name = "PREFIX", default_value = "bench.t")]
    topic: String,
    /// Size of the published text, or of the procedure's argument.
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    payload: usize,
    /// Offer compression of messages (permessage-deflate). It is an error if the server does not accept
    /// it; Jackfield does with `access.compression`. Published messages are not compressed.
    #[arg(long)]
    compress: bool,
    /// Maximum in flight: events of each publisher (until every subscriber has the event, or until
    /// it is acknowledged), calls of each caller, or connections that are being opened.
    #[arg(long, default_value_t = 32)]
    window: usize,
    /// Publications, calls or connections a second, all together, instead of --window. Latency is
    /// then counted from the time at which each was due, not from the time at which it was sent, so
    /// that the stalls of a server count.
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Duration of the measurement; for `connect`, the time that connections are kept open.
    #[arg(long, value_parser = seconds, default_value = "5")]
    seconds: Duration,
    /// Duration of the warm-up before the measurement; `connect` has none.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "1")]
    warm_up: Duration,
    /// Process id of the server, if it runs on this Linux machine: adds its CPU time and memory to
    /// the report. May be repeated.
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
    /// Local address to connect from; repeated ones take turns. One address has 28 000 ports.
    #[arg(long, value_name = "ADDR")]
    source: Vec<IpAddr>,
    /// Threads of the load generator.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
    /// Write a line of progress to stderr each second, even where that is no terminal.
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

/// Exit code of options that contradict each other: clap's own for usage errors.
const USAGE: u8 = 2;

/// Runs the command line of the process.
pub fn run() -> ExitCode {
    match measure(Cli::parse(), &mut io::stdout().lock()) {
        Ok(code) => code,
        // The reader has closed the pipe and needs no more of the report.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: failed to write the report: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: Cli, out: &mut dyn Write) -> io::Result<ExitCode> {
    let (common, work, subscribe_at) = cli.work.split();
    let (json, progress) = (common.json, common.progress);
    let plan = common.plan(work, subscribe_at).and_then(|plan| plan.check().map(|()| plan));
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => {
            say(&format!("error: {error}\n\nFor more information, try '--help'."));
            return Ok(ExitCode::from(USAGE));
        }
    };
    let mut err = io::stderr();
    let terminal = err.is_terminal();
    let mut line = |line: &str| {
        // The report has the same figures.
        let _unwritten = match (terminal, progress) {
            (true, _) => write!(err, "\r\x1b[K{line}").and_then(|()| err.flush()),
            (false, true) => writeln!(err, "{line}"),
            (false, false) => Ok(()),
        };
    };
    let result = crate::run(&plan, &mut line);
    if terminal {
        let _unwritten = write!(err, "\r\x1b[K");
    }
    match result {
        Ok(report) if json => writeln!(out, "{}", report.json())?,
        Ok(report) => write!(out, "{}", report.text())?,
        Err(error) => {
            say(&format!("error: {error}"));
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a line to stderr. A failure is ignored: the exit code reports the result.
fn say(text: &str) {
    let _unwritten = writeln!(Terminal::new(io::stderr()), "{text}");
}

impl Task {
    /// Returns the options of all workloads, the workload, and the servers of subscribers.
    fn split(self) -> (Common, Work, Vec<Target>) {
        match self {
            Self::Connect { common, connections, bare } => {
                (common, Work::Connect { connections, bare }, Vec::new())
            }
            Self::Publish { common, publishers, topics } => {
                let topics = topics.unwrap_or(publishers);
                (common, Work::Publish { publishers, topics }, Vec::new())
            }
            Self::Call { common, callers, procedure, callee } => {
                (common, Work::Call { callers, procedure, callee }, Vec::new())
            }
            Self::Subscribe { common, connections, topics } => {
                let topics = topics.unwrap_or(connections);
                (common, Work::Subscribe { connections, topics }, Vec::new())
            }
            Self::FanOut {
                common,
                topics,
                subscribers,
                publishers,
                subscriptions_per_connection,
                subscribe_at,
            } => {
                let publishers = publishers.unwrap_or(topics);
                let work =
                    Work::FanOut { topics, subscribers, publishers, subscriptions_per_connection };
                (common, work, subscribe_at)
            }
        }
    }
}

impl Common {
    /// # Errors
    /// When the authorities cannot be read.
    fn plan(self, work: Work, subscribe_at: Vec<Target>) -> Result<Plan, String> {
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
        Ok(Plan {
            tls: Tls::of(&self.url, self.ca)?,
            target: self.url,
            subscribe_at,
            dialect,
            realm: self.realm,
            topic: self.topic,
            compress: self.compress,
            payload: self.payload,
            window: self.window,
            rate: self.rate,
            seconds: self.seconds,
            warm_up: self.warm_up,
            sources: self.source,
            threads: self.threads,
            pids: self.pid,
            work,
        })
    }
}

/// Parses a number of seconds, such as `5` or `0.5`.
fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "expected a number of seconds, such as 5 or 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str) -> Result<Plan, String> {
        let line = ["bench"].into_iter().chain(line.split(' '));
        let (common, work, subscribe_at) =
            Cli::try_parse_from(line).map_err(|error| error.to_string())?.work.split();
        let plan = common.plan(work, subscribe_at)?;
        plan.check().map(|()| plan)
    }

    #[test]
    fn every_command_has_its_defaults() {
        let cases = [
            ("connect ws://h", Work::Connect { connections: 1000, bare: false }),
            ("publish ws://h --publishers 3", Work::Publish { publishers: 3, topics: 3 }),
            (
                "call ws://h --procedure a/b",
                Work::Call { callers: 1, procedure: "a/b".to_owned(), callee: false },
            ),
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
            "fan-out ws://h/p --compress --serializer cbor --rate 2.5 --seconds 0.5 --pid 1 --pid 2 \
             --source 127.0.0.1 --source ::1 --subscribe-at ws://two --subscribe-at ws://three/x",
        )
        .unwrap();
        assert_eq!(plan.dialect, Dialect::Wamp2(Serializer::Cbor));
        assert!(plan.compress);
        assert_eq!((plan.rate, plan.seconds), (Some(2.5), Duration::from_millis(500)));
        assert_eq!((plan.pids, plan.sources.len()), (vec![1, 2], 2));
        let paths: Vec<_> = plan.subscribe_at.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["/", "/x"]);
    }

    #[test]
    fn rejects_invalid_options_by_name() {
        for (line, said) in [
            ("fan-out http://h", "ws://127.0.0.1:8080/"),
            ("fan-out ws://h --seconds five", "number of seconds"),
            ("publish ws://h --protocol raw", "raw"),
            ("publish ws://h --payload 3", "--payload"),
            ("fan-out ws://h --subscriptions-per-connection 0", "--subscriptions-per-connection"),
            ("fan-out wss://h --subscribe-at ws://two", "--subscribe-at"),
            ("fan-out ws://h --subscribe-at wss://two", "--subscribe-at"),
            ("publish ws://h --subscribe-at ws://two", "--subscribe-at"),
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
