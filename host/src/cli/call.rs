//! `jackfield call PROCEDURE [ARGS…]`: calls a procedure and prints its result.

use std::process::ExitCode;
use std::time::Duration;

use jackfield_wamp::payload::Payload;
use serde::Serialize;
use serde_json::value::RawValue;

use super::remote::{self, CommandError, Remote};

/// What `jackfield call` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    remote: Remote,
    /// What to call.
    procedure: String,
    /// What to call it with: JSON is taken for JSON, other words for text.
    #[arg(value_name = "ARGS", allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// Keyword arguments: a JSON object.
    #[arg(long, value_name = "JSON", default_value = "")]
    kwargs: String,
    /// Take every argument for text.
    #[arg(long)]
    text: bool,
    /// Print JSON for people, over several lines.
    #[arg(long)]
    pretty: bool,
    /// How long it may take, connecting included.
    #[arg(long, value_parser = remote::duration, default_value = "10s")]
    timeout: Duration,
}

/// A result as it is printed.
#[derive(Serialize)]
struct Line {
    args: Box<RawValue>,
    kwargs: Box<RawValue>,
}

/// Calls.
pub fn run(args: Args) -> ExitCode {
    remote::run(async move {
        let payload = remote::payload(&args.arguments, &args.kwargs, args.text)?;
        let called = call(args.remote, &args.procedure, payload);
        let result = remote::within(args.timeout, called).await?;
        let pretty = args.pretty;
        let (args, kwargs) = remote::raw(&result)?;
        remote::print(&Line { args, kwargs }, pretty)
    })
}

async fn call(remote: Remote, procedure: &str, payload: Payload) -> Result<Payload, CommandError> {
    let mut client = remote.connect().await?;
    let result = client.call(procedure, payload).await?;
    client.leave().await?;
    Ok(result)
}
