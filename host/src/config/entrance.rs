//! `entrance` and `allow` of the settings: who is let in, and what those may do on whom a route
//! says nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::file::Wrong;
use crate::gate::{Networks, Origins};

/// Who is let in, before it is asked who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entrance {
    /// Connections are taken at this path and below.
    pub(crate) path: String,
    /// The pages that browsers may connect from; none if it does not matter.
    pub(crate) origins: Option<Origins>,
    /// The addresses that nobody may connect from.
    pub(crate) blocked: Networks,
    /// The proxies whose word counts on whom they forward for.
    pub(crate) proxies: Networks,
    /// Whether clients have to come through HTTPS, as one of `proxies` says.
    pub(crate) https: bool,
    /// Whether sessions are opened without proof; none is yes where nothing can be proven.
    pub(crate) anonymous: Option<bool>,
}

impl Default for Entrance {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            origins: None,
            blocked: Networks::default(),
            proxies: Networks::default(),
            https: false,
            anonymous: None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WrittenEntrance {
    path: Option<Spanned<String>>,
    origins: Option<Spanned<Vec<String>>>,
    blocked: Option<Spanned<Vec<String>>>,
    proxies: Option<Spanned<Vec<String>>>,
    https: Option<bool>,
    anonymous: Option<bool>,
}

impl WrittenEntrance {
    pub(super) fn apply(self, entrance: &mut Entrance) -> Result<(), Wrong> {
        if let Some(path) = self.path {
            if !path.value.starts_with('/') || path.value.contains(['?', '#']) {
                let message = format!("`{}` is not a path", path.value);
                return Err(Wrong::new(&path, message, "write a path such as /ws"));
            }
            entrance.path = path.value;
        }
        if let Some(origins) = self.origins {
            let parsed = Origins::new(&origins.value).map_err(|text| {
                let message = format!("`{text}` names no host");
                Wrong::new(&origins, message, "write hosts such as shop.example.com")
            })?;
            entrance.origins = Some(parsed);
        }
        set_networks(&mut entrance.blocked, self.blocked)?;
        set_networks(&mut entrance.proxies, self.proxies)?;
        entrance.https = self.https.unwrap_or(entrance.https);
        entrance.anonymous = self.anonymous.or(entrance.anonymous);
        Ok(())
    }
}

fn set_networks(
    networks: &mut Networks,
    written: Option<Spanned<Vec<String>>>,
) -> Result<(), Wrong> {
    if let Some(written) = written {
        *networks = Networks::new(&written.value).map_err(|text| {
            let message = format!("`{text}` is not an address");
            Wrong::new(&written, message, "write addresses such as 192.0.2.1 or 10.0.0.0/8")
        })?;
    }
    Ok(())
}

/// The roles that may do what, by action.
pub(super) type WrittenAllow = BTreeMap<WrittenAction, Vec<String>>;

/// What a route may leave unsaid.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(super) enum WrittenAction {
    Subscribe,
    Publish,
    Call,
    Register,
}

impl From<WrittenAction> for jackfield_routing::Action {
    fn from(written: WrittenAction) -> Self {
        match written {
            WrittenAction::Subscribe => Self::Subscribe,
            WrittenAction::Publish => Self::Publish,
            WrittenAction::Call => Self::Call,
            WrittenAction::Register => Self::Register,
        }
    }
}
