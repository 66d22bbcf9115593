//! `jackfield health [DIR]`: asks the port of a server for its health. For health checks of containers,
//! which have no curl.
//!
//! Exit codes: 0 the server is well; 1 it answers that it is not; 2 usage; 3 no server answers.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use jackfield_config::{ListenerPlace, ListenerSettings};
use jackfield_text::Untrusted;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::config_args::SettingsArgs;
use super::control::{self, ControlError};
use super::http_exchange::{HttpAnswer, exchange};
use super::{JsonAlways, say};

/// The exit code of a command line with a wrong value.
const USAGE: u8 = 2;
/// The exit code without an answer.
const UNREACHABLE: u8 = 3;

/// Command-line arguments of `jackfield health`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Site directory of the server, as given to `jackfield serve` [default: the current directory].
    #[arg(value_name = "DIR", default_value = ".", hide_default_value = true)]
    site: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Address and port of the server; replaces the setting `listen`.
    #[arg(long, value_name = "ADDR", value_parser = jackfield_config::listen_address)]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    _json: JsonAlways,
}

/// Asks the server, and prints its answer.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    control::run(async {
        // Without the folder, the defaults would lead to the port of another server.
        if args.listen.is_none() && !args.site.is_dir() {
            let site = Untrusted::new(args.site.display());
            say(format_args!(
                "error: there is no site directory {site}\n  = help: name the directory of `jackfield serve`, \
                 or the address with --listen"
            ));
            return Ok(ExitCode::from(USAGE));
        }
        let settings = args.settings.find(&args.site);
        let given = args.listen.map(ListenerSettings::simple);
        let listeners = || settings.config.all_listeners();
        let own = listeners().find(|it| it.tls.is_none()).or_else(|| listeners().next());
        let Some(listener) = given.or(own) else {
            say("error: the settings name no listener\n  = help: name an address with --listen");
            return Ok(ExitCode::from(USAGE));
        };
        let place = &listener.place;
        let answer = match ask(&listener).await {
            Ok(answer) => answer,
            // A running server keeps its settings while the file has errors, so it was asked anyway.
            Err(_) if args.listen.is_none() && !settings.problems.is_empty() => {
                settings.problems.iter().for_each(say);
                say(
                    "error: invalid configuration; fix the errors above, or name the address with --listen",
                );
                return Ok(ExitCode::from(USAGE));
            }
            Err(error) => {
                let help = "is the server running, and is this its address?";
                let place = Untrusted::new(place);
                say(format_args!("error: no health from {place}: {error}\n  = help: {help}"));
                return Ok(ExitCode::from(UNREACHABLE));
            }
        };
        let body = jackfield_text::json(answer.body.trim_end());
        writeln!(out, "{body}").map_err(ControlError::Output)?;
        if answer.status == 200 {
            return Ok(ExitCode::SUCCESS);
        }
        let status = answer.status;
        let place = Untrusted::new(place);
        say(format_args!("error: the server at {place} is not well: status {status}"));
        Ok(ExitCode::FAILURE)
    })
}

/// Asks a listener.
async fn ask(listener: &ListenerSettings) -> io::Result<HttpAnswer> {
    match &listener.place {
        ListenerPlace::Address(listen) => {
            let address = reachable(*listen);
            let stream = TcpStream::connect(address).await?;
            ask_over(stream, &address.to_string(), listener).await
        }
        ListenerPlace::Socket { path, .. } => {
            ask_over(UnixStream::connect(path).await?, "localhost", listener).await
        }
    }
}

/// Asks over a connection. With TLS, the certificate of the settings is trusted, and no other.
async fn ask_over<S>(stream: S, host: &str, listener: &ListenerSettings) -> io::Result<HttpAnswer>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = format!("GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let pair = listener.tls.as_ref().and_then(|tls| tls.pairs.first());
    let Some(pair) = pair else { return exchange(stream, &request).await };
    let config = jackfield_tls::trust_in(&pair.certificate).map_err(io::Error::other)?;
    // A server with several certificates sends the first one to clients that name no host.
    let name = ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    exchange(stream, &request).await
}

/// The address at which a server of this machine can be reached that listens on another, or on all.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_on_the_machine_itself() {
        let check = |listen: &str, expect: &str| {
            assert_eq!(reachable(listen.parse().unwrap()), expect.parse().unwrap());
        };
        check("0.0.0.0:8080", "127.0.0.1:8080");
        check("[::]:8080", "[::1]:8080");
        check("10.0.0.7:80", "10.0.0.7:80");
    }
}
