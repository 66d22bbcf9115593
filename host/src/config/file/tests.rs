//! Settings as operators write them, and their mistakes.

use super::*;

fn parse(path: &str, text: &str) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    apply(path, text, &mut config).map(|()| config)
}

fn refused(text: &str, expect: &str) {
    let error = parse("j.yml", text).unwrap_err().to_string();
    assert!(error.starts_with(expect), "{text}\n{error}\ndoes not begin with\n{expect}");
}

#[test]
fn a_silent_file_is_the_default() {
    for text in ["", "# nothing\n", "{}", "limits: {}\nplugins:\n  named: {}\n"] {
        assert_eq!(parse("j.yml", text).unwrap(), Config::default(), "{text}");
    }
}

#[test]
fn every_key_is_taken_in() {
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
shutdown_grace: 500ms
plugins:
  cache: /tmp/c
  default: { memory: 1 MiB, grant: [log, store] }
  named:
    acme:
      deadline: 1s
      output: 1
      effects: 2
      table_elements: 3
      store: 4
      log: { per_second: 5 }
      grant: []
watch: { poll: 2s, settle: 50ms }
log: { format: json }
";
    let config = parse("j.yml", text).unwrap();
    assert_eq!(config.listen.port(), 9000);
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
    assert_eq!(config.shutdown_grace.as_millis(), 500);
    assert_eq!(config.watch.poll.unwrap().as_secs(), 2);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.plugins.cache, Some(PathBuf::from("/tmp/c")));
    let other = config.plugins.policy("other");
    assert_eq!(other.limits.memory, 1 << 20);
    let grant = Grant { topics: false, sessions: false, store: true, log: true };
    assert_eq!(other.grant, grant);
    let acme = config.plugins.policy("acme");
    assert_eq!(acme.limits.memory, 1 << 20, "what it leaves out comes from the default");
    assert_eq!(acme.limits.deadline.as_secs(), 1);
    assert_eq!((acme.limits.output, acme.limits.effects), (1, 2));
    assert_eq!((acme.limits.table_elements, acme.limits.store), (3, 4));
    assert_eq!(acme.limits.log, LogRate { per_second: 5, burst: 1_000 });
    assert!(!acme.grant.log);
}

#[test]
fn mistakes_are_shown_with_their_place() {
    refused("lisen: x", "j.yml:1:1: error: unknown key `lisen`\n  = help: did you mean `listen`?");
    refused("limits:\n  zzz: 1", "j.yml:2:3: error: unknown key `zzz`\n  = help: known here: ");
    refused(
        "unrouted: refuze",
        "j.yml:1:11: error: unknown value `refuze`\n  = help: did you mean `refuse`?",
    );
    refused(
        "plugins: { default: { grant: [topic] } }",
        "j.yml:1:31: error: unknown value `topic`\n  = help: did you mean `topics`?",
    );
    refused(
        "limits:\n  message: 1 Mib",
        "j.yml:2:3: error: string is not what belongs here\n  = help: write a number of bytes",
    );
    refused(
        "watch: { settle: 0 }",
        "j.yml:1:10: error: integer is not what belongs here\n  = help: write a span",
    );
    refused("keepalive:\n  interval: -1s", "j.yml:2:3: error: ");
    refused("listen: 8080", "j.yml:1:9: error: `8080` is not an address to listen on");
    refused("realms: []", "j.yml:1:9: error: there is no realm");
    refused("realms: [a, a]", "j.yml:1:9: error: the realm `a` is listed twice");
    refused("realms: ['a b']", "j.yml:1:9: error: `a b` is not a realm");
    refused("realms: a", "j.yml:1:9: error: ");
    refused("log: { format: json", "j.yml:");
    refused("log: 1\nlog: 2", "j.yml:");
    refused("- a", "j.yml:1:1: error: ");
    refused("limits: { connections: 0 }", "j.yml:1:11: error: ");
}

#[test]
fn the_documentation_states_the_defaults() {
    let page = include_str!("../../../../docs/configuration.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let (sample, _) = rest.split_once("```").unwrap();
    assert_eq!(parse("docs/configuration.md", sample).unwrap(), Config::default());
    let keys = ["listen", "realms", "outbox", "messages", "grant", "settle", "shutdown_grace"];
    assert!(keys.iter().all(|key| sample.contains(&format!("{key}:"))), "the sample is whole");
}

#[test]
fn the_examples_of_the_documentation_are_valid() {
    let page = include_str!("../../../../docs/configuration.md");
    let blocks = page.split("```yaml\n").skip(2).filter_map(|rest| rest.split_once("```"));
    let mut ways = 0;
    for (block, _) in blocks {
        if block.starts_with("# users.yml") {
            jackfield_auth::FileUsers::parse("users.yml", block).unwrap();
        } else {
            let config = parse("docs/configuration.md", block).unwrap();
            assert_ne!(config.auth, AuthSettings::default(), "{block}");
            ways += 1;
        }
    }
    assert_eq!(ways, 5);
}
