//! `jackfield subscribe TOPIC…`: prints every event as a line of JSON.

use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use jackfield_client::{Client, ReceivedEvent};
use jackfield_text::Untrusted;
use jackfield_wamp::uri::MatchPolicy;
use jackfield_wamp::value::{Dict, Value};
use serde::Serialize;
use serde_json::value::RawValue;

use super::remote::{self, CommandError, Remote};
use super::say;

/// How long connecting and subscribing may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `jackfield subscribe` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    remote: Remote,
    /// What to listen to.
    #[arg(value_name = "TOPIC", required = true)]
    topics: Vec<String>,
    /// How topics are matched.
    #[arg(long = "match", value_enum, default_value_t = Match::Exact)]
    policy: Match,
    /// End after so many events.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so long; with --count, too few events by then are a failure.
    #[arg(long, value_parser = remote::duration)]
    timeout: Option<Duration>,
    /// Print JSON for people, over several lines.
    #[arg(long)]
    pretty: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Match {
    Exact,
    Prefix,
    Wildcard,
}

/// An event as it is printed.
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

/// Listens.
pub fn run(args: Args) -> ExitCode {
    let Args { remote, topics, policy, count, timeout, pretty } = args;
    remote::run(async move {
        let mut client = remote::within(PATIENCE, subscribe(remote, &topics, policy)).await?;
        let listening = listen(&mut client, count, pretty);
        match timeout {
            None => listening.await?,
            Some(limit) => match remote::within(limit, listening).await {
                Err(CommandError::TimedOut(_)) if count.is_none() => {}
                ended => ended?,
            },
        }
        // What was waited for is there; whether the server says goodbye in time is of no interest.
        let _late = remote::within(PATIENCE, async { Ok(client.leave().await?) }).await;
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
        // On stderr, for scripts that wait until it listens; nothing depends on it otherwise.
        say(format_args!("subscribed to {}", Untrusted::new(topic)));
    }
    Ok(client)
}

async fn listen(client: &mut Client, count: Option<u64>, pretty: bool) -> Result<(), CommandError> {
    let mut seen = 0;
    while count.is_none_or(|count| seen < count) {
        let ReceivedEvent { topic, publication, details, payload } = client.event().await?;
        let (args, kwargs) = remote::raw(&payload)?;
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
        remote::print(&line, pretty)?;
        seen += 1;
    }
    Ok(())
}

fn text(details: &Dict, key: &str) -> Option<String> {
    details.get(key).and_then(Value::as_text).map(str::to_owned)
}
