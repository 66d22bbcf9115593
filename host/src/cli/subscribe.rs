//! `jackfield subscribe TOPIC…`: subscribes to topics and prints every event as a line of JSON.

use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use jackfield_client::{Client, ReceivedEvent};
use jackfield_text::Untrusted;
use jackfield_wamp::uri::MatchPolicy;
use jackfield_wamp::value::{Dict, Value};
use serde::Serialize;
use serde_json::value::RawValue;

use super::closed_output::output_closed;
use super::json_payload;
use super::remote::{self, CommandError, Remote};
use super::{JsonAlways, say};

/// The time limit of connecting and subscribing, and of leaving.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Command-line arguments of `jackfield subscribe`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    /// Topics to subscribe to.
    #[arg(value_name = "TOPIC", required = true)]
    topics: Vec<String>,
    /// Matching policy of the subscriptions.
    #[arg(long = "match", value_enum, default_value_t = Match::Exact)]
    policy: Match,
    /// Exit after this number of events.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Exit after this time; with --count, fewer events by then are an error (exit code 4).
    #[arg(long, value_parser = remote::duration)]
    timeout: Option<Duration>,
    /// Print indented JSON.
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    _json: JsonAlways,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Match {
    Exact,
    Prefix,
    Wildcard,
}

/// The printed form of an event.
#[derive(Serialize)]
struct Line {
    topic: String,
    args: Box<RawValue>,
    kwargs: Box<RawValue>,
    publication: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher_authid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher_authrole: Option<String>,
}

/// Subscribes, and prints events until a limit is reached.
pub(crate) fn run(args: Args) -> ExitCode {
    let Args { remote, topics, policy, count, timeout, pretty, _json } = args;
    remote::run(async move {
        let mut client =
            remote::within(REQUEST_TIMEOUT, subscribe(remote, &topics, policy)).await?;
        let listening = async {
            tokio::select! {
                ended = print_events(&mut client, count, pretty) => ended,
                () = output_closed() => Ok(()),
            }
        };
        match timeout {
            None => listening.await?,
            Some(limit) => match remote::within(limit, listening).await {
                Err(CommandError::TimedOut(_)) if count.is_none() => {}
                ended => ended?,
            },
        }
        // The events have been printed; a late GOODBYE of the server is not an error.
        let _late = remote::within(REQUEST_TIMEOUT, async { Ok(client.leave().await?) }).await;
        Ok(())
    })
}

async fn subscribe(
    remote: Remote,
    topics: &[String],
    policy: Match,
) -> Result<Client, CommandError> {
    let policy = match policy {
        Match::Exact => MatchPolicy::Exact,
        Match::Prefix => MatchPolicy::Prefix,
        Match::Wildcard => MatchPolicy::Wildcard,
    };
    let mut client = remote.connect().await?;
    for topic in topics {
        client.subscribe(topic, policy).await?;
        // On stderr, for scripts that wait until the subscription is active.
        say(format_args!("subscribed to {}", Untrusted::new(topic)));
    }
    Ok(client)
}

async fn print_events(
    client: &mut Client,
    count: Option<u64>,
    pretty: bool,
) -> Result<(), CommandError> {
    let mut seen = 0;
    while count.is_none_or(|count| seen < count) {
        let ReceivedEvent { topic, publication, details, payload } = client.event().await?;
        let (args, kwargs) = json_payload::raw(&payload)?;
        let line = Line {
            topic,
            args,
            kwargs,
            publication: publication.get(),
            publisher: match details.get("publisher") {
                Some(Value::UInt(session)) => Some(*session),
                _ => None,
            },
            publisher_authid: text(&details, "publisher_authid"),
            publisher_authrole: text(&details, "publisher_authrole"),
        };
        json_payload::print(&line, pretty)?;
        seen += 1;
    }
    Ok(())
}

fn text(details: &Dict, key: &str) -> Option<String> {
    details.get(key).and_then(Value::as_text).map(str::to_owned)
}
