//! `jackfield maintenance on|off`: tells every open back office of OroPlatform that maintenance
//! begins or ends, as the application itself does: `{"isOn", "userId"}` on `oro/maintenance`.

use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use jackfield_wamp::message::PublishOptions;
use serde_json::json;

use super::publish::publish;
use super::remote::{self, Remote};
use super::say;

const TOPIC: &str = "oro/maintenance";

/// What `jackfield maintenance` is told.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whether maintenance begins or ends.
    state: State,
    #[command(flatten)]
    remote: Remote,
    /// The id of the user who goes on working, and is shown nothing: a number, as pages compare it
    /// with their own.
    #[arg(long, value_name = "ID", value_parser = user_id)]
    user: Option<u64>,
    /// How long it may take, connecting included.
    #[arg(long, value_parser = remote::duration, default_value = "10s")]
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
    let event = json!({ "isOn": state == State::On, "userId": user });
    remote::run(async move {
        let payload = remote::payload(&[event.to_string()], "", false)?;
        let options = PublishOptions { acknowledge: true, ..PublishOptions::default() };
        remote::within(timeout, publish(remote, TOPIC, options, payload)).await?;
        let state = if state == State::On { "on" } else { "off" };
        // Nothing depends on it; as with `publish`, stdout is for what scripts read.
        say(format_args!("published to {TOPIC}: maintenance is {state}"));
        Ok(())
    })
}

fn user_id(text: &str) -> Result<u64, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let id = text.parse().ok().filter(|_| digits);
    id.ok_or("write the user's id, a number such as 7; names are not compared")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_are_numbers() {
        assert_eq!(user_id("7"), Ok(7));
        for wrong in ["admin", " 7", "7 ", "", "+7", "-7", "7.0", "99999999999999999999"] {
            assert!(user_id(wrong).is_err(), "{wrong:?}");
        }
    }
}
