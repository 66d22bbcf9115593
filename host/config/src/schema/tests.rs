//! Tests of the schema: valid settings, and errors.

use std::time::Duration;

use jackfield_sandbox::StateMode;

use jackfield_sandbox::BreakerPolicy;

use super::*;

use crate::Settings;

/// Parses settings without the validation of several settings together.
fn parse(text: &str) -> Result<Config, String> {
    Settings::of(text, &[]).result()
}

fn refused(text: &str, expect: &str) {
    let error = parse(text).unwrap_err();
    assert!(error.starts_with(expect), "{text}\n{error}\ndoes not begin with\n{expect}");
}

#[test]
fn an_empty_file_yields_the_defaults() {
    for text in ["", "# nothing\n", "{}", "limits: {}\nplugins:\n  named: {}\n"] {
        assert_eq!(parse(text).unwrap(), Config::default(), "{text}");
    }
}

#[test]
fn reads_every_key() {
    let text = "
listen: 0.0.0.0:9000
realms: [a, com.b]
unrouted: broadcast
slow_subscriber: drop
limits:
  message: 2 MiB
  handshake: 8192
  outbox: { bytes: 1 MiB, messages: 7 }
  subscriptions: 5
  connections: 6
keepalive: { interval: 5s, timeout: 1m }
handshake_timeout: 3
shutdown: { grace: 500ms }
plugins:
  cache: /tmp/c
  default: { memory: 1 MiB, grant: [log, store], circuit_breaker: { faults: 9, window: 1s } }
  named:
    acme:
      deadline: 1s
      output: 1
      effects: 2
      table_elements: 3
      store: 4
      log: { per_second: 5 }
      cpu_percent: 25
      recycle: true
      state: synced
      circuit_breaker: { enabled: false, spread: 2, pause: 2s, max_pause: 3s }
      grant: []
watch: { poll: 2s, settle: 50ms }
log: { format: json }
";
    let config = parse(text).unwrap();
    assert_eq!(config.listen.unwrap().port(), 9000);
    assert_eq!(config.realms, ["a", "com.b"]);
    assert_eq!(config.unrouted, Unrouted::Broadcast);
    assert_eq!(config.limits.message_bytes, 2 << 20);
    assert_eq!(config.limits.handshake_bytes, 8192);
    assert_eq!(config.limits.outbox.bytes, 1 << 20);
    assert_eq!(config.limits.outbox.frames, 7);
    assert_eq!(config.limits.outbox.overflow, Overflow::DropEvent);
    assert_eq!((config.limits.subscriptions, config.limits.connections), (5, 6));
    assert_eq!(config.keepalive.timeout.as_secs(), 60);
    assert_eq!(config.handshake_timeout.as_secs(), 3);
    assert_eq!(config.shutdown.grace.as_millis(), 500);
    assert_eq!(config.watch.poll.unwrap().as_secs(), 2);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.plugins.cache, Some(PathBuf::from("/tmp/c")));
    let other = config.plugins.policy("other");
    assert_eq!(other.limits.memory, 1 << 20);
    let grant = Grant { store: true, log: true, ..Grant::NONE };
    assert_eq!(other.grant, grant);
    let acme = config.plugins.policy("acme");
    assert_eq!(acme.limits.memory, 1 << 20, "what it leaves out comes from the default");
    assert_eq!(acme.limits.deadline.as_secs(), 1);
    assert_eq!((acme.limits.output, acme.limits.effects), (1, 2));
    assert_eq!((acme.limits.table_elements, acme.limits.store), (3, 4));
    assert_eq!(acme.limits.log, LogRate { per_second: 5, burst: 1_000 });
    assert_eq!((acme.limits.cpu_percent, other.limits.cpu_percent), (25, 100));
    let breaker = BreakerPolicy {
        enabled: false,
        faults: 9,
        window: Duration::from_secs(1),
        spread: 2,
        pause: Duration::from_secs(2),
        max_pause: Duration::from_secs(3),
    };
    assert_eq!(acme.limits.breaker, breaker);
    assert!(!acme.grant.log);
    assert_eq!((acme.recycle, other.recycle), (true, false));
    let states = ["acme", "other"].map(|name| config.plugins.state(name));
    assert_eq!(states, [StateMode::Synced, StateMode::Written]);
    assert_eq!(config.plugins.needs_data().as_deref(), Some("plugins.named.acme.state"));
}

#[test]
fn lists_of_servers_and_procedures_are_grants() {
    let check = |settings: &str, expected: &[&str]| {
        let text = format!("plugins: {{ named: {{ acme: {{ grant: [], {settings} }} }} }}\n");
        let config = parse(&text).unwrap();
        let grant = config.plugins.policy("acme").grant;
        assert_eq!(grant.names().collect::<Vec<_>>(), expected, "{settings}");
    };
    check("http: { allow: ['https://a.example'] }", &["http"]);
    check("http: { allow: ['https://a.example'], blocking: true }", &["http", "fetch"]);
    check("http: { blocking: true }", &[]);
    check("calls: { allow: ['acme.*'] }", &["calls"]);
}

#[test]
fn formats_errors_as_routing_files_do() {
    refused(
        "access:\n  origins: shop.example.com",
        "j.yml:2:12: error: `access.origins` takes a list, not text\n  |\n2 |   origins: shop.example.com\n  \
         |            ^^^^^^^^^^^^^^^^\n  = help: write `[shop.example.com]`",
    );
    refused(
        "lisen: x",
        "j.yml:1:1: error: unknown key `lisen`\n  |\n1 | lisen\n  | ^^^^^\n  = help: did you mean \
         `listen`? Expected one of: `listen`, ",
    );
}

/// Checks the first line of an error, and the help.
#[track_caller]
fn check(text: &str, expect: &str, help: &str) {
    let error = parse(text).unwrap_err();
    let (first, rest) = error.split_once('\n').unwrap_or((&error, ""));
    assert!(first.starts_with(expect), "{text}\n{error}\ndoes not begin with\n{expect}");
    let found = rest.split_once("= help: ").map_or("", |(_, help)| help);
    assert!(found.starts_with(help), "{text}\n{error}\ndoes not help with\n{help}");
}

#[test]
fn errors_have_their_place() {
    check(
        "entrance: { origins: [shop.example] }",
        "j.yml:1:1: error: the key `entrance` is named `access` now",
        "write `access`",
    );
    check(
        "limits:\n  zzz: 1",
        "j.yml:2:3: error: unknown key `zzz`",
        "Expected one of: `message`, ",
    );
    check(
        "unrouted: refuze",
        "j.yml:1:11: error: unknown value `refuze`",
        "did you mean `refuse`?",
    );
    check(
        "unrouted: 7",
        "j.yml:1:11: error: unknown value `7`",
        "Expected one of: `refuse`, `broadcast`",
    );
    check(
        "plugins: { default: { grant: [topic] } }",
        "j.yml:1:31: error: unknown value `topic`",
        "did you mean `topics`?",
    );
    check(
        "limits:\n  message: 1 Mib",
        "j.yml:2:12: error: `1 Mib` is not what belongs here",
        "write a number of bytes that is not zero, such as",
    );
    check(
        "watch: { settle: 0 }",
        "j.yml:1:18: error: `0` is not what belongs here",
        "write a duration",
    );
    check(
        "keepalive:\n  interval: -1s",
        "j.yml:2:13: error: `-1s` is not what",
        "write a duration",
    );
    check(
        "keepalive: 5",
        "j.yml:1:12: error: `keepalive` takes a map, not a number",
        "write a map with some of its keys, `{ interval: VALUE }`: interval, timeout",
    );
    check(
        "limits: { outbox: 32 MiB }",
        "j.yml:1:19: error: `limits.outbox` takes a map, not text",
        "write a map with some of its keys, `{ bytes: VALUE }`: bytes, messages",
    );
    check(
        "allow: { publish: backend }",
        "j.yml:1:19: error: `allow.publish` takes a list, not text",
        "write `[backend]`",
    );
    check(
        "allow: { pubish: [a] }",
        "j.yml:1:10: error: unknown key `pubish`",
        "did you mean `publish`?",
    );
}

#[test]
fn invalid_values_are_reported_at_their_place() {
    check("listen: 8080", "j.yml:1:9: error: `8080` is not an address to listen on", "write an IP");
    check("realms: []", "j.yml:1:9: error: there is no realm", "name at least one");
    check("realms: [a, a]", "j.yml:1:9: error: the realm `a` is listed twice", "remove");
    check("realms: ['a b']", "j.yml:1:9: error: `a b` is not a realm", "write a URI");
    check("realms: a", "j.yml:1:9: error: `realms` takes a list, not text", "write `[a]`");
    check(
        "realms: { a: b }",
        "j.yml:1:9: error: `realms` takes a list, not a map",
        "write `[first",
    );
    check("log: { format: json", "j.yml:", "");
    check(
        "log: {}\nlog: {}",
        "j.yml:2:1: error: the key `log` appears twice, first on line 1",
        "keep",
    );
    check("listen: 127.0.0.1:1\n---\nlog: {}", "j.yml:2:1: error: a second YAML document", "");
    check(
        "- a",
        "j.yml:1:1: error: the settings are a map, not a list",
        "write a map with some of its keys",
    );
    check("hello", "j.yml:1:1: error: the settings are a map, not text", "write a map with");
    check(
        "limits: { connections: 0 }",
        "j.yml:1:24: error: `0` is not what belongs here",
        "write a whole number of 1 or more",
    );
    check(
        "limits: { connections: -1 }",
        "j.yml:1:24: error: `-1` is not what belongs here",
        "write a whole",
    );
    check(
        "limits: { connections: many }",
        "j.yml:1:24: error: `limits.connections` takes a whole number of 1 or more, not text",
        "",
    );
    check(
        "access: { https: maybe }",
        "j.yml:1:18: error: `access.https` takes true or false, not text",
        "",
    );
    check("access: { path: ws }", "j.yml:1:17: error: `ws` is not a path", "write a path");
    check(
        "access: { origins: ['*'] }",
        "j.yml:1:21: error: `*` names no host",
        "each is the name of a host",
    );
    check(
        "access: { origins: ['shop*.x'] }",
        "j.yml:1:21: error: `shop*.x` names no host",
        "each is",
    );
    check(
        "access: { blocked: [a] }",
        "j.yml:1:21: error: `a` is not an address",
        "write addresses",
    );
    check(
        "auth: { users: {} }",
        "j.yml:1:16: error: `auth.users` takes one key, not a map",
        "write one of: file, http, sql",
    );
    check(
        "auth: { users: { ldap: {} } }",
        "j.yml:1:18: error: `auth.users`: there is an unknown key",
        "Expected one of: `file`, `http`, `sql`",
    );
    check(
        "auth: { users: { file: a, sql: { url: b } } }",
        "j.yml:1:16: error: there are both `file` and `sql`",
        "keep one",
    );
    check("auth: { tickets: { ttl: 5s } }", "j.yml:1:18: error: the key `secret` is missing", "");
}

#[test]
fn reports_every_error() {
    let text = "log: { format: xml }\nunrouted: 7\nkeepalive: 5\nauth: { users: { sql: { url: [] } } }\n\
                limits: { message: x, zzz: 1 }\nwatch: { settle: 7s }\nplugins: { default: { memory: 0 } }";
    let settings = Settings::of(text, &[]);
    let places: Vec<_> = settings.problems.iter().map(|it| (it.line, it.column)).collect();
    assert_eq!(places.len(), 7, "{:?}", settings.problems);
    for place in [(1, 16), (2, 11), (3, 12), (4, 30), (5, 20), (5, 23), (7, 31)] {
        assert!(places.contains(&place), "{place:?} is missing in {places:?}");
    }
    assert_eq!(settings.config.watch.settle.as_secs(), 7, "what is right holds");
}

#[test]
fn compares_addresses_in_the_form_of_connections() {
    let check = |written: &str, address: &str, expect: bool| {
        let config = parse(&format!("access: {{ blocked: ['{written}'] }}")).unwrap();
        let blocked = config.access.blocked.contain(address.parse().unwrap());
        assert_eq!(blocked, expect, "{written} {address}");
    };
    check("::ffff:192.0.2.9", "192.0.2.9", true);
    check("::ffff:192.0.2.9", "::ffff:192.0.2.9", true);
    check("::ffff:192.0.2.0/120", "192.0.2.77", true);
    check("::ffff:192.0.2.0/120", "192.0.3.77", false);
    check("2001:db8::/32", "2001:db8::1", true);
    check("192.0.2.0/24", "192.0.2.1", true);
}

/// Secrets and possible secrets are never quoted, whatever their place and the error.
#[test]
fn errors_repeat_no_secret() {
    const AUTH: [&str; 35] = [
        "tickets: { secret: [S3CRET] }",
        "tickets: { secret: { vlaue: S3CRET } }",
        "tickets: { secret: 4711, users: x }",
        "tickets: S3CRET",
        "tickets: [S3CRET]",
        "S3CRET",
        "[S3CRET]",
        "tickets: { secert: S3CRET }",
        "tickets: { secret: x, anonymous_roles: S3CRET }",
        "tickets: { secret: x, once: S3CRET }",
        "tickets: { secret: x, ttl: S3CRET }",
        "tickets: { secret: x, replays: S3CRET }",
        "tickets: { secret: S3CRET, ttl: 5 parsecs }",
        "tickets: { secret: \"S3CRET }",
        "tickets: { secret: \"\\qS3CRET\" }",
        "tickets: { secret: *S3CRET }",
        "tickets: { secret: !S3CRET }",
        "tickets: { <<: S3CRET }",
        "tickets: { { S3CRET: x }: S3CRET }",
        "tickets: { secret: S3CRET, secret: S3CRET }",
        "users: S3CRET",
        "users: { sql: S3CRET }",
        "users: { sql: { ulr: 'postgres://u:S3CRET@h/d' } }",
        "users: { sql: { url: 'postgres://u:S3CRET@h/d', roles: S3CRET } }",
        "users: { http: { url: 'https://h/{username}', token: [S3CRET] } }",
        "users: { http: { url: [S3CRET] } }",
        "users: { http: { url: x, ca: '-----BEGIN S3CRET' } }",
        "users: { file: '{ S3CRET }' }",
        "jwt: { keys: S3CRET }",
        "jwt: { keys: { S3CRET } }",
        "jwt: { keys: [S3CRET] }",
        "jwt: { keys: { pem: '-----BEGIN S3CRET' } }",
        "jwt: { keys: { jwks: '{\"keys\":[\"S3CRET\"]}' } }",
        "jwt: { keys: { secret: { file: '-----BEGIN S3CRET' } } }",
        "jwt: { keys: { jwks: x }, issuers: S3CRET }",
    ];
    const OTHERS: [&str; 16] = [
        "{\nlisten: x, auth: { tickets: { secret: S3CRET } }, lisen: x }",
        "--- {\nlisten: x, auth: { tickets: { secret: S3CRET } }, lisen: [ }",
        "api: S3CRET",
        "api: { tokens: S3CRET }",
        "api: { tokens: [S3CRET] }",
        "api: { tokens: { a: S3CRET } }",
        "api: { tokens: [{ name: a, tokne: S3CRET }] }",
        "api: { tokens: [{ name: [S3CRET] }] }",
        "api: { tokens: [{ token: S3CRET }] }",
        "api: { tokens: [{ name: a, token: S3CRET, realm: x }] }",
        "api: { tokens: [{ name: a, token: { file: \"S3\\nS3CRET\" } }] }",
        "api: { body: S3CRET }",
        "auht: { tickets: { secret: S3CRET } }",
        "auht:\n  tickets: { secret: S3CRET }",
        "{ lisen: x, auth: { tickets: { secret: S3CRET } } }",
        "auth:\n  tickets:\n    secret: S3CRET\n    users: x",
    ];
    let check = |text: &str| {
        let error = Settings::validated(text, &[]).expect_err(text);
        assert!(error.starts_with("j.yml:"), "{text}\n{error}");
        // A key is not a value.
        let error = error.replace("unknown key `S3CRET`", "");
        assert!(!error.contains("S3CRET") && !error.contains("4711"), "{text}\n{error}");
    };
    for text in AUTH {
        check(&format!("auth: {{ {text} }}"));
        check(&format!("listen: 127.0.0.1:1\nauth:\n  {text}\n"));
    }
    for text in OTHERS {
        check(text);
    }
}

#[test]
fn documentation_states_the_defaults() {
    let page = include_str!("../../../../docs/configuration.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let (sample, _) = rest.split_once("```").unwrap();
    assert_eq!(parse(sample).unwrap(), Config::default());
    let keys = ["listen", "realms", "outbox", "messages", "grant", "settle", "shutdown"];
    assert!(keys.iter().all(|key| sample.contains(&format!("{key}:"))), "the sample is whole");
}

#[test]
fn examples_of_the_documentation_are_valid() {
    let page = include_str!("../../../../docs/configuration.md");
    let blocks = page.split("```yaml\n").skip(2).filter_map(|rest| rest.split_once("```"));
    let mut ways = 0;
    for (block, _) in blocks {
        if block.starts_with("# users.yml") {
            jackfield_auth::FileUsers::parse("users.yml", block).unwrap();
        } else if block.starts_with("# principals.yml") {
            jackfield_auth::Principals::parse("principals.yml", block).unwrap();
        } else {
            let config = parse(block).unwrap();
            if config.listeners.is_empty() && config.rules.is_empty() {
                assert_ne!(config.auth, AuthSettings::default(), "{block}");
                ways += 1;
            }
        }
    }
    assert_eq!(ways, 6);
}

#[test]
fn reads_a_fraction_of_a_duration_everywhere() {
    let config = parse(
        "watch: { settle: 1.5s }\nhandshake_timeout: 1.5\nauth: { tickets: { secret: x, ttl: 1.5m } }",
    );
    let config = config.unwrap();
    assert_eq!(config.watch.settle, Duration::from_millis(1_500));
    assert_eq!(config.handshake_timeout, Duration::from_millis(1_500));
    assert_eq!(config.auth.tickets.unwrap().ttl.get(), Duration::from_secs(90));
    for wrong in ["watch: { settle: 1e1 }", "watch: { settle: 0 }", "watch: { settle: '1,5s' }"] {
        assert!(parse(wrong).unwrap_err().contains("write a duration"), "{wrong}");
    }
}
