//! `jackfield health [DIR]`: asks the port of a server for its health. For health checks of containers,
//! which have no curl.
//!
//! Exit codes: 0 the server is well; 1 it answers that it is not; 2 usage; 3 no server answers.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use hyper::{Method, StatusCode};
use jackfield_config::{ListenerPlace, ListenerSettings};
use jackfield_text::Untrusted;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::config_args::SettingsArgs;
use super::control::{self, ANSWER_TIME, ControlError};
use super::http_exchange::{HttpAnswer, exchange};
use super::{JsonAlways, say};
use crate::connection::TLS_ONLY;

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
        if args.listen.is_none() && !settings.problems.is_empty() {
            return by_control_socket(args, out).await;
        }
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
        if status == 400 && answer.body.contains(TLS_ONLY) {
            say(format_args!(
                "error: the server at {place} accepts only TLS\n  = help: leave out --listen, so that the \
                 settings name the certificate"
            ));
        } else {
            say(format_args!("error: the server at {place} is not well: status {status}"));
        }
        Ok(ExitCode::FAILURE)
    })
}

/// Asks the server by its control socket: it keeps its settings while the file has errors, whose addresses
/// may be those of another server.
async fn by_control_socket(args: &Args, out: &mut dyn Write) -> Result<ExitCode, ControlError> {
    let server = match control::find(&args.site, &args.settings).await {
        Ok(server) => server,
        Err(ControlError::Settings(problems)) => {
            problems.iter().for_each(say);
            say(
                "error: invalid configuration; fix the errors above, or name the address with --listen",
            );
            return Ok(ExitCode::from(USAGE));
        }
        Err(error) => return Err(error),
    };
    let answer = server.ask(Method::GET, "/readyz", None, ANSWER_TIME).await?;
    answer.print(out).map_err(ControlError::Output)?;
    if answer.status == StatusCode::OK {
        return Ok(ExitCode::SUCCESS);
    }
    say(format_args!("error: the server is not ready: status {}", answer.status.as_u16()));
    Ok(ExitCode::FAILURE)
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
