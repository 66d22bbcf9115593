//! Table of client libraries: each feature of each library, with each of its serializers, against one
//! server. `docs/client-libraries.md` has the table; `ACCEPT=1` writes it. The drivers below
//! `tests/peers/*/matrix` run the features, and say of each that does not work whose fault it is.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::principals::PRINCIPALS;
use jackfield_tests::build;
use jackfield_tests::client::codec::Codec;
use jackfield_tests::client::within;
use jackfield_tests::peer;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

const PAGE: &str = "docs/client-libraries.md";
const BEGIN: &str =
    "<!-- begin: `ACCEPT=1 cargo test --test it -- interop::matrix` writes this -->\n";
const END: &str = "<!-- end -->\n";

/// Names of features in the drivers and in the table.
const FEATURES: [(&str, &str); 23] = [
    ("publish", "subscribe, publish, event"),
    ("unsubscribe", "unsubscribe"),
    ("pattern", "subscription to a prefix"),
    ("retained", "`retain`, `get_retained`"),
    ("receivers", "`exclude`, `eligible`"),
    ("own_event", "`exclude_me: false`"),
    ("disclosed", "`disclose_me`"),
    ("binary", "binary values"),
    ("register", "register, unregister"),
    ("shared", "`invoke: roundrobin`"),
    ("call", "call"),
    ("progress", "progressive results"),
    ("cancel", "cancel a call"),
    ("interrupt", "a callee learns of it"),
    ("timeout", "`timeout` of a call"),
    ("error", "error with arguments"),
    ("error_kwargs", "… with keyword arguments"),
    ("anonymous", "`anonymous`"),
    ("ticket", "`ticket`"),
    ("wampcra", "`wampcra`"),
    ("wampcra_salted", "… salted"),
    ("scram", "`scram`"),
    ("cryptosign", "`cryptosign`"),
];

/// A library: its name in the table, the scheme of its URL, and the command of its driver.
type Library = (&'static str, &'static str, fn() -> Command);

const LIBRARIES: [Library; 8] = [
    ("autobahn-python", "ws", || python("autobahn")),
    ("autobahn-python, RawSocket", "rs", || python("autobahn")),
    ("xconn (Python)", "ws", || python("xconn")),
    ("aiowamp", "ws", || python("aiowamp")),
    // Version 26 uses the WebSocket of browsers, which Node 20 has behind a flag.
    ("autobahn-js 26", "ws", || node("autobahn", &["--experimental-websocket"], &[])),
    ("autobahn-js 22", "ws", || node("autobahn", &[], &["--library", "autobahn22"])),
    ("Wampy", "ws", || node("wampy", &[], &[])),
    ("kraftfahrstrasse", "ws", || node("kraftfahrstrasse", &[], &[])),
];

fn python(library: &str) -> Command {
    let mut command = Command::new(peer::installed("python/bin/python"));
    command.arg(peer::script(&format!("python/matrix/drive_{library}.py")));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn node(library: &str, flags: &[&str], options: &[&str]) -> Command {
    let mut command = Command::new("node");
    command.env("JACKFIELD_NODE_PEERS", peer::installed("node")).args(flags);
    command.arg(peer::script(&format!("node/matrix/drive_{library}.mjs"))).args(options);
    command
}

/// The report of one driver for one serializer.
struct Report {
    version: String,
    /// What a user of the library has to know first.
    remark: String,
    /// The reason, if the library does not have the serializer.
    missing: Option<String>,
    /// Result and reason of each feature.
    features: BTreeMap<String, (String, String)>,
}

async fn run(mut command: Command, scheme: &str, server: &Server, codec: Codec) -> Report {
    let features: Vec<_> = FEATURES.iter().map(|(feature, _)| *feature).collect();
    let path = if scheme == "ws" { "/" } else { "" };
    command.args(["--url", &format!("{scheme}://{}{path}", server.addr)]);
    command.args(["--serializer", codec.name(), "--features", &features.join(",")]);
    let what = format!("{command:?}");
    let output = within(&what, command.kill_on_drop(true).output()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    // Libraries print lines of their own.
    let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let text = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    let first = lines.next().unwrap_or_else(|| panic!("{what}: {complaints}"));
    let mut report = Report {
        version: text(&first, "version"),
        remark: text(&first, "remark"),
        missing: None,
        features: BTreeMap::new(),
    };
    for line in lines {
        if line["missing"].is_string() {
            report.missing = Some(text(&line, "missing"));
            return report;
        }
        assert_ne!(line["result"], "error", "{what}: {line}\n{complaints}");
        let result = (text(&line, "result"), text(&line, "reason"));
        report.features.insert(text(&line, "feature"), result);
    }
    assert_eq!(report.features.len(), FEATURES.len(), "{what}: {complaints}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_client_libraries_is_true() {
    let site = Site::open();
    site.write("principals.yml", PRINCIPALS);
    let principals = site.file("principals.yml");
    let settings = format!(
        "auth: {{ principals: {} }}\naccess: {{ anonymous: true, rawsocket: true }}\nrules:\n\
         - {{ uri: matrix., match: prefix, allow: {{ subscribe: everyone, publish: everyone, \
         call: everyone, register: everyone }} }}\n",
        principals.display()
    );
    let server = Server::configured(site.path(), &settings);
    // More processes at once would only wait for a core.
    let cores = Semaphore::new(2);
    let runs = LIBRARIES.iter().flat_map(|(_, scheme, command)| {
        let (cores, server) = (&cores, &server);
        Codec::ALL.map(|codec| async move {
            let _core = cores.acquire().await.unwrap();
            run(command(), scheme, server, codec).await
        })
    });
    let reports = futures_util::future::join_all(runs).await;
    let table = table(&reports.chunks(Codec::ALL.len()).collect::<Vec<_>>());
    let path = build::root().join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (written, tail) = rest.split_once(END).unwrap();
    if std::env::var_os("ACCEPT").is_some() {
        fs::write(&path, format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
    } else {
        assert!(
            written == table,
            "{PAGE} differs. Accept it with `ACCEPT=1`, and read the difference.\n{table}"
        );
    }
}

/// Numbered notes below the table, in the order of their first use. Each has the libraries that it is
/// about.
#[derive(Default)]
struct Notes {
    texts: Vec<(String, Vec<&'static str>)>,
}

impl Notes {
    /// Returns the reference to a note, which is empty for an empty text.
    fn refer(&mut self, library: &'static str, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        let known = self.texts.iter().position(|(it, _)| it == text);
        let index = known.unwrap_or_else(|| {
            self.texts.push((text.to_owned(), Vec::new()));
            self.texts.len() - 1
        });
        let libraries = &mut self.texts[index].1;
        if !libraries.contains(&library) {
            libraries.push(library);
        }
        format!(" ({})", index + 1)
    }

    fn write(&self) -> String {
        let lines = self.texts.iter().enumerate().map(|(index, (text, libraries))| {
            format!("{}. {}: {text}.\n", index + 1, libraries.join(", "))
        });
        lines.collect()
    }
}

/// Returns the table and its notes, of the reports of each library for each codec.
fn table(reports: &[&[Report]]) -> String {
    let mut notes = Notes::default();
    let names = LIBRARIES.map(|(name, ..)| name);
    let line = |title: &str, cell: &mut dyn FnMut(&'static str, &[Report]) -> String| {
        let cells: Vec<_> = names.iter().zip(reports).map(|(name, of)| cell(name, of)).collect();
        format!("| {title} | {} |\n", cells.join(" | "))
    };
    let mut text = line("", &mut |name, _| name.to_owned());
    text += &line("---", &mut |_, _| "---".to_owned());
    text +=
        &line("version", &mut |name, of| of[0].version.clone() + &notes.refer(name, &of[0].remark));
    text += &line("serializers", &mut |name, of| serializers(of, name, &mut notes));
    for (feature, title) in FEATURES {
        text += &line(title, &mut |name, of| cell(of, name, feature, &mut notes));
    }
    format!("{text}\n{}", notes.write())
}

fn serializers(reports: &[Report], library: &'static str, notes: &mut Notes) -> String {
    let (mut names, mut references) = (Vec::new(), String::new());
    for (report, codec) in reports.iter().zip(Codec::ALL) {
        match &report.missing {
            None => names.push(title(codec)),
            Some(reason) => {
                references += &notes.refer(library, &format!("{}: {reason}", title(codec)));
            }
        }
    }
    names.join(", ") + &references
}

fn title(codec: Codec) -> &'static str {
    match codec {
        Codec::Json => "JSON",
        Codec::MsgPack => "MessagePack",
        Codec::Cbor => "CBOR",
    }
}

/// Returns the result of a feature, which is usually the same for all serializers.
fn cell(reports: &[Report], library: &'static str, feature: &str, notes: &mut Notes) -> String {
    let mut results = Vec::<(String, Vec<&str>)>::new();
    for (report, codec) in reports.iter().zip(Codec::ALL) {
        if report.missing.is_some() {
            continue;
        }
        let (result, reason) = &report.features[feature];
        let word = match result.as_str() {
            "ok" => "yes",
            "missing" => "no",
            _ => "fails",
        };
        let text = format!("{word}{}", notes.refer(library, reason));
        match results.iter_mut().find(|(known, _)| *known == text) {
            Some((_, codecs)) => codecs.push(title(codec)),
            None => results.push((text, vec![title(codec)])),
        }
    }
    if let [(text, _)] = results.as_slice() {
        return text.clone();
    }
    let each = results.iter().map(|(text, codecs)| format!("{}: {text}", codecs.join(", ")));
    each.collect::<Vec<_>>().join("; ")
}
