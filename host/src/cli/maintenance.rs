//! `jackfield maintenance on|off`: announces the start or end of maintenance to every open
//! back-office page of OroPlatform. It publishes `{"isOn", "userId"}` to `oro/maintenance`, as the
//! application itself does.

use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use jackfield_wamp::message::PublishOptions;
use serde_json::json;

use super::json_payload;
use super::publish::publish;
use super::remote::{self, Remote};
use super::say;

const TOPIC: &str = "oro/maintenance";

/// Command-line arguments of `jackfield maintenance`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// State of the maintenance: on when it starts, off when it ends.
    state: State,
    #[command(flatten)]
    remote: Remote,
    /// Numeric id of the user who keeps working: the pages of this user ignore the announcement.
    #[arg(long, value_name = "ID", value_parser = user_id)]
    user: Option<u64>,
    /// Maximum time to connect and to publish.
    #[arg(long, value_parser = remote::duration, default_value = "10s")]
    timeout: Duration,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    On,
    Off,
}

/// Publishes the announcement.
pub(crate) fn run(args: Args) -> ExitCode {
    let Args { state, remote, user, timeout, json } = args;
    let event = json!({ "isOn": state == State::On, "userId": user });
    remote::run(async move {
        let payload = json_payload::from_args(&[event.to_string()], "", false)?;
        let options = PublishOptions { acknowledge: true, ..PublishOptions::default() };
        let publication = remote::within(timeout, publish(remote, TOPIC, options, payload)).await?;
        let state = if state == State::On { "on" } else { "off" };
        if json {
            let done = json!({ "topic": TOPIC, "state": state, "publication": publication });
            return json_payload::print(&done, false);
        }
        // As with `publish`, stdout is kept for the output that scripts read.
        say(format_args!("published to {TOPIC}: maintenance is {state}"));
        Ok(())
    })
}

fn user_id(text: &str) -> Result<u64, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let id = text.parse().ok().filter(|_| digits);
    id.ok_or("expected the numeric id of a user, such as 7")
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
