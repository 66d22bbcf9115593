//! `jackfield publish TOPIC [ARGS…]`: publishes one event as a WAMP client.

use std::process::ExitCode;
use std::time::Duration;

use jackfield_wamp::id::PublicationId;
use jackfield_wamp::message::PublishOptions;
use jackfield_wamp::payload::Payload;
use serde_json::json;

use super::remote::{self, Ended, Remote};
use super::say;

/// What `jackfield publish` is told.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Args {
    #[command(flatten)]
    remote: Remote,
    /// Where to publish.
    topic: String,
    /// What to publish: each that is JSON is taken for JSON, anything else for text.
    #[arg(value_name = "ARGS", allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// Keyword arguments: a JSON object.
    #[arg(long, value_name = "JSON", default_value = "")]
    kwargs: String,
    /// Take every argument for text.
    #[arg(long)]
    text: bool,
    /// Print the publication as JSON.
    #[arg(long)]
    json: bool,
    /// Whether to wait until the server has taken it, or refused it.
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    acknowledge: bool,
    /// Whether the publishing session itself is left out, were it subscribed.
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    exclude_me: bool,
    /// Let the receivers know who published it.
    #[arg(long)]
    disclose_me: bool,
    /// How long it may take, connecting included.
    #[arg(long, value_parser = remote::span, default_value = "10s")]
    timeout: Duration,
}

/// Publishes.
pub fn run(args: Args) -> ExitCode {
    let options = PublishOptions {
        acknowledge: args.acknowledge,
        exclude_me: args.exclude_me,
        disclose_me: args.disclose_me,
        ..PublishOptions::default()
    };
    remote::run(async move {
        let payload = remote::payload(&args.arguments, &args.kwargs, args.text)?;
        let published = publish(args.remote, &args.topic, options, payload);
        let published = remote::within(args.timeout, published).await?;
        if args.json {
            return remote::print(&json!({ "publication": published }), false);
        }
        let done = if args.acknowledge { "published" } else { "sent" };
        // On stderr, as stdout is for what scripts read; nothing depends on it.
        say(format_args!("{done} to {}", args.topic));
        Ok(())
    })
}

/// Publishes one event, and leaves. The publication's id, if it is acknowledged.
pub(super) async fn publish(
    remote: Remote,
    topic: &str,
    options: PublishOptions,
    payload: Payload,
) -> Result<Option<u64>, Ended> {
    let mut client = remote.connect().await?;
    let published = client.publish(topic, options, payload).await?;
    client.leave().await?;
    Ok(published.map(PublicationId::get))
}
