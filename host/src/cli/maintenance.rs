//! `jackfield maintenance on|off`: tells every open back office of OroPlatform that maintenance
//! begins or ends, as the application itself does: `{"isOn", "userId"}` on `oro/maintenance`.

use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use jackfield_wamp::message::PublishOptions;
use serde_json::{Value, json};

use super::publish::publish;
use super::remote::{self, Remote};

const TOPIC: &str = "oro/maintenance";

/// What `jackfield maintenance` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whether maintenance begins or ends.
    state: State,
    #[command(flatten)]
    remote: Remote,
    /// The id of the user who goes on working, and is shown nothing.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// How long it may take, connecting included.
    #[arg(long, value_parser = remote::span, default_value = "10s")]
    timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    On,
    Off,
}

/// Tells them.
pub fn run(args: Args) -> ExitCode {
    let Args { state, remote, user, timeout } = args;
    // Ids are numbers in the application, and are compared as such.
    let user = user.map(|id| id.parse::<u64>().map_or(Value::from(id), Value::from));
    let event = json!({ "isOn": state == State::On, "userId": user });
    remote::run(async move {
        let payload = remote::payload(&[event.to_string()], "", false)?;
        let options = PublishOptions { acknowledge: true, ..PublishOptions::default() };
        remote::within(timeout, publish(remote, TOPIC, options, payload)).await.map(drop)
    })
}
