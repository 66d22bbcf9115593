//! `jackfield call PROCEDURE [ARGS…]`: calls a procedure and prints the result.

use std::process::ExitCode;
use std::time::Duration;

use jackfield_wamp::payload::Payload;
use serde::Serialize;
use serde_json::value::RawValue;

use super::JsonAlways;
use super::json_payload;
use super::remote::{self, CommandError, Remote};

/// Command-line arguments of `jackfield call`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    /// The URI of the procedure.
    procedure: String,
    /// Arguments of the call. Valid JSON is sent as JSON, anything else as a string.
    #[arg(value_name = "ARGS", allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// Keyword arguments, as a JSON object.
    #[arg(long, value_name = "JSON", default_value = "")]
    kwargs: String,
    /// Send every argument as a string, even if it is valid JSON.
    #[arg(long)]
    text: bool,
    /// Print indented JSON.
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    _json: JsonAlways,
    /// Maximum time to connect and to get the result.
    #[arg(long, value_parser = remote::duration, default_value = "10s")]
    timeout: Duration,
}

/// The printed form of a result.
#[derive(Serialize)]
struct Line {
    args: Box<RawValue>,
    kwargs: Box<RawValue>,
}

/// Calls the procedure and prints the result.
pub(crate) fn run(args: Args) -> ExitCode {
    remote::run(async move {
        let payload = json_payload::from_args(&args.arguments, &args.kwargs, args.text)?;
        let called = call(args.remote, &args.procedure, payload);
        let result = remote::within(args.timeout, called).await?;
        let pretty = args.pretty;
        let (args, kwargs) = json_payload::raw(&result)?;
        json_payload::print(&Line { args, kwargs }, pretty)
    })
}

async fn call(remote: Remote, procedure: &str, payload: Payload) -> Result<Payload, CommandError> {
    let mut client = remote.connect().await?;
    let result = client.call(procedure, payload).await?;
    client.leave().await?;
    Ok(result)
}
