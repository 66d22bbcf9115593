//! The file of principals.

use std::num::NonZeroU32;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jackfield_yaml::{Diagnosis, Entry};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Known, Principal, Ticket, cra, cryptosign, scram};
use crate::basis::Fingerprint;
use crate::named_entries::{NamedEntries, WrittenKeys, WrittenRealms, WrittenRoles, WrittenText};
use crate::users::is_name;

/// The maximum of iterations: clients compute them, and the server when it reads the file.
const MAX_ITERATIONS: u32 = 1_000_000;
/// The maximum memory of Argon2 in KiB: 1 GiB.
const MAX_MEMORY: u32 = 1 << 20;
/// The maximum of iterations times memory in KiB, about a minute of a client.
const MAX_MEMORY_WORK: u64 = 64 << 20;
/// The lengths of a derived key in bytes.
const LENGTHS: std::ops::RangeInclusive<u8> = 16..=64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPrincipal {
    #[serde(default)]
    id: Option<crate::user::WrittenId>,
    #[serde(default)]
    roles: WrittenRoles,
    #[serde(default)]
    realms: Option<WrittenRealms>,
    #[serde(default)]
    claims: Map<String, Value>,
    #[serde(default)]
    ticket: Option<WrittenText>,
    #[serde(default)]
    wampcra: Option<RawCra>,
    #[serde(default)]
    scram: Option<RawScram>,
    #[serde(default)]
    cryptosign: WrittenKeys,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCra {
    #[serde(default)]
    secret: Option<WrittenText>,
    #[serde(default)]
    derived_key: Option<WrittenText>,
    #[serde(default)]
    salt: Option<WrittenText>,
    #[serde(default)]
    iterations: Option<NonZeroU32>,
    #[serde(default)]
    keylen: Option<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScram {
    kdf: RawFunction,
    salt: WrittenText,
    iterations: NonZeroU32,
    #[serde(default)]
    memory: Option<NonZeroU32>,
    stored_key: WrittenText,
    server_key: WrittenText,
}

#[derive(Deserialize)]
enum RawFunction {
    #[serde(rename = "pbkdf2")]
    Pbkdf2,
    #[serde(rename = "argon2id13", alias = "argon2id-13")]
    Argon2,
}

pub(super) fn read(path: &str, text: &str) -> Result<Known, Diagnosis> {
    let file = NamedEntries { path, text, key: "principals" };
    let root = file.root(
        "write `principals: { NAME: { roles: [ROLE], wampcra: { secret: '…' } } }`, or \
         `principals: {}` if there are to be no principals",
    )?;
    let mut known = Known::default();
    for Entry { key: name, origin, value } in file.entries(&root)? {
        let wrong =
            |message: String, help: &str| Err(file.problem(origin, message).with_help(help));
        if !is_name(name) {
            let help = "it has 1 to 255 bytes and no control characters";
            return wrong(format!("{name:?} is no name"), help);
        }
        let raw: RawPrincipal = file.parse(value)?;
        if !raw.has_credential() {
            let message =
                format!("`{name}`: there is no credential, so that no client could be it");
            let help = "add `ticket`, `wampcra`, `scram` or `cryptosign`, or remove the principal";
            return wrong(message, help);
        }
        let principal = match principal(name, raw) {
            Ok(principal) => Arc::new(principal),
            Err((message, help)) => return wrong(format!("`{name}`: {message}"), help),
        };
        for key in &principal.keys {
            if let Some(other) = known.by_key.insert(*key, Arc::clone(&principal)) {
                let message =
                    format!("`{}` and `{name}` have the same key in `cryptosign`", other.name);
                return wrong(
                    message,
                    "give each a key of its own: a key alone names its principal",
                );
            }
        }
        known.by_name.insert(name.clone(), principal);
    }
    known.list_methods();
    Ok(known)
}

/// A message that quotes no value, and the help line.
pub(super) type Wrong = (String, &'static str);

impl RawPrincipal {
    fn has_credential(&self) -> bool {
        self.ticket.is_some()
            || self.wampcra.is_some()
            || self.scram.is_some()
            || !self.cryptosign.0.is_empty()
    }

    /// Whether a key has to be derived from a password, which takes long.
    pub(super) fn has_password(&self) -> bool {
        self.wampcra.as_ref().is_some_and(|cra| cra.salt.is_some() && cra.secret.is_some())
    }
}

pub(super) fn principal(name: &str, raw: RawPrincipal) -> Result<Principal, Wrong> {
    let RawPrincipal { id, roles, realms, claims, ticket, wampcra, scram, cryptosign } = raw;
    let cryptosign = cryptosign.0;
    if ticket.as_ref().is_some_and(|ticket| ticket.0.is_empty()) {
        return Err(("`ticket` is empty".to_owned(), "write a secret text"));
    }
    let (roles, realms) = (roles.0, realms.map(|realms| realms.0));
    let id = id.map_or_else(|| name.to_owned(), |id| id.0);
    // Before the values move.
    let rights = Fingerprint::of(
        [name, &id].into_iter().chain(roles.iter().map(String::as_str)).map(str::as_bytes),
    );
    let places = Fingerprint::of(realms.iter().flatten().map(String::as_bytes));
    let proof = fingerprint(ticket.as_ref(), wampcra.as_ref(), scram.as_ref(), &cryptosign);
    let fingerprint = Fingerprint::of_all([rights, places, proof], realms.is_some());
    Ok(Principal {
        name: name.to_owned(),
        id,
        roles,
        realms,
        claims,
        ticket: ticket.map(|ticket| Ticket(ticket.0)),
        cra: wampcra.map(cra_key).transpose()?,
        scram: scram.map(scram_keys).transpose()?,
        keys: cryptosign.iter().map(public_key).collect::<Result<_, _>>()?,
        fingerprint,
        authenticator: None,
        expires: None,
    })
}

/// Of what decides whether a client is the principal.
fn fingerprint(
    ticket: Option<&WrittenText>,
    cra: Option<&RawCra>,
    scram: Option<&RawScram>,
    keys: &[WrittenText],
) -> Fingerprint {
    let text = |text: Option<&WrittenText>| text.map_or("", |it| it.0.as_str()).as_bytes().to_vec();
    let mut parts = vec![text(ticket)];
    parts.push(text(cra.and_then(|cra| cra.secret.as_ref())));
    parts.push(text(cra.and_then(|cra| cra.derived_key.as_ref())));
    parts.push(text(scram.map(|scram| &scram.stored_key)));
    parts.extend(keys.iter().map(|key| text(Some(key))));
    Fingerprint::of(parts.iter().map(Vec::as_slice))
}

fn cra_key(raw: RawCra) -> Result<cra::Key, Wrong> {
    let RawCra { secret, derived_key, salt, iterations, keylen } = raw;
    let is_derived = derived_key.is_some();
    let secret = match (secret, derived_key) {
        (Some(text), None) | (None, Some(text)) => text,
        (None, None) => {
            return Err(("`wampcra` lacks `secret`".to_owned(), "write the shared secret"));
        }
        (Some(_), Some(_)) => {
            let message = "`wampcra` has `secret` and `derived_key`".to_owned();
            return Err((message, "remove one of them: the key is derived from the secret"));
        }
    };
    if secret.0.is_empty() {
        let key = if is_derived { "derived_key" } else { "secret" };
        return Err((format!("`wampcra.{key}` is empty"), "write the shared secret"));
    }
    if is_derived && salt.is_none() {
        let message = "`derived_key` has no effect without `salt`".to_owned();
        return Err((message, "add the `salt` of its password, or write `secret`"));
    }
    let Some(salt) = salt else {
        if iterations.is_some() || keylen.is_some() {
            let message = "`iterations` and `keylen` have no effect without `salt`".to_owned();
            return Err((message, "add `salt`, or remove them"));
        }
        return Ok(cra::Key::new(&secret.0, None));
    };
    let iterations = iterations.unwrap_or(NonZeroU32::MIN.saturating_add(999));
    if iterations.get() > MAX_ITERATIONS {
        return Err((
            format!("`wampcra.iterations` is over {MAX_ITERATIONS}"),
            "write a smaller number",
        ));
    }
    let length = keylen.unwrap_or(32);
    if !LENGTHS.contains(&length) {
        return Err((
            "`wampcra.keylen` is not between 16 and 64".to_owned(),
            "leave it out for 32",
        ));
    }
    let salting = cra::Salting { salt: salt.0.to_string(), iterations, length };
    Ok(if is_derived {
        cra::Key::of_derived(&secret.0, salting)
    } else {
        cra::Key::new(&secret.0, Some(salting))
    })
}

fn scram_keys(raw: RawScram) -> Result<scram::Keys, Wrong> {
    let RawScram { kdf, salt, iterations, memory, stored_key, server_key } = raw;
    let function = match (kdf, memory) {
        (RawFunction::Pbkdf2, None) => scram::Function::Pbkdf2,
        (RawFunction::Argon2, Some(memory)) => scram::Function::Argon2 { memory: memory.get() },
        (RawFunction::Pbkdf2, Some(_)) => {
            let message = "`scram.memory` has no effect with pbkdf2".to_owned();
            return Err((message, "remove it"));
        }
        (RawFunction::Argon2, None) => {
            let message = "`scram.memory` is missing".to_owned();
            return Err((
                message,
                "write the memory of Argon2 in KiB, with which the keys were derived",
            ));
        }
    };
    let smaller = "write a smaller number, with which the keys were derived";
    if iterations.get() > MAX_ITERATIONS {
        return Err((format!("`scram.iterations` is over {MAX_ITERATIONS}"), smaller));
    }
    if let scram::Function::Argon2 { memory } = function {
        if memory > MAX_MEMORY {
            return Err((format!("`scram.memory` is over {MAX_MEMORY} KiB"), smaller));
        }
        if u64::from(iterations.get()) * u64::from(memory) > MAX_MEMORY_WORK {
            let message = "`scram.iterations` times `scram.memory`";
            return Err((format!("{message} is over {MAX_MEMORY_WORK} KiB"), smaller));
        }
    }
    if STANDARD.decode(salt.0.as_bytes()).map_or(true, |salt| salt.is_empty()) {
        return Err(("`scram.salt` is not Base64".to_owned(), "write the salt's bytes in Base64"));
    }
    let key = |name: &str, text: &WrittenText| {
        let bytes = STANDARD.decode(text.0.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.or_else(|| cryptosign::from_hex(&text.0)).ok_or_else(|| {
            (
                format!("`scram.{name}` is not 32 bytes"),
                "write them in Base64 or hexadecimal digits",
            )
        })
    };
    Ok(scram::Keys {
        function,
        iterations: iterations.get(),
        stored_key: key("stored_key", &stored_key)?,
        server_key: key("server_key", &server_key)?,
        salt: salt.0.to_string(),
    })
}

fn public_key(text: &WrittenText) -> Result<[u8; 32], Wrong> {
    let help = "write the public key of Ed25519 as 64 hexadecimal digits, in quotes";
    cryptosign::from_hex(&text.0)
        .ok_or_else(|| ("a key of `cryptosign` is not one".to_owned(), help))
}
