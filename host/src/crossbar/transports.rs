//! Endpoints of WebSockets and RawSockets become listeners; their options become settings.

use std::path::{Path, PathBuf};

use super::Note;
use super::authentication::{Methods, Principals};
use super::section::Section;
use super::yaml::{list, map, text};

/// The listeners, and the settings that all of them share.
#[derive(Debug, Default)]
pub(super) struct Transports {
    listeners: Vec<Listener>,
    /// The longest message, in bytes.
    message: Option<u64>,
    /// In milliseconds.
    interval: Option<u64>,
    timeout: Option<u64>,
    handshake: Option<u64>,
    connections: Option<u64>,
    /// The folder of the configuration, to which its paths are relative.
    folder: PathBuf,
}

#[derive(Debug)]
struct Listener {
    /// YAML of the place: `address: …` or `socket: …`.
    place: String,
    tls: Option<[String; 2]>,
    path: String,
    origins: Option<Vec<String>>,
    has_rawsocket: bool,
    admits_anonymous: bool,
    /// The names of its principals.
    principals: Vec<String>,
}

/// A WebSocket of a transport.
struct Service {
    path: String,
    origins: Option<Vec<String>>,
    methods: Methods,
}

/// The endpoint of a listener.
struct Endpoint {
    place: String,
    tls: Option<[String; 2]>,
}

impl Transports {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), ..Self::default() }
    }

    pub(super) fn count(&self) -> usize {
        self.listeners.len()
    }

    /// Reads a transport of a router.
    pub(super) fn read(
        &mut self,
        mut transport: Section,
        principals: &mut Principals,
        notes: &mut Vec<Note>,
    ) {
        transport.ignore(&["id"]);
        let kind = transport.text("type", notes).unwrap_or_default();
        let endpoint = transport.take("endpoint");
        self.connections = self.connections.max(transport.number("max_connections", notes));
        let (mut services, mut raw) = (Vec::new(), None);
        match kind.as_str() {
            "websocket" => services.push(self.service("/", &mut transport, notes)),
            "web" => self.paths(&mut transport, &mut services, notes),
            "universal" => {
                if let Some(socket) = transport.take("websocket") {
                    for (path, mut one) in socket_paths(socket) {
                        services.push(self.service(&path, &mut one, notes));
                        one.finish(notes);
                    }
                }
                if let Some(mut web) = transport.take("web") {
                    self.paths(&mut web, &mut services, notes);
                    web.finish(notes);
                }
                if let Some(mut rawsocket) = transport.take("rawsocket") {
                    raw = Some(self.rawsocket(&mut rawsocket, notes));
                    rawsocket.finish(notes);
                }
            }
            "rawsocket" => raw = Some(self.rawsocket(&mut transport, notes)),
            "mqtt" => return transport.note("clients of MQTT cannot connect", notes),
            _ => {
                return transport
                    .note(&format!("the transport `{kind}` does not exist here"), notes);
            }
        }
        let place = transport.place().to_owned();
        transport.finish(notes);
        let mut note =
            |message: &str| notes.push(Note { place: place.clone(), message: message.to_owned() });
        let Some(endpoint) = endpoint else { return note("the transport has no endpoint") };
        let has_rawsocket = raw.is_some();
        if services.is_empty() && raw.as_ref().is_some_and(|it| it.methods.anonymous.is_some()) {
            return note(
                "RawSocket without authentication: the port of a listener accepts WebSockets of pages as \
                 well; write a listener with `rawsocket: true` if they may connect",
            );
        }
        let path = services.first().map(|it: &Service| it.path.clone());
        // A RawSocket has no path and no origin.
        let origins = services.first().and_then(|it| it.origins.clone());
        services.extend(raw.map(|raw| Service { path: path.unwrap_or(raw.path), origins, ..raw }));
        let mut services = services.into_iter();
        let Some(first) = services.next() else {
            return note("the transport has no WebSocket and no RawSocket, and is left out");
        };
        let Service { mut path, origins, methods } = first;
        let mut all = vec![methods];
        for other in services {
            if other.path != path {
                "/".clone_into(&mut path);
            }
            if other.origins != origins {
                return note(
                    "its WebSockets have different origins: write a listener for each; it is left out",
                );
            }
            all.push(other.methods);
        }
        let has_same = |one: &Methods, other: &Methods| {
            one.anonymous == other.anonymous && one.names() == other.names()
        };
        if all.iter().any(|it| all.first().is_some_and(|first| !has_same(first, it))) {
            return note(
                "its WebSockets have different methods: write a listener for each; it is left out",
            );
        }
        all.truncate(1);
        let Some(methods) = all.pop().filter(|it| !it.is_empty()) else {
            return note("no method of authentication is converted: the listener is left out");
        };
        let Some(Endpoint { place: endpoint, tls }) = self.endpoint(endpoint, notes) else {
            return;
        };
        let listener = Listener {
            place: endpoint,
            tls,
            path,
            has_rawsocket,
            admits_anonymous: methods.anonymous.is_some(),
            principals: methods.names().into_iter().map(str::to_owned).collect(),
            origins,
        };
        if listener.origins.is_some() && listener.admits_anonymous {
            let message = "programs that send no origin need a credential here";
            notes.push(Note { place: place.clone(), message: message.to_owned() });
        }
        let mut others = self.listeners.iter().map(|it| &it.principals).filter(|it| !it.is_empty());
        if methods.has_principals() && others.any(|it| *it != listener.principals) {
            let message = "all principals can log in at each listener that takes principals: remove the                            other listener, or run a server of its own for it";
            notes.push(Note { place, message: message.to_owned() });
        }
        principals.add(methods, notes);
        self.listeners.push(listener);
    }

    /// Reads a RawSocket, and takes its options over.
    fn rawsocket(&mut self, service: &mut Section, notes: &mut Vec<Note>) -> Service {
        let size = service.number("max_message_size", notes).filter(|size| *size > 0);
        self.message = self.message.max(size);
        self.service("/", service, notes)
    }

    /// Reads the services of a web transport, by path.
    fn paths(&mut self, web: &mut Section, services: &mut Vec<Service>, notes: &mut Vec<Note>) {
        if let Some(options) = web.take("options") {
            options.finish(notes);
        }
        let paths = web.take("paths").map(Section::entries).unwrap_or_default();
        for (path, mut service) in paths {
            match service.text("type", notes).as_deref() {
                Some("websocket") => {
                    let path = format!("/{}", path.trim_matches('/'));
                    services.push(self.service(&path, &mut service, notes));
                    service.finish(notes);
                }
                Some("publisher" | "caller") => service.note(
                    "requests have no signatures: give the program a token in `api.tokens`, and send \
                     POST /api/publish or /api/call: docs/publishing.md",
                    notes,
                ),
                Some("longpoll") => service.note("clients need WebSockets: there is no long-poll", notes),
                Some("nodeinfo") => service.note("`jackfield status` and /health say this", notes),
                kind => {
                    let kind = kind.unwrap_or("without a type").to_owned();
                    let message = format!("the web service `{kind}`: serve it by a web server in front");
                    service.note(&message, notes);
                }
            }
        }
    }

    /// Reads a WebSocket, and takes its options over.
    fn service(&mut self, path: &str, service: &mut Section, notes: &mut Vec<Note>) -> Service {
        service.ignore(&["id", "url", "debug", "type"]);
        if let Some(serializers) = service.take("serializers") {
            serializers
                .note("every serializer is accepted; `listeners[].protocols` limits them", notes);
        }
        let methods = Methods::read(service.take("auth"), notes);
        if let Some(cookie) = service.take("cookie") {
            cookie.note("clients are not followed by cookies", notes);
        }
        let mut origins = None;
        if let Some(mut options) = service.take("options") {
            origins = read_origins(&mut options, notes);
            for key in ["max_message_size", "max_frame_size"] {
                let size = options.number(key, notes).filter(|size| *size > 0);
                self.message = self.message.max(size);
            }
            for (key, value) in [
                ("auto_ping_interval", &mut self.interval),
                ("auto_ping_timeout", &mut self.timeout),
                ("open_handshake_timeout", &mut self.handshake),
            ] {
                *value = (*value).max(options.number(key, notes).filter(|time| *time > 0));
            }
            if let Some(compression) = options.take("compression") {
                compression.note(
                    "messages are not compressed; write `compression: true` into the listener if they \
                     are to be",
                    notes,
                );
            }
            // Without a counterpart, and without an effect for clients.
            options.ignore(&[
                "external_port",
                "enable_hybi10",
                "enable_rfc6455",
                "enable_webstatus",
                "close_handshake_timeout",
                "validate_utf8",
                "mask_server_frames",
                "require_masked_client_frames",
                "apply_mask",
                "auto_fragment_size",
                "fail_by_drop",
                "echo_close_codereason",
                "tcp_nodelay",
                "auto_ping_size",
                "auto_ping_restart_on_any_traffic",
                "enable_flash_policy",
                "flash_policy",
                "require_websocket_subprotocol",
                "show_server_version",
            ]);
            options.finish(notes);
        }
        Service { path: path.to_owned(), origins, methods }
    }

    /// Returns the lines of settings of the listeners and of what they share.
    pub(super) fn settings(&self, has_principals: bool) -> Vec<String> {
        let mut lines = Vec::new();
        let limits = [("message", self.message), ("connections", self.connections)];
        let mut limits = limits
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?.to_string())))
            .peekable();
        if limits.peek().is_some() {
            lines.push(format!("limits: {}", map(limits)));
        }
        let keepalive = [("interval", self.interval), ("timeout", self.timeout)];
        let mut keepalive = keepalive
            .into_iter()
            .filter_map(|(key, time)| Some((key, format!("{}ms", time?))))
            .peekable();
        if keepalive.peek().is_some() {
            lines.push(format!("keepalive: {}", map(keepalive)));
        }
        lines.extend(self.handshake.map(|time| format!("handshake_timeout: {time}ms")));
        lines.extend([String::new(), "listeners:".to_owned()]);
        for listener in &self.listeners {
            let Listener { place, tls, path, origins, .. } = listener;
            let Listener { has_rawsocket, admits_anonymous, principals, .. } = listener;
            lines.push(format!("  - {place}"));
            lines.extend(tls.as_ref().map(|[certificate, key]| {
                let files = [("certificate", text(certificate)), ("key", text(key))];
                format!("    tls: {}", map(files))
            }));
            lines.push(format!("    path: {}", text(path)));
            lines.extend(origins.as_ref().map(|hosts| format!("    origins: {}", list(hosts))));
            lines.extend(has_rawsocket.then(|| "    rawsocket: true".to_owned()));
            let methods = if principals.is_empty() { "[]" } else { "[principals]" };
            let methods = has_principals.then(|| ("methods", methods.to_owned()));
            let anonymous = ("anonymous", admits_anonymous.to_string());
            lines.push(format!("    auth: {}", map([anonymous].into_iter().chain(methods))));
        }
        lines
    }

    /// Reads an endpoint; `None` if the transport is left out.
    fn endpoint(&self, mut endpoint: Section, notes: &mut Vec<Note>) -> Option<Endpoint> {
        let kind = endpoint.text("type", notes).unwrap_or_default();
        match kind.as_str() {
            "tcp" => {
                let port = endpoint.number("port", notes);
                let version = endpoint.number("version", notes);
                let interface = endpoint.text("interface", notes);
                endpoint.ignore(&["backlog", "shared", "user_timeout"]);
                let tls = endpoint.take("tls");
                let tls = tls.map(|tls| self.tls(tls, notes));
                let Some(port) = port else {
                    endpoint.note("the endpoint has no port: the listener is left out", notes);
                    return None;
                };
                let host = match (interface.as_deref(), version) {
                    (None, Some(6)) => "[::]".to_owned(),
                    (None, _) => "0.0.0.0".to_owned(),
                    (Some("localhost"), _) => "127.0.0.1".to_owned(),
                    (Some(host), _) if host.contains(':') => format!("[{host}]"),
                    (Some(host), _) => host.to_owned(),
                };
                let address = format!("{host}:{port}");
                if jackfield_config::listen_address(&address).is_err() {
                    let message =
                        format!("`{address}` is no address: write an IP address and a port");
                    endpoint.note(&message, notes);
                    return None;
                }
                endpoint.finish(notes);
                // Without its TLS, it is left out.
                let tls = tls.map_or(Some(None), |tls| tls.map(Some))?;
                Some(Endpoint { place: format!("address: {}", text(&address)), tls })
            }
            "unix" => {
                let path = endpoint.text("path", notes)?;
                endpoint.finish(notes);
                Some(Endpoint { place: format!("socket: {}", text(&self.path(&path))), tls: None })
            }
            _ => {
                endpoint.note(&format!("the endpoint `{kind}` does not exist here"), notes);
                None
            }
        }
    }

    /// Reads the files of TLS; `None` if the listener would admit more clients.
    fn tls(&self, mut tls: Section, notes: &mut Vec<Note>) -> Option<[String; 2]> {
        let (key, certificate) = (tls.text("key", notes), tls.text("certificate", notes));
        if let Some(chain) = tls.take("chain_certificates") {
            chain.note("append these certificates to the file of the certificate", notes);
        }
        if let Some(authorities) = tls.take("ca_certificates") {
            let message = "clients need a certificate: write the listener with                            `tls.client_certificates`; it is left out";
            authorities.note(message, notes);
            return None;
        }
        let (Some(certificate), Some(key)) = (certificate, key) else {
            tls.note("`key` or `certificate` is missing: the listener is left out", notes);
            return None;
        };
        tls.finish(notes);
        Some([self.path(&certificate), self.path(&key)])
    }

    /// A path of the configuration, as the settings have it.
    fn path(&self, path: &str) -> String {
        self.folder.join(path).display().to_string()
    }
}

/// The WebSockets of a universal transport: one, or several by path.
fn socket_paths(socket: Section) -> Vec<(String, Section)> {
    let is_option = |key: &str| matches!(key, "options" | "auth" | "serializers" | "type" | "url");
    let (single, by_path): (Vec<_>, Vec<_>) =
        socket.entries().into_iter().partition(|(key, _)| is_option(key));
    let single = (!single.is_empty()).then(|| ("/".to_owned(), Section::of_entries(single)));
    let by_path =
        by_path.into_iter().map(|(path, it)| (format!("/{}", path.trim_matches('/')), it));
    single.into_iter().chain(by_path).collect()
}

/// Returns the hosts whose pages may connect; `None` if all may.
fn read_origins(options: &mut Section, notes: &mut Vec<Note>) -> Option<Vec<String>> {
    let admits_files = options.flag("allow_null_origin", notes);
    let place = options.place().to_owned();
    let mut note = |message: String| notes.push(Note { place: place.clone(), message });
    let written = options.take("allowed_origins")?;
    let written = written.all_texts();
    let admits_all = |it: &String| matches!(it.as_str(), "*" | "*://*" | "*://*:*");
    if written.iter().any(admits_all) {
        return None;
    }
    if admits_files {
        note("pages without an origin (files) are refused".to_owned());
    }
    let mut hosts = Vec::new();
    for origin in written {
        let (scheme, rest) = origin.split_once("://").unwrap_or(("*", origin.as_str()));
        let (host, port) = rest.split_once(':').unwrap_or((rest, "*"));
        if host.strip_prefix("*.").unwrap_or(host).contains('*') || host.is_empty() {
            note(format!("the origin `{origin}` is left out: write the name of a host, or *.HOST"));
            continue;
        }
        if scheme != "*" || port != "*" {
            note(format!("the origin `{origin}`: hosts are compared, and no schemes and ports"));
        }
        if !hosts.iter().any(|it| it == host) {
            hosts.push(host.to_owned());
        }
    }
    Some(hosts)
}
