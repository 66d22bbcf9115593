//! The caller of a request, and the audit line of a change.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use jackfield_text::Untrusted;
use serde_json::{Value, json};
use tracing::info;

use super::MAX_SHOWN_BYTES;
use super::problem::Problem;
use crate::generation::Share;
use crate::log::AUDIT;
use crate::user_name::user_name;

/// The client that asks: a process of this machine, or the holder of a token or a certificate.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// The peer of a Unix socket, as the operating system names it.
    Process {
        uid: u32,
        /// Of the process that connected.
        pid: Option<i32>,
    },
    /// A client of the admin listener.
    Remote {
        kind: Holding,
        /// The name of its token, or that in its certificate.
        name: Arc<str>,
        address: IpAddr,
        /// Whether it may only read.
        read_only: bool,
    },
}

/// The proof of a client of the admin listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    Token,
    Certificate,
}

impl Holding {
    const fn label(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Certificate => "certificate",
        }
    }
}

impl Caller {
    pub(super) const fn process(uid: u32, pid: Option<i32>) -> Self {
        Self::Process { uid, pid }
    }

    pub(super) fn token(name: &str, address: IpAddr, read_only: bool) -> Self {
        Self::Remote { kind: Holding::Token, name: name.into(), address, read_only }
    }

    pub(super) fn certificate(name: &str, address: IpAddr, read_only: bool) -> Self {
        // Names of tokens are the operator's own; this one is the authority's.
        let name = shown(name).into();
        Self::Remote { kind: Holding::Certificate, name, address, read_only }
    }

    /// What it holds, if that is for reading alone.
    pub(super) fn read_only_name(&self) -> Option<String> {
        match self {
            Self::Remote { kind, name, read_only: true, .. } => {
                Some(format!("the {} `{name}`", kind.label()))
            }
            Self::Remote { .. } | Self::Process { .. } => None,
        }
    }

    /// The name with which handlers see its publications. No user of an application has it: their
    /// names come from tickets, tokens or addresses.
    pub(super) fn authid(&self) -> String {
        match self {
            Self::Process { uid, .. } => match user_name(*uid) {
                Some(name) => format!("operator:{name}"),
                None => format!("operator:{uid}"),
            },
            Self::Remote { name, .. } => format!("operator:{name}"),
        }
    }

    /// Its name, and whether it may only read.
    pub(super) fn describe(&self) -> Value {
        match self {
            Self::Process { uid, .. } => {
                let name = user_name(*uid).unwrap_or_else(|| uid.to_string());
                json!({ "name": name, "kind": "process", "read_only": false, "files": true })
            }
            Self::Remote { kind, name, read_only, .. } => {
                json!({ "name": &**name, "kind": kind.label(), "read_only": read_only, "files": false })
            }
        }
    }

    /// Whether it is a process of one of these users.
    pub(super) fn is_one_of(&self, users: [u32; 2]) -> bool {
        matches!(self, Self::Process { uid, .. } if users.contains(uid))
    }

    /// Refuses a request that names a file of this machine, unless it comes from the machine's own
    /// user: a token is no right to read and write there.
    pub(super) fn check_files(&self) -> Result<(), Problem> {
        match self {
            Self::Process { .. } => Ok(()),
            Self::Remote { .. } => Err(Problem::files_are_local()),
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { uid, pid } => {
                write!(f, "uid {uid}")?;
                pid.map_or(Ok(()), |pid| write!(f, ", pid {pid}"))
            }
            Self::Remote { kind, name, address, .. } => {
                write!(f, "{} {name}, {address}", kind.label())
            }
        }
    }
}

/// The part of the site that a change is about; the whole site by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subject {
    plugin: Option<String>,
    topic: Option<String>,
    /// Of the plugin's store.
    key: Option<String>,
    /// That the server reads or writes.
    file: Option<String>,
    /// Of the version that serves from now on, or stands beside the one in service; of a request that
    /// has failed, the beginning that it named.
    digest: Option<String>,
    /// Of a canary.
    share: Option<String>,
    session: Option<u64>,
    /// The parts of messages that a trace or recording shows, beside their facts.
    with: Option<String>,
    /// Of the session, or of the messages that are traced.
    of_user: Option<String>,
}

impl Subject {
    /// The calls that are recorded.
    pub(super) fn recording(plugin: Option<&str>, topic: Option<&str>) -> Result<Self, Problem> {
        let of_plugin = plugin.map_or_else(|| Ok(Self::default()), Self::plugin)?;
        let topic = topic.map(shown);
        Ok(Self { topic, ..of_plugin })
    }

    /// The plugin of this name.
    pub(super) fn plugin(name: &str) -> Result<Self, Problem> {
        if name.is_empty() || name.len() > MAX_SHOWN_BYTES {
            let message = format!("`plugin` is the name of a plugin, 1 to {MAX_SHOWN_BYTES} bytes");
            return Err(Problem::invalid(message));
        }
        Ok(Self { plugin: Some(shown(name)), ..Self::default() })
    }

    /// A key of the store of a plugin.
    pub(super) fn entry(plugin: &str, key: &str) -> Result<Self, Problem> {
        let key = Some(shown(key));
        Ok(Self { key, ..Self::plugin(plugin)? })
    }

    /// The messages that are traced.
    pub(super) fn trace(topic: Option<&str>, user: Option<&str>) -> Self {
        Self { topic: topic.map(shown), of_user: user.map(shown), ..Self::default() }
    }

    /// A session of a user.
    pub(super) fn session(id: u64, user: &str) -> Self {
        let of_user = Some(shown(user));
        Self { session: Some(id), of_user, ..Self::default() }
    }

    /// A file that the server writes.
    pub(super) fn file(file: &Path) -> Self {
        Self::default().with_file(Some(file))
    }

    /// Names the file that the server reads or writes.
    pub(super) fn with_file(self, file: Option<&Path>) -> Self {
        Self { file: file.map(|file| shown(file.display())), ..self }
    }

    /// Names the version, or the beginning of its digest that a request has.
    pub(super) fn with_digest(self, digest: Option<&str>) -> Self {
        Self { digest: digest.map(shown), ..self }
    }

    /// Returns whether this is a request without a digest about the same as `other`. A stop that is
    /// repeated names no version, as there is none any more.
    pub(super) fn is_without_digest(&self, other: &Self) -> bool {
        self.digest.is_none() && *self == Self { digest: None, ..other.clone() }
    }

    /// Names the parts of messages that are shown.
    pub(super) fn with_content(self, with: Option<String>) -> Self {
        Self { with, ..self }
    }

    /// Names the share of a canary.
    pub(super) fn with_share(self, share: Share) -> Self {
        Self { share: Some(share.to_string()), ..self }
    }
}

/// Writes the line of a change that has ended: the caller, the action and its result.
pub(super) fn record(
    caller: &Caller,
    action: &'static str,
    subject: &Subject,
    result: &str,
    generation: u64,
) {
    let (mut process, mut holder) = (None, None);
    match caller {
        Caller::Process { uid, pid } => process = Some((*uid, *pid)),
        Caller::Remote { kind, name, address, .. } => {
            holder = Some((*kind, &**name, address.to_string()));
        }
    }
    let name_of = |wanted: Holding| {
        holder.as_ref().filter(|(kind, ..)| *kind == wanted).map(|(_, name, _)| *name)
    };
    info!(
        name: "control.changed",
        target: AUDIT,
        action,
        plugin = subject.plugin,
        topic = subject.topic,
        key = subject.key,
        file = subject.file,
        digest = subject.digest,
        share = subject.share,
        session = subject.session,
        of_user = subject.of_user,
        with = subject.with,
        result,
        generation,
        uid = process.map(|(uid, _)| uid),
        pid = process.and_then(|(_, pid)| pid),
        user = process.and_then(|(uid, _)| user_name(uid)),
        token = name_of(Holding::Token),
        certificate = name_of(Holding::Certificate),
        address = holder.as_ref().map(|(.., address)| address.as_str()),
        "control"
    );
}

/// A text of others, escaped and cut.
fn shown(text: impl fmt::Display) -> String {
    Untrusted::new(text).at_most(MAX_SHOWN_BYTES).to_string()
}
