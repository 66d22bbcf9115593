//! HTTP request for one user: a GET, and a user or none in the response.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jackfield_tls::{Authorities, ClientConfig, HandshakeError, TrustError};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::config::HttpSettings;
use crate::error::SetupError;
use crate::php::PhpList;
use crate::reading::read;
use crate::reference::reference;
use crate::user::{User, WrittenHash, WrittenId};
use crate::users::{UsersError, is_name};

const PLACEHOLDER: &str = "{username}";
/// Maximum length of a response, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// All characters but the unreserved ones of RFC 3986, section 2.3, are percent-encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// HTTP client of the endpoint.
#[derive(Debug)]
pub(super) struct Asker {
    url: String,
    /// The address without secret parts, for messages.
    place: Arc<str>,
    authorization: Option<HeaderValue>,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

/// User in a response. Unknown fields are ignored.
#[derive(Deserialize)]
struct Written {
    id: WrittenId,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: WrittenHash,
    #[serde(default)]
    roles: PhpList<String>,
    #[serde(default)]
    organization: Option<WrittenId>,
    #[serde(default = "enabled")]
    enabled: bool,
    #[serde(default, deserialize_with = "claims")]
    claims: Map<String, Value>,
}

/// Parses claims. PHP writes an object without keys as `[]`.
fn claims<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Object(claims) => Ok(claims),
        Value::Array(list) if list.is_empty() => Ok(Map::new()),
        _ => Err(D::Error::custom("claims are an object")),
    }
}

fn enabled() -> bool {
    true
}

impl Asker {
    pub(super) fn new(settings: &HttpSettings) -> Result<Self, SetupError> {
        let (place, https) = check_url(&settings.url)?;
        let authorization = match &settings.token {
            None => None,
            Some(token) => {
                let line = format!("Bearer {}", *token.fetch()?);
                let mut value = HeaderValue::from_str(&line).map_err(|_| {
                    setting("auth.users.http.token", "has characters that no header can hold")
                })?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(settings.connect_timeout.get()));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(settings, https)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(settings.parallel.get())
            .build(connector);
        let place = format!("{place} (auth.users.http)").into();
        Ok(Self { url: settings.url.clone(), place, authorization, client })
    }

    pub(super) fn place(&self) -> Arc<str> {
        Arc::clone(&self.place)
    }

    /// Requests the user of this name; `None` if the application does not know it. The caller
    /// limits the time.
    pub(super) async fn ask(&self, username: &str) -> Result<Option<User>, UsersError> {
        // Path segments with a special meaning, even percent-encoded.
        if matches!(username, "." | "..") {
            return Ok(None);
        }
        let encoded = utf8_percent_encode(username, ENCODED).to_string();
        let uri: Uri =
            self.url.replace(PLACEHOLDER, &encoded).parse().map_err(|_| {
                self.unreachable("the address is too long for this name".to_owned())
            })?;
        let mut request = Request::get(uri)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("jackfield/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let request =
            request.body(Empty::new()).map_err(|error| self.unreachable(error.to_string()))?;
        let response =
            self.client.request(request).await.map_err(|error| self.unreachable(chain(&error)))?;
        let status = response.status();
        match status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let reason = format!("it answered {status}: look at `auth.users.http.token`");
                return Err(self.unreachable(reason));
            }
            _ if status.is_redirection() => {
                let reason = format!("it answered {status}: redirects are not followed");
                return Err(self.unreachable(reason));
            }
            _ => return Err(self.unreachable(format!("it answered {status}"))),
        }
        let body = Limited::new(response.into_body(), MAX_BYTES);
        let body = body.collect().await.map_err(|error| self.unreachable(chain(error.as_ref())))?;
        let user = read_user(username, &body.to_bytes());
        user.map(Some).map_err(|reason| UsersError::Answer { place: self.place(), reason })
    }

    pub(super) fn unreachable(&self, reason: String) -> UsersError {
        UsersError::Unreachable { place: self.place(), reason }
    }
}

fn read_user(asked: &str, json: &[u8]) -> Result<User, String> {
    let written: Written = serde_json::from_slice(json).map_err(|error| {
        let message = error.to_string();
        // All other messages may quote the response.
        if message.starts_with("missing field") {
            message
        } else {
            let (line, column) = (error.line(), error.column());
            format!("it is not a user in JSON (line {line}, column {column})")
        }
    })?;
    let username = written.username.unwrap_or_else(|| asked.to_owned());
    if !is_name(&username) || username.to_lowercase() != asked.to_lowercase() {
        return Err("it is about another user than was asked for".to_owned());
    }
    Ok(User {
        id: written.id.0,
        username,
        password: written.password.0,
        roles: written.roles.0,
        organization: written.organization.map(|id| id.0),
        enabled: written.enabled,
        claims: written.claims,
    })
}

/// Checks the URL. Returns the address for messages, and whether the scheme is HTTPS.
fn check_url(url: &str) -> Result<(String, bool), SetupError> {
    let wrong = |wrong: &str| setting("auth.users.http.url", wrong);
    if let Some(written) = reference(url) {
        return Err(wrong(&format!("holds `{written}`, a reference that is never resolved")));
    }
    if !url.contains(PLACEHOLDER) {
        return Err(wrong("has no {username} in it, where the name belongs"));
    }
    let with = |name: &str| url.replace(PLACEHOLDER, name).parse::<Uri>().ok();
    let (Some(uri), Some(other)) = (with("a"), with("b")) else {
        return Err(wrong("is not an address: write https://app.example.com/users/{username}"));
    };
    let https = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(wrong("has to begin with http:// or https://")),
    };
    let Some(authority) = uri.authority().filter(|it| Some(*it) == other.authority()) else {
        return Err(wrong("has the name in its host, so that the client would choose the server"));
    };
    if authority.as_str().contains('@') {
        return Err(wrong("has a password in it: use `auth.users.http.token`"));
    }
    let scheme = if https { "https" } else { "http" };
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.splitn(4, '/').nth(3).unwrap_or_default();
    Ok((format!("{scheme}://{authority}/{path}"), https))
}

fn tls(settings: &HttpSettings, https: bool) -> Result<ClientConfig, SetupError> {
    let wrong = |error: TrustError| setting("auth.users.http.ca", &error.to_string());
    let authorities = match &settings.ca {
        Some(path) => Some(Authorities::from_pem(read(path)?.as_bytes()).map_err(wrong)?),
        // Read only for HTTPS: the system has many such files.
        None if https => Some(Authorities::of_system().map_err(wrong)?),
        None => None,
    };
    Authorities::client_config(authorities)
        .map_err(|error| setting("auth.users.http.url", &error.to_string()))
}

fn setting(key: &'static str, wrong: &str) -> SetupError {
    SetupError::Setting { key, wrong: wrong.to_owned() }
}

/// Formats an error with its causes, as the first alone says little. A failed handshake has its own
/// reason.
fn chain(error: &(dyn Error + 'static)) -> String {
    if let Some(error) = HandshakeError::among(error) {
        return error.to_string();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
