//! OroPlatform's variables for the addresses of its WebSocket server: `ORO_WEBSOCKET_SERVER_DSN` is
//! the address to listen on, `ORO_WEBSOCKET_FRONTEND_DSN` that for browsers, and
//! `ORO_WEBSOCKET_BACKEND_DSN` that for the backend.
//!
//! `tcp://127.0.0.1:8080`, `//0.0.0.0:8080`, `ssl://*:443/ws?context_options[verify_peer]=false`:
//! the scheme is optional, and the default port is 8080. The host `*` means all IPv4 addresses to
//! listen on, and the host of the page for browsers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use jackfield_yaml::Diagnosis;

/// Variable of the address to listen on.
pub const SERVER: &str = "ORO_WEBSOCKET_SERVER_DSN";
/// Variable of the address for browsers.
pub const FRONTEND: &str = "ORO_WEBSOCKET_FRONTEND_DSN";
/// Variable of the address for the application's backend.
pub const BACKEND: &str = "ORO_WEBSOCKET_BACKEND_DSN";

const PORT: u16 = 8080;

/// Address of a WebSocket server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dsn {
    /// `tcp`, `ssl`, `tls` and the like.
    scheme: String,
    host: String,
    port: u16,
    /// The path, with a leading slash.
    path: String,
    /// Whether certificate verification is disabled.
    unverified: bool,
}

impl Dsn {
    /// Parses an address. Errors name `variable`.
    ///
    /// # Errors
    /// If the address is invalid; the text is not quoted.
    pub fn parse(variable: &str, text: &str) -> Result<Self, Diagnosis> {
        Self::read(text).ok_or_else(|| {
            // Not quoted, because it may contain a password.
            let message = "this is no address of a WebSocket server";
            let example = match variable {
                SERVER => "//0.0.0.0:8080",
                FRONTEND => "//*:443/ws",
                _ => "tcp://127.0.0.1:8080",
            };
            invalid(variable, message, format!("write one such as {example}"))
        })
    }

    fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("//")?;
        let scheme = match scheme {
            "" => "tcp",
            scheme => scheme.strip_suffix(':').filter(|scheme| !scheme.is_empty())?,
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.is_empty() && !path.is_empty() || rest.starts_with('/') {
            return None;
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, PORT),
        };
        if host.is_empty() && !authority.is_empty() || host.contains('@') {
            return None;
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let unverified = form_urlencoded::parse(query.as_bytes()).any(|(key, value)| {
            key == "context_options[verify_peer]" && matches!(&*value, "false" | "0" | "")
        });
        Some(Self {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            port,
            path: format!("/{}", path.trim_matches('/')),
            unverified,
        })
    }

    /// Returns the address to listen on.
    pub(super) fn listen(&self, variable: &str) -> Result<SocketAddr, Diagnosis> {
        let ip = match self.host.as_str() {
            // The application's own command refuses to start then, with this reason.
            "" => {
                let message = "the host is empty, by which OroPlatform switches WebSockets off";
                let help = "unset it for Jackfield";
                return Err(invalid(variable, message, help));
            }
            "*" => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            "localhost" => IpAddr::from(Ipv4Addr::LOCALHOST),
            host => host.parse().map_err(|_| {
                let message = format!("`{host}` is not an IP address to listen on");
                invalid(variable, message, "write one such as //0.0.0.0:8080")
            })?,
        };
        Ok(SocketAddr::new(ip, self.port))
    }

    /// Converts the address to a WebSocket URL; `*` is this machine.
    ///
    /// # Errors
    /// If certificate verification is disabled.
    pub fn url(&self, variable: &str) -> Result<String, Diagnosis> {
        if self.unverified {
            let message = "certificates are not to be verified, and here they always are";
            let help = "name the server with --url";
            return Err(invalid(variable, message, help));
        }
        let scheme = match self.scheme.as_str() {
            "tcp" | "ws" | "http" => "ws",
            _ => "wss",
        };
        let Self { port, path, .. } = self;
        Ok(match self.host.as_str() {
            "" | "*" => format!("{scheme}://127.0.0.1:{port}{path}"),
            host if host.contains(':') => format!("{scheme}://[{host}]:{port}{path}"),
            host => format!("{scheme}://{host}:{port}{path}"),
        })
    }
}

fn invalid(variable: &str, message: impl Into<String>, help: impl Into<String>) -> Diagnosis {
    Diagnosis::without_place(variable, message).with_help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_as_the_application_does() {
        let check = |text: &str, expect: Option<(&str, &str, u16, &str)>| {
            let dsn = Dsn::read(text);
            let read =
                dsn.as_ref().map(|it| (it.scheme.as_str(), it.host.as_str(), it.port, &*it.path));
            assert_eq!(read, expect, "{text}");
        };
        check("//0.0.0.0:8080", Some(("tcp", "0.0.0.0", 8080, "/")));
        check("//*:8080/ws", Some(("tcp", "*", 8080, "/ws")));
        check("tcp://127.0.0.1", Some(("tcp", "127.0.0.1", 8080, "/")));
        check("ssl://app.example.com:443/ws/", Some(("ssl", "app.example.com", 443, "/ws")));
        check("//[::1]:90", Some(("tcp", "::1", 90, "/")));
        check("//[::1]", Some(("tcp", "::1", 8080, "/")));
        check("//", Some(("tcp", "", 8080, "/")));
        for wrong in [
            "",
            "localhost",
            "//user:hunter2@0.0.0.0:80",
            "//a@b",
            "///",
            "//:80",
            "//*:port",
            "://x",
            "//a:99999",
            "8080",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn errors_do_not_repeat_the_address() {
        let check = |variable: &str, help: &str| {
            for text in ["tcp://user:hunter2@h:x", "//user:hunter2@0.0.0.0:80", "hunter2:8080"] {
                let error = Dsn::parse(variable, text).unwrap_err().to_string();
                assert!(error.ends_with(help) && !error.contains("hunter2"), "{error}");
            }
        };
        check(SERVER, "write one such as //0.0.0.0:8080");
        check(FRONTEND, "write one such as //*:443/ws");
        check(BACKEND, "write one such as tcp://127.0.0.1:8080");
    }

    #[test]
    fn reads_the_address_to_listen_on() {
        let listen = |text: &str| {
            let address = Dsn::parse(SERVER, text).unwrap().listen(SERVER);
            address.map(|it| it.to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(listen("//0.0.0.0:8080"), Ok("0.0.0.0:8080".to_owned()));
        assert_eq!(listen("//*:81"), Ok("0.0.0.0:81".to_owned()));
        assert_eq!(listen("//localhost:81"), Ok("127.0.0.1:81".to_owned()));
        assert!(listen("//").unwrap_err().starts_with("ORO_WEBSOCKET_SERVER_DSN: error: the host"));
        assert!(listen("//host:1").unwrap_err().contains("`host` is not an IP address"));
    }

    #[test]
    fn reads_the_address_of_the_backend() {
        let url = |text: &str| Dsn::parse(BACKEND, text).unwrap().url(BACKEND).ok();
        assert_eq!(url("tcp://127.0.0.1:8080").as_deref(), Some("ws://127.0.0.1:8080/"));
        assert_eq!(url("ssl://a.example:443/ws").as_deref(), Some("wss://a.example:443/ws"));
        assert_eq!(url("//*:80/ws").as_deref(), Some("ws://127.0.0.1:80/ws"));
        assert_eq!(url("ssl://*:443/ws?context_options[verify_peer]=false"), None);
        assert_eq!(url("ssl://*:443/ws?context_options%5Bverify_peer%5D=false"), None);
    }
}
