//! `jackfield publish TOPIC [ARGS…]`: publishes one event as a WAMP client, or with `-` every event
//! on standard input.

use std::process::ExitCode;
use std::time::Duration;

use jackfield_wamp::id::PublicationId;
use jackfield_wamp::message::PublishOptions;
use jackfield_wamp::payload::Payload;
use serde_json::json;

use super::json_payload;
use super::remote::{self, CommandError, Remote};
use super::say;
use super::stdin;

/// The argument for standard input.
const STDIN: &str = "-";

/// Command-line arguments of `jackfield publish`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    /// Topic to publish to.
    topic: String,
    /// Arguments of the event. Valid JSON is sent as JSON, anything else as a string. A single `-`
    /// publishes standard input: each JSON value is an event, or with --text each line.
    #[arg(value_name = "ARGS", allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// Keyword arguments, as a JSON object.
    #[arg(long, value_name = "JSON", default_value = "")]
    kwargs: String,
    /// Send every argument as a string, even if it is valid JSON.
    #[arg(long)]
    text: bool,
    /// Print the publication id as JSON.
    #[arg(long)]
    json: bool,
    /// Wait until the server acknowledges or rejects the event.
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    acknowledge: bool,
    /// Do not deliver the event to the publishing session itself.
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    exclude_me: bool,
    /// Disclose the publishing session to the subscribers.
    #[arg(long)]
    disclose_me: bool,
    /// Maximum time to connect and to publish; with `-`, to connect, and for each event.
    #[arg(long, value_parser = remote::duration, default_value = "10s")]
    timeout: Duration,
}

/// Publishes one event, or those on standard input.
pub(crate) fn run(args: Args) -> ExitCode {
    let options = PublishOptions {
        acknowledge: args.acknowledge,
        exclude_me: args.exclude_me,
        disclose_me: args.disclose_me,
        ..PublishOptions::default()
    };
    if args.arguments.iter().any(|argument| argument == STDIN) && !args.text
        || args.arguments == [STDIN]
    {
        return remote::run(publish_stdin(args, options));
    }
    remote::run(async move {
        let payload = json_payload::from_args(&args.arguments, &args.kwargs, args.text)?;
        let published = publish(args.remote, &args.topic, options, payload);
        let published = remote::within(args.timeout, published).await?;
        if args.json {
            return json_payload::print(&json!({ "publication": published }), false);
        }
        let done = if args.acknowledge { "published" } else { "sent" };
        // On stderr, as stdout is kept for the output that scripts read.
        say(format_args!("{done} to {}", args.topic));
        Ok(())
    })
}

/// Publishes the events on standard input as they arrive, over one connection.
async fn publish_stdin(args: Args, options: PublishOptions) -> Result<(), CommandError> {
    let Args { remote, topic, arguments, kwargs, text, json, acknowledge, timeout, .. } = args;
    if arguments != [STDIN] {
        let message = "`-` (standard input) cannot be combined with other arguments";
        let help = "--text sends `-` as a string";
        return Err(CommandError::Usage(format!("{message}\n  = help: {help}")));
    }
    // Reports an invalid --kwargs before the first event is sent.
    json_payload::from_json(&[], &kwargs)?;
    let mut client = remote::within(timeout, remote.connect()).await?;
    let mut events = stdin::events(text);
    let mut count = 0u64;
    let ended = loop {
        // Reading from the connection answers pings while standard input is idle.
        let event = tokio::select! {
            biased;
            event = events.recv() => event,
            came = client.event() => match came {
                Ok(_) => continue,
                Err(failure) => break Err(failure.into()),
            },
        };
        let payload = match event {
            None => break Ok(()),
            Some(Ok(event)) => json_payload::from_json(&[event], &kwargs),
            Some(Err(message)) => Err(CommandError::Usage(message)),
        };
        let published = match payload {
            Err(ended) => break Err(ended),
            Ok(payload) => {
                let published = client.publish(&topic, options.clone(), payload);
                remote::within(timeout, async { Ok(published.await?) }).await
            }
        };
        match published {
            Err(ended) => break Err(ended),
            Ok(published) if json => {
                let publication = published.map(PublicationId::get);
                json_payload::print(&json!({ "publication": publication }), false)?;
            }
            Ok(_) => {}
        }
        count += 1;
    };
    // After any other failure, the session is closed in order: events already sent are processed.
    let left = match ended {
        Err(CommandError::Failed(_) | CommandError::TimedOut(_)) => Ok(()),
        _ => remote::within(timeout, async { Ok(client.leave().await?) }).await,
    };
    if !json {
        let done = if acknowledge { "published" } else { "sent" };
        let events = if count == 1 { "event" } else { "events" };
        say(format_args!("{done} {count} {events} to {topic}"));
    }
    ended.and(left)
}

/// Publishes one event and closes the session. Returns the publication id if it is acknowledged.
pub(super) async fn publish(
    remote: Remote,
    topic: &str,
    options: PublishOptions,
    payload: Payload,
) -> Result<Option<u64>, CommandError> {
    let mut client = remote.connect().await?;
    let published = client.publish(topic, options, payload).await?;
    client.leave().await?;
    Ok(published.map(PublicationId::get))
}
