//! Settings `access` and `allow`: admission of connections, and default access lists of routes.

use std::collections::BTreeMap;

use jackfield_text::Untrusted;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::networks::Networks;
use super::origins::Origins;

/// Admission of connections, before authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The path of connections; paths below it are included.
    pub path: String,
    /// The origins from which browsers may connect; `None` allows all.
    pub origins: Option<Origins>,
    /// The blocked addresses.
    pub blocked: Networks,
    /// The trusted proxies: their forwarding headers are used.
    pub proxies: Networks,
    /// Whether clients must use HTTPS, as reported by one of `proxies`.
    pub https: bool,
    /// Whether sessions without authentication are accepted. Default: true if no authentication
    /// method is configured.
    pub anonymous: Option<bool>,
    /// Further transports.
    pub transports: Transports,
}

/// Transports besides plain WebSocket. All are off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transports {
    /// Whether clients may use RawSocket.
    pub rawsocket: bool,
    /// Whether messages of WebSockets may be compressed.
    pub compression: bool,
    /// Whether a WebSocket without a subprotocol gets its messages back, for tests of WebSocket.
    pub echo: bool,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            origins: None,
            blocked: Networks::default(),
            proxies: Networks::default(),
            https: false,
            anonymous: None,
            transports: Transports::default(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAccess {
    path: Option<Path>,
    origins: Option<Origins>,
    blocked: Option<Networks>,
    proxies: Option<Networks>,
    https: Option<bool>,
    anonymous: Option<bool>,
    rawsocket: Option<bool>,
    echo: Option<bool>,
    compression: Option<bool>,
}

/// Path of a URL.
pub(super) struct Path(pub(super) String);

impl RawAccess {
    pub(super) fn apply(self, access: &mut Access) {
        if let Some(Path(path)) = self.path {
            access.path = path;
        }
        access.origins = self.origins.or_else(|| access.origins.take());
        if let Some(blocked) = self.blocked {
            access.blocked = blocked;
        }
        if let Some(proxies) = self.proxies {
            access.proxies = proxies;
        }
        access.https = self.https.unwrap_or(access.https);
        access.anonymous = self.anonymous.or(access.anonymous);
        let Transports { rawsocket, compression, echo } = &mut access.transports;
        *rawsocket = self.rawsocket.unwrap_or(*rawsocket);
        *compression = self.compression.unwrap_or(*compression);
        *echo = self.echo.unwrap_or(*echo);
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !text.starts_with('/') || text.contains(['?', '#']) {
            let text = Untrusted::new(&text);
            return Err(D::Error::custom(format!(
                "`{text}` is not a path\nwrite a path such as /ws"
            )));
        }
        Ok(Self(text))
    }
}

/// Allowed roles by action.
pub(super) type RawAllow = BTreeMap<RawAction, Vec<String>>;

/// Action that an access list can restrict.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawAction {
    Subscribe,
    Publish,
    Call,
    Register,
}

impl RawAction {
    pub(super) const ALL: [Self; 4] = [Self::Subscribe, Self::Publish, Self::Call, Self::Register];
}

impl From<RawAction> for jackfield_routing::Action {
    fn from(written: RawAction) -> Self {
        match written {
            RawAction::Subscribe => Self::Subscribe,
            RawAction::Publish => Self::Publish,
            RawAction::Call => Self::Call,
            RawAction::Register => Self::Register,
        }
    }
}
