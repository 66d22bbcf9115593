//! Commands that inspect a site, and servers that refuse to start: output, places of diagnoses,
//! exit codes.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use jackfield_tests::build;
use jackfield_tests::server::Server;
use jackfield_tests::site::{OPEN_ROUTES, Site};

const CHAT_ROUTES: &str = "\
acme.chat:
    channel: 'acme/chat/{room}'
    handler: { callback: 'chat' }
    requirements:
        room: '[a-z]+'
acme.any:
    channel: 'acme/{kind}/{room}'
    handler: { callback: 'broadcast' }
    allow: { publish: [member, staff] }
";

/// Exit code and output of a command.
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// Runs `jackfield COMMAND SITE…`, which ends by itself.
pub(crate) fn jackfield(command: &str, site: &Path, more: &[&str]) -> Answer {
    let output = Command::new(build::jackfield())
        .arg(command)
        .arg(site)
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("jackfield runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Answer { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn good() -> Site {
    let site = Site::open();
    site.bundle("chat", CHAT_ROUTES, &[build::plugin("chat")]);
    site
}

#[test]
fn check_accepts_a_valid_site() {
    let site = good();
    let Answer { code, out, err } = jackfield("check", site.path(), &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.ends_with(": 4 routes, 2 handlers, 2 plugins: ok\n"), "{out}");

    // Without the components, the routes are still valid.
    site.remove("chat/jackfield_chat.wasm");
    let Answer { code, out, .. } = jackfield("check", site.path(), &["--routing-only"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("4 routes, 2 handlers"), "{out}");
    let Answer { code, out, .. } = jackfield("check", site.path(), &[]);
    assert_eq!(code, Some(1), "{out}");
    begins(&out, &site, "chat/websocket_routing.yml:3:26: error: ");
}

#[test]
fn check_prints_every_error_with_its_place() {
    let site = good();
    site.write("a/websocket_routing.yml", "a: { channel: 'a' }\nb: 1\n");
    site.write("c/websocket_routing.yml", "c:\n    channel: c: {x}\n");
    site.write("d/broken.wasm", "not a component");
    site.write("e/websocket_routing.yml", b"e:\n    # \xff\n");
    let Answer { code, out, .. } = jackfield("check", site.path(), &[]);
    assert_eq!(code, Some(1));
    for place in [
        "a/websocket_routing.yml:1:1: error: ",
        "a/websocket_routing.yml:2:4: error: ",
        "c/websocket_routing.yml:2:15: error: ",
        "d/broken.wasm: error: failed to ",
        "e/websocket_routing.yml:2:7: error: ",
    ] {
        begins(&out, &site, place);
    }
    assert!(out.ends_with(" problems\n"), "{out}");

    let Answer { code, out, .. } = jackfield("check", site.path(), &["--routing-only"]);
    assert_eq!(code, Some(1));
    begins(&out, &site, "c/websocket_routing.yml:2:15: error: ");
    assert!(!out.contains("broken.wasm"), "{out}");
}

#[test]
fn check_suggests_the_handler_that_was_meant() {
    let site = good();
    let routes = OPEN_ROUTES.replace("broadcast", "brodcast").replace("test.", "other.");
    site.write("b/websocket_routing.yml", routes);
    let Answer { code, out, .. } = jackfield("check", site.path(), &[]);
    assert_eq!(code, Some(1));
    begins(&out, &site, "b/websocket_routing.yml:3:26: error: ");
    begins(&out, &site, "b/websocket_routing.yml:6:26: error: ");
    assert!(out.contains("broadcast`"), "{out}");
}

#[test]
fn check_configures_routes_in_their_plugins() {
    let site = good();
    let args = CHAT_ROUTES.replace("'chat' }", "'chat', args: { history: 500 } }");
    site.write("chat/websocket_routing.yml", args);
    let Answer { code, out, .. } = jackfield("check", site.path(), &[]);
    assert_eq!(code, Some(1));
    begins(&out, &site, "chat/websocket_routing.yml:3:");
    assert!(out.contains("history can be 200 at most"), "{out}");
    let Answer { code, out, .. } = jackfield("check", site.path(), &["--routing-only"]);
    assert_eq!(code, Some(0), "{out}");
}

#[test]
fn reports_a_missing_site() {
    for command in ["check", "routes", "serve"] {
        let Answer { code, out, err } = jackfield(command, Path::new("/nowhere/at/all"), &[]);
        assert_eq!(code, Some(1), "{command}");
        assert!(format!("{out}{err}").contains("/nowhere/at/all"), "{command}: {out}{err}");
    }
    // Nothing is made for it.
    let state = tempfile::tempdir().unwrap();
    let mut serve = Command::new(build::jackfield());
    serve.args(["serve", "/nowhere/at/all"]).env("XDG_STATE_HOME", state.path());
    serve.env_remove("STATE_DIRECTORY");
    assert_eq!(serve.output().unwrap().status.code(), Some(1));
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
}

#[test]
fn routes_lists_routes_in_matching_order() {
    let site = good();
    let Answer { code, out, err } = jackfield("routes", site.path(), &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().collect()).collect();
    let names: Vec<&str> = lines.iter().map(|line| line[0]).collect();
    assert_eq!(names, ["NAME", "acme.chat", "acme.any", "test.open", "test.dotted"]);
    let chat = &lines[1];
    assert_eq!(chat[1..3], ["acme/chat/{room}", "chat"]);
    assert!(chat.last().unwrap().ends_with("chat/websocket_routing.yml:1"), "{chat:?}");
    assert!(out.contains("publish: member|staff"), "{out}");

    let Answer { out, .. } = jackfield("routes", site.path(), &["--json"]);
    let routes: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(routes[0]["name"], "acme.chat");
    assert_eq!(routes[0]["requirements"]["room"], "[a-z]+");
    assert_eq!(routes[1]["allow"]["publish"][1], "staff");
    assert_eq!((&routes[1]["line"], &routes[1]["column"]), (&Value::from(6), &Value::from(1)));
}

#[test]
fn match_names_the_route_and_why_others_do_not_match() {
    let site = good();
    let Answer { code, out, .. } = jackfield("match", site.path(), &["acme/chat/kitchen", "--all"]);
    assert_eq!(code, Some(0), "{out}");
    for part in [
        "`acme/chat/kitchen` matches the route `acme.chat`",
        "chat of ",
        "websocket_routing.yml:1:1",
        "room = kitchen",
        "also matches, but `acme.chat` comes first",
        "segment 1 is `acme`, not `open`",
    ] {
        assert!(out.contains(part), "{part} is missing in:\n{out}");
    }

    let Answer { code, out, .. } = jackfield("match", site.path(), &["acme/chat/Kitchen", "--all"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("matches the route `acme.any`"), "{out}");
    assert!(out.contains("segment 3 `Kitchen` does not match `[a-z]+` of {room}"), "{out}");
    assert!(out.contains("kind = chat") && out.contains("room = Kitchen"), "{out}");

    let Answer { code, out, .. } = jackfield("match", site.path(), &["elsewhere"]);
    assert_eq!(code, Some(1));
    assert!(out.contains("no route matches `elsewhere`"), "{out}");
}

/// Returns a site with one warning of each kind: the environment, the users, the routes by
/// themselves, the names that clients may use, and the handlers.
fn odd() -> (Site, [&'static str; 6]) {
    let site = Site::open();
    site.write(
        "odd/websocket_routing.yml",
        "a: { channel: '%env(X)%/{id}', handler: broadcast, requirements: { id: '/\\d+/' } }\n\
         b: { channel: 'a b', handler: broadcast }\n\
         c: { channel: 'a b', handler: broadcast, timer: 5s }\n",
    );
    site.write("users.yml", "users: { ann: { id: 1, password: hunter2 } }");
    let settings = "auth: { tickets: { secret: x }, users: { file: users.yml } }";
    site.write("jackfield.yml", settings);
    let told = [
        "JACKFIELD_LIMITS__MESSAGE: warning: nothing reads this variable",
        "warning: the password of \"ann\" is no hash",
        "warning: the channel has `%env(X)%` in it",
        "warning: the requirement of `id` is written between delimiters",
        "warning: no topic reaches route `c`: route `b`",
        "warning: the handler `broadcast` has no timer hook",
    ];
    (site, told)
}

#[test]
fn check_and_match_print_each_warning_once() {
    let (site, told) = odd();
    let twice = "warning: WAMP v2 and HTTP API clients cannot use topics of `a b`";
    for (command, more) in [("check", None), ("match", Some("open/a"))] {
        let output = Command::new(build::jackfield())
            .arg(command)
            .arg(site.path())
            .args(more)
            .env("JACKFIELD_LIMITS__MESSAGE", "1MiB")
            .output()
            .expect("jackfield runs");
        let (out, err) = (&output.stdout, &output.stderr);
        let shown = String::from_utf8_lossy(if more.is_some() { err } else { out });
        assert_eq!(output.status.code(), Some(0), "{command}: {shown}");
        for warning in told {
            assert_eq!(shown.matches(warning).count(), 1, "{command}: {warning}\n{shown}");
        }
        assert_eq!(shown.matches(twice).count(), 2, "one for each route: {shown}");
        let (warnings, helps) = (shown.matches("warning: "), shown.matches("  = help: "));
        assert_eq!((warnings.count(), helps.count()), (8, 8), "{shown}");
    }
}

#[test]
fn serve_logs_each_warning_once() {
    let (site, told) = odd();
    let server = Server::start(site.path());
    server.logged("generation ready");
    let log = server.log();
    for warning in told.iter().skip(2) {
        assert_eq!(log.matches(warning).count(), 1, "{warning}\n{log}");
    }
    let twice = "WAMP v2 and HTTP API clients cannot use topics of `a b`";
    assert_eq!(log.matches(twice).count(), 2, "{log}");
}

#[test]
fn serve_refuses_a_broken_site_and_says_why() {
    let site = good();
    site.write("c/websocket_routing.yml", "c:\n    channel: c: {x}\n");
    let Answer { code, out, err } = jackfield("serve", site.path(), &["--listen", "127.0.0.1:0"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    begins(&err, &site, "c/websocket_routing.yml:2:15: error: ");
}

#[test]
fn reports_invalid_settings_with_their_place() {
    let site = good();
    let config = site.file("settings.conf");
    for (text, place) in [
        ("listen: 8080\n", ":1:9: error: `8080` is not an address"),
        ("limits:\n    mesage: 1 MiB\n", ":2:5: error: unknown key `mesage`"),
        ("realms: [a\n", ":"),
    ] {
        std::fs::write(&config, text).unwrap();
        let path = config.to_str().unwrap();
        for command in ["serve", "check"] {
            let Answer { code, out, err } = jackfield(command, site.path(), &["--config", path]);
            assert_eq!(code, Some(1), "{command} with {text}");
            assert!(format!("{out}{err}").contains(&format!("{path}{place}")), "{out}{err}");
        }
    }
    let missing = ["--config", "/nowhere.yml"];
    let Answer { code, err, .. } = jackfield("serve", site.path(), &missing);
    assert_eq!(code, Some(1));
    assert!(err.contains("/nowhere.yml"), "{err}");

    // The site's own settings are found without an option.
    site.write("jackfield.yml", "realms: []\n");
    let Answer { code, err, .. } = jackfield("serve", site.path(), &[]);
    assert_eq!(code, Some(1));
    assert!(err.contains("jackfield.yml:1:9: error: there is no realm"), "{err}");
}

#[test]
fn reports_an_address_in_use() {
    let site = good();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let Answer { code, out, err } = jackfield("serve", site.path(), &["--listen", &address]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains(&format!("error: failed to listen on {address}: ")), "{err}");
    assert!(err.contains("  = help: something is listening there already"), "{err}");
    assert!(err.contains("--listen 127.0.0.1:8081"), "{err}");

    // `dev` says so before it builds.
    site.write("acme/Cargo.toml", "this cannot be built");
    site.write("acme/websocket_routing.yml", "");
    let Answer { code, err, .. } = jackfield("dev", site.path(), &["--listen", &address]);
    assert_eq!(code, Some(1));
    assert!(err.contains(&format!("error: failed to listen on {address}: ")), "{err}");
    assert!(!err.contains("building"), "{err}");

    let Answer { code, err, .. } = jackfield("serve", site.path(), &["--listen", "localhost:0"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("write an IP address and a port, such as 0.0.0.0:8080"), "{err}");
}

#[test]
fn reports_every_error_of_the_settings_and_of_the_site() {
    let site = good();
    site.write("c/websocket_routing.yml", "c:\n    channel: c: {x}\n");
    let settings = "log: { format: xml }\nunrouted: 7\nkeepalive: 5\nauth:\n  users: { file: u }\n";
    site.write("jackfield.yml", settings);
    let of_settings = [":1:16: ", ":2:11: ", ":3:12: ", ":5:10: "];
    for command in ["check", "serve"] {
        let Answer { code, out, err } = jackfield(command, site.path(), &[]);
        assert_eq!(code, Some(1));
        for place in of_settings {
            begins(&format!("{out}{err}"), &site, &format!("jackfield.yml{place}error: "));
        }
    }
    let Answer { out, .. } = jackfield("check", site.path(), &[]);
    begins(&out, &site, "c/websocket_routing.yml:2:15: error: ");
    assert!(out.ends_with(": 6 problems\n"), "{out}");
}

/// `check` reports every error that prevents a start; neither repeats a secret.
#[test]
fn check_refuses_what_serve_refuses() {
    let site = good();
    for (settings, key) in [
        ("auth: { jwt: { keys: { secret: hunter2 } } }", "auth.jwt.keys.secret"),
        ("auth: { jwt: { keys: { pem: '-----BEGIN hunter2' } } }", "auth.jwt.keys.pem"),
        ("auth: { users: hunter2, tickets: { secret: x } }", "auth.users"),
        (
            "auth: { tickets: { secret: x }, users: { sql: { url: hunter2 } } }",
            "auth.users.sql.url",
        ),
        ("auth: { tickets: { secret: '{' }, users: { file: u } }", "auth.tickets.secret"),
        ("api: { tokens: [{ name: a, token: hunter2 }] }", "the token `a` is shorter"),
        ("access: { anonymous: false }", "no client could connect"),
    ] {
        site.write("jackfield.yml", settings);
        site.write("u", "users: {}");
        for command in ["check", "serve"] {
            let Answer { code, out, err } =
                jackfield(command, site.path(), &["--set", "listen=127.0.0.1:0"]);
            let said = format!("{out}{err}");
            assert_eq!(code, Some(1), "{command} {settings}: {said}");
            begins(&said, &site, "jackfield.yml:1:");
            assert!(said.contains(key) && !said.contains("hunter2"), "{command}: {said}");
        }
    }
    // Only the server loads a secret from elsewhere.
    let settings = "auth:\n  tickets: { secret: { env: NO_SUCH } }\n  users: { file: u }\n";
    site.write("jackfield.yml", settings);
    let Answer { code, out, .. } = jackfield("check", site.path(), &[]);
    assert_eq!(code, Some(0), "{out}");
    begins(&out, &site, "jackfield.yml:2:22: warning: cannot load `auth.tickets.secret`");
    let Answer { code, err, .. } = jackfield("serve", site.path(), &[]);
    assert_eq!(code, Some(1));
    begins(&err, &site, "jackfield.yml:2:22: error: cannot load `auth.tickets.secret`");
}

#[test]
fn a_ticket_without_settings_says_which_file_is_missing() {
    let site = good();
    let Answer { code, err, .. } = jackfield("ticket", site.path(), &[]);
    let file = site.path().join("jackfield.yml");
    let expect =
        format!("{} does not exist; pass the configuration file with --config", file.display());
    assert_eq!(code, Some(1));
    assert!(err.contains(&expect), "{err}");
}

/// Checks that a line of the text begins with this path of the site.
#[track_caller]
fn begins(text: &str, site: &Site, place: &str) {
    let place = format!("{}/{place}", site.path().display());
    assert!(text.lines().any(|line| line.starts_with(&place)), "{place} is missing in:\n{text}");
}
