//! Static credentials become principals.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Note;
use super::section::Section;
use super::yaml::{list, map, text};

/// The principals of all transports.
#[derive(Debug, Default)]
pub(super) struct Principals {
    by_name: BTreeMap<String, Principal>,
    /// The rights of sessions without authentication at each transport that admits them.
    grants: Vec<Grant>,
}

#[derive(Debug, Default)]
struct Principal {
    role: Option<String>,
    realm: Option<String>,
    /// Credentials: key and YAML value.
    credentials: Vec<(&'static str, String)>,
}

/// The role of sessions without authentication, and their only realm if they have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) role: String,
    pub(super) realm: Option<String>,
}

/// The authentication of a WebSocket.
#[derive(Debug, Default)]
pub(super) struct Methods {
    pub(super) anonymous: Option<Grant>,
    principals: Vec<NewPrincipal>,
}

#[derive(Debug)]
struct NewPrincipal {
    name: String,
    place: String,
    role: Option<String>,
    realm: Option<String>,
    credential: (&'static str, String),
}

impl Methods {
    /// Reads the `auth` of a WebSocket; without one, all sessions have the role `anonymous`.
    pub(super) fn read(auth: Option<Section>, notes: &mut Vec<Note>) -> Self {
        let mut methods = Self::default();
        let Some(auth) = auth else {
            methods.anonymous = Some(Grant { role: "anonymous".to_owned(), realm: None });
            return methods;
        };
        for (method, mut section) in auth.entries() {
            let kind = section.text("type", notes);
            match (method.as_str(), kind.as_deref()) {
                ("anonymous", Some("static") | None) => {
                    let role = section.text("role", notes);
                    let role = role.unwrap_or_else(|| "anonymous".to_owned());
                    let realm = section.text("realm", notes);
                    methods.anonymous = Some(Grant { role, realm });
                    section.ignore(&["authid"]);
                    section.finish(notes);
                }
                ("ticket" | "scram" | "cryptosign" | "wampcra", Some("static")) => {
                    let key = if method == "wampcra" { "users" } else { "principals" };
                    let entries = section.take(key).map(Section::entries).unwrap_or_default();
                    let new = entries.into_iter().filter_map(|(name, principal)| {
                        NewPrincipal::read(name, &method, principal, notes)
                    });
                    methods.principals.extend(new);
                    section.finish(notes);
                }
                ("cookie", _) => section.note("sessions are not kept by cookies", notes),
                ("tls", _) => {
                    let message = "name the authorities in `listeners[].tls.client_certificates`";
                    section.note(message, notes);
                }
                (_, Some("dynamic" | "function")) => {
                    let message = "procedures and functions that authenticate are not called: use \
                                   `auth.jwt`, or `auth.users` of a database or over HTTP with tickets";
                    section.note(message, notes);
                }
                _ => section.note("this method does not exist here", notes),
            }
        }
        methods
    }

    pub(super) fn has_principals(&self) -> bool {
        !self.principals.is_empty()
    }

    /// Returns whether no client could connect.
    pub(super) fn is_empty(&self) -> bool {
        self.anonymous.is_none() && self.principals.is_empty()
    }

    /// The names of the principals, in order, each once.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.principals.iter().map(|it| it.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl NewPrincipal {
    fn read(
        name: String,
        method: &str,
        mut section: Section,
        notes: &mut Vec<Note>,
    ) -> Option<Self> {
        let (role, realm) = (section.text("role", notes), section.text("realm", notes));
        let credential = match method {
            "ticket" => section.secret("ticket", notes).map(|it| ("ticket", text(&it))),
            "wampcra" => cra(&mut section, notes).map(|it| ("wampcra", it)),
            "scram" => scram(&mut section, notes).map(|it| ("scram", it)),
            _ => {
                let keys = section.texts("authorized_keys", notes);
                (!keys.is_empty()).then(|| ("cryptosign", list(&keys)))
            }
        };
        let place = section.place().to_owned();
        let Some(credential) = credential else {
            section.note("the principal has no credential, and is left out", notes);
            return None;
        };
        if role.is_none() {
            section.note("the principal has no role, so that no rule admits it", notes);
        }
        section.finish(notes);
        Some(Self { name, place, role, realm, credential })
    }
}

impl Principals {
    /// Takes over the methods of a transport that has become a listener.
    pub(super) fn add(&mut self, methods: Methods, notes: &mut Vec<Note>) {
        if let Some(grant) = methods.anonymous
            && !self.grants.contains(&grant)
        {
            if let Some(other) = self.grants.first() {
                let message = format!(
                    "sessions without authentication have several roles in Crossbar ({}, {}): here, they may \
                     do at each listener what all of these roles may do",
                    other.role, grant.role
                );
                notes.push(Note { place: "auth.anonymous".to_owned(), message });
            }
            self.grants.push(grant);
        }
        for new in methods.principals {
            self.add_principal(new, notes);
        }
    }

    /// The rights of sessions without authentication.
    pub(super) fn grants(&self) -> &[Grant] {
        &self.grants
    }

    pub(super) fn count(&self) -> usize {
        self.by_name.len()
    }

    fn add_principal(&mut self, new: NewPrincipal, notes: &mut Vec<Note>) {
        let NewPrincipal { name, place, role, realm, credential } = new;
        let note = |message: &str| notes.push(Note { place, message: message.to_owned() });
        let Some(known) = self.by_name.get_mut(&name) else {
            self.by_name.insert(name, Principal { role, realm, credentials: vec![credential] });
            return;
        };
        if known.role != role || known.realm != realm {
            note("a principal of this name has another role or realm; its first credential stays");
        } else if !known.credentials.iter().any(|(key, _)| *key == credential.0) {
            known.credentials.push(credential);
        } else if !known.credentials.contains(&credential) {
            note("a principal of this name has another credential, which stays");
        }
    }

    /// Returns the text of the file; `None` without principals.
    pub(super) fn file(&self) -> Option<String> {
        if self.by_name.is_empty() {
            return None;
        }
        let mut lines = vec!["principals:".to_owned()];
        for (name, Principal { role, realm, credentials }) in &self.by_name {
            lines.push(format!("  {}:", text(name)));
            lines.extend(role.as_ref().map(|role| format!("    roles: {}", list(&[role]))));
            lines.extend(realm.as_ref().map(|realm| format!("    realms: {}", list(&[realm]))));
            lines.extend(credentials.iter().map(|(key, value)| format!("    {key}: {value}")));
        }
        Some(lines.join("\n") + "\n")
    }
}

fn cra(section: &mut Section, notes: &mut Vec<Note>) -> Option<String> {
    let secret = section.secret("secret", notes)?;
    let salt = section.secret("salt", notes);
    let derived = ["iterations", "keylen"].map(|key| (key, section.number(key, notes)));
    let derived = derived.into_iter().filter(|_| salt.is_some());
    let derived = derived.filter_map(|(key, number)| Some((key, number?.to_string())));
    // With a salt, Crossbar has the derived key in place of the password.
    let key = if salt.is_some() { "derived_key" } else { "secret" };
    let salt = salt.as_deref().map(|salt| ("salt", text(salt)));
    Some(map([(key, text(&secret))].into_iter().chain(salt).chain(derived)))
}

fn scram(section: &mut Section, notes: &mut Vec<Note>) -> Option<String> {
    let kdf = section.text("kdf", notes);
    let [salt, stored, server] =
        ["salt", "stored-key", "server-key"].map(|key| section.secret(key, notes));
    let (iterations, memory) =
        (section.number("iterations", notes), section.number("memory", notes));
    let (kdf, iterations) = (kdf?, iterations?);
    // PBKDF2 has none.
    let memory = memory.filter(|_| kdf.starts_with("argon2"));
    let memory = memory.map(|memory| ("memory", memory.to_string()));
    let function = [("kdf", text(&kdf)), ("iterations", iterations.to_string())];
    let keys = [
        ("salt", text(&base64_of_hex(&salt?))),
        ("stored_key", text(&stored?)),
        ("server_key", text(&server?)),
    ];
    Some(map(function.into_iter().chain(memory).chain(keys)))
}

/// Returns hexadecimal digits, which Crossbar has as salt, in Base64; other text as it is.
fn base64_of_hex(salt: &str) -> String {
    let digits: Option<Vec<u8>> = salt.bytes().map(digit).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 && !digits.is_empty() => {
            let bytes = digits.chunks_exact(2);
            let bytes = bytes.map(|pair| pair.iter().fold(0, |all, it| (all << 4) | it));
            STANDARD.encode(bytes.collect::<Vec<u8>>())
        }
        _ => salt.to_owned(),
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok())
}
