//! Settings of a cluster: the servers of NATS that connect this server with others.

use std::path::PathBuf;

use jackfield_auth::Secret;
use jackfield_text::Untrusted;
use jackfield_yaml::ValueError;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Settings of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The servers of NATS; without any, the server is alone.
    pub urls: Vec<String>,
    /// The name of the cluster. Servers with the same name are one. Default: `jackfield`.
    pub name: String,
    /// The name of this node, for people; `None` is the name of the machine.
    pub node: Option<String>,
    /// The credentials for NATS.
    pub credentials: Option<Secret>,
    /// Certificates of authorities, beside those of the system.
    pub ca: Option<PathBuf>,
    /// The certificate of this node.
    pub certificate: Option<PathBuf>,
    /// The key of the certificate.
    pub key: Option<PathBuf>,
    /// What happens while NATS is away.
    pub when_alone: WhenAlone,
    /// Whether homes of plugins are leases of JetStream.
    pub leases: Leases,
}

/// Whether JetStream grants the homes of plugins, and keeps copies of their stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leases {
    /// If the servers of NATS have it.
    Auto,
    /// No: a divided cluster has several homes, and stores stay on their node.
    Off,
    /// Yes: without JetStream, no plugin with state runs.
    Required,
}

impl Leases {
    /// Returns the value of the setting.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Off => "off",
            Self::Required => "required",
        }
    }
}

/// What happens to publications while NATS is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenAlone {
    /// They reach the subscribers of this node.
    Serve,
    /// They are refused.
    Refuse,
}

impl WhenAlone {
    /// Returns the value of the setting.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Refuse => "refuse",
        }
    }
}

/// The defaults, as in `docs/configuration.md`; a test compares the two.
impl Default for Cluster {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            name: "jackfield".to_owned(),
            node: None,
            credentials: None,
            ca: None,
            certificate: None,
            key: None,
            when_alone: WhenAlone::Serve,
            leases: Leases::Off,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawCluster {
    name: Option<Token>,
    node: Option<Token>,
    nats: RawNats,
    when_alone: Option<WhenAlone>,
    leases: Option<Leases>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawNats {
    urls: Option<Vec<Url>>,
    credentials: Option<Secret>,
    tls: RawTls,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawTls {
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

struct Token(String);

struct Url(String);

/// The maximum size of a name in bytes.
const MAX_NAME_BYTES: usize = 64;

impl RawCluster {
    pub(super) fn apply(self, cluster: &mut Cluster) {
        let Self { name, node, nats: RawNats { urls, credentials, tls }, when_alone, leases } =
            self;
        let RawTls { ca, certificate, key } = tls;
        if let Some(urls) = urls {
            cluster.urls = urls.into_iter().map(|it| it.0).collect();
        }
        if let Some(Token(name)) = name {
            cluster.name = name;
        }
        cluster.node = node.map(|it| it.0).or(cluster.node.take());
        cluster.credentials = credentials.or(cluster.credentials.take());
        cluster.ca = ca.or(cluster.ca.take());
        cluster.certificate = certificate.or(cluster.certificate.take());
        cluster.key = key.or(cluster.key.take());
        cluster.when_alone = when_alone.unwrap_or(cluster.when_alone);
        cluster.leases = leases.unwrap_or(cluster.leases);
    }
}

impl Cluster {
    /// Returns the paths of files.
    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let Self { credentials, ca, certificate, key, .. } = self;
        let credentials = credentials.as_mut().and_then(Secret::path_mut);
        credentials.into_iter().chain(ca).chain(certificate).chain(key)
    }
}

/// A name is one token of a subject of NATS.
impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_');
        if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.bytes().all(is_plain) {
            let name = Untrusted::new(&text);
            let help = format!("write 1 to {MAX_NAME_BYTES} letters, digits, `-` and `_`");
            return Err(D::Error::custom(format!(
                "`{name}` cannot be a name in a cluster\n{help}"
            )));
        }
        Ok(Self(text))
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let place = ["nats://", "tls://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let is_plain = |it: u8| it.is_ascii_graphic() && !b"/?#".contains(&it);
        // The log and the status show the URL.
        if place.is_some_and(|place| place.contains('@')) {
            let help =
                "a secret belongs to `cluster.nats.credentials`; write the URL without a user";
            return Err(D::Error::custom(format!("the URL of a server has a secret\n{help}")));
        }
        if place.is_none_or(|place| place.is_empty() || !place.bytes().all(is_plain)) {
            let help = "write it as nats://127.0.0.1:4222, or tls://nats.example.com:4222";
            return Err(D::Error::custom(format!(
                "this is not the URL of a server of NATS\n{help}"
            )));
        }
        Ok(Self(text))
    }
}

/// Returns the errors of several settings together.
pub(super) fn mistakes(cluster: &Cluster, has: impl Fn(&str) -> bool) -> Vec<ValueError> {
    let mut wrongs = Vec::new();
    if !cluster.urls.is_empty() && !jackfield_cluster::IS_BUILT {
        let message = "this build of jackfield has no cluster".to_owned();
        let help = "build it with `--features cluster`, or remove the section `cluster`";
        wrongs.push(ValueError::at("cluster.nats.urls", message, help));
    }
    if !has("cluster.nats.urls") {
        let without = [
            "cluster.name",
            "cluster.node",
            "cluster.when_alone",
            "cluster.leases",
            "cluster.nats.credentials",
            "cluster.nats.tls.ca",
            "cluster.nats.tls.certificate",
            "cluster.nats.tls.key",
        ];
        wrongs.extend(without.into_iter().filter(|key| has(key)).map(|key| {
            let message = format!("`{key}` has no effect: there is no cluster");
            ValueError::at(key, message, "add `cluster.nats.urls`, or remove the key")
        }));
    }
    let pair = [
        ("cluster.nats.tls.certificate", cluster.certificate.is_some(), "cluster.nats.tls.key"),
        ("cluster.nats.tls.key", cluster.key.is_some(), "cluster.nats.tls.certificate"),
    ];
    for (key, is_given, other) in pair {
        if is_given && !has(other) {
            let message = format!("`{key}` has no effect without `{other}`");
            wrongs.push(ValueError::at(key, message, "write both"));
        }
    }
    wrongs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn read(text: &str) -> Result<Cluster, String> {
        Settings::validated(text, &[]).map(|config| config.cluster)
    }

    #[test]
    fn reads_every_key() {
        assert_eq!(read("").unwrap(), Cluster::default());
        let text = "cluster: { name: shop, node: web-1, when_alone: refuse, leases: required, nats: { urls: \
                    ['nats://a:1', 'tls://b'], credentials: { env: NATS }, tls: { ca: c, \
                    certificate: d, key: e } } }";
        if !jackfield_cluster::IS_BUILT {
            let error = read(text).unwrap_err();
            assert!(error.contains("this build of jackfield has no cluster"), "{error}");
            return;
        }
        let expect = Cluster {
            urls: vec!["nats://a:1".to_owned(), "tls://b".to_owned()],
            name: "shop".to_owned(),
            node: Some("web-1".to_owned()),
            credentials: Some(Secret::Env("NATS".to_owned())),
            ca: Some("c".into()),
            certificate: Some("d".into()),
            key: Some("e".into()),
            when_alone: WhenAlone::Refuse,
            leases: Leases::Required,
        };
        assert_eq!(read(text).unwrap(), expect);
    }

    #[test]
    fn refuses_what_has_no_effect_and_shows_no_secret() {
        for (text, expect) in [
            ("cluster: { name: 'a.b' }", "`a.b` cannot be a name in a cluster"),
            ("cluster: { name: shop }", "`cluster.name` has no effect: there is no cluster"),
            ("cluster: { when_alone: serve }", "`cluster.when_alone` has no effect"),
            ("cluster: { leases: off }", "`cluster.leases` has no effect"),
            ("cluster: { leases: maybe }", "`cluster.leases`"),
            ("cluster: { when_alone: wait }", "`cluster.when_alone`"),
            ("cluster: { nats: { urls: ['http://a'] } }", "not the URL of a server of NATS"),
            ("cluster: { nats: { urls: ['nats://u:hunter2@a'] } }", "has a secret"),
            ("cluster: { nats: { urls: ['nats://a/hunter2'] } }", "not the URL"),
            ("cluster: { nats: { urls: ['nats://a'], tls: { key: a } } }", "no effect without"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expect), "{text}\n{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
