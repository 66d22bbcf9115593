//! Conversions of single parts, and a property: no rule gives a right that Crossbar does not give.

use std::collections::BTreeMap;

use jackfield_wamp::uri::MatchPolicy;
use serde_json::json;

use super::*;

/// A node with these realms and transports, and nothing else.
fn node(realms: &Value, transports: &Value) -> Conversion {
    let worker = json!({ "type": "router", "realms": realms, "transports": transports });
    convert_in(json!({ "version": 2, "workers": [worker] })).unwrap()
}

fn convert_in(configuration: Value) -> Result<Conversion, (&'static str, Vec<Note>)> {
    convert(configuration, Path::new("/etc/crossbar"))
}

fn open_transport() -> Value {
    json!({ "type": "websocket", "endpoint": { "type": "tcp", "port": 8080 } })
}

fn roles(roles: &Value) -> Conversion {
    node(&json!([{ "name": "realm1", "roles": roles }]), &json!([open_transport()]))
}

fn rules_of(conversion: &Conversion) -> Vec<&str> {
    let lines = conversion.settings.lines().skip_while(|line| !line.starts_with("rules:")).skip(1);
    lines.map(|line| line.trim_start().trim_start_matches("- ")).collect()
}

fn places(conversion: &Conversion) -> Vec<&str> {
    conversion.notes.iter().map(|note| note.place.as_str()).collect()
}

fn everything() -> Value {
    json!({ "call": true, "register": true, "publish": true, "subscribe": true })
}

#[test]
fn the_most_specific_entry_of_each_role_counts() {
    let conversion = roles(&json!([
        { "name": "backend", "permissions": [{ "uri": "", "match": "prefix", "allow": everything() }] },
        { "name": "frontend", "permissions": [
            { "uri": "com.shop.*", "allow": { "call": true, "subscribe": true } },
            { "uri": "com.shop.secret", "allow": {} },
            { "uri": "com.shop.admin.", "match": "prefix", "allow": { "call": false } },
        ] },
    ]));
    assert_eq!(
        rules_of(&conversion),
        [
            "{ uri: com.shop.secret, allow: { subscribe: [backend], publish: [backend], call: [backend], register: [backend] } }",
            "{ uri: com.shop.admin., match: prefix, allow: { subscribe: [backend], publish: [backend], call: [backend], register: [backend] } }",
            // In Crossbar, com.shop.secret hides the shorter prefix.
            "{ uri: com.shop.secret, match: prefix, allow: { subscribe: [backend], publish: [backend], call: [backend], register: [backend] } }",
            "{ uri: com.shop., match: prefix, allow: { subscribe: [backend, frontend], publish: [backend], call: [backend, frontend], register: [backend] } }",
            "{ uri: \"\", match: prefix, allow: { subscribe: [backend], publish: [backend], call: [backend], register: [backend] } }",
        ]
    );
    let notes: Vec<&str> = conversion.notes.iter().map(|note| note.message.as_str()).collect();
    assert_eq!(
        notes,
        ["the meta API stays closed: if the role needs it, add it to a rule for `wamp.`"]
    );
}

#[test]
fn an_entry_for_all_topics_does_not_open_the_meta_api() {
    let conversion = roles(&json!([
        { "name": "backend", "permissions": [{ "uri": "*", "allow": everything() }] },
        { "name": "ops", "permissions": [
            { "uri": "wamp.", "match": "prefix", "allow": { "call": true, "subscribe": true } },
        ] },
    ]));
    assert_eq!(
        rules_of(&conversion).first().copied(),
        Some(
            "{ uri: wamp., match: prefix, allow: { subscribe: [ops], publish: [], call: [ops], register: [] } }"
        )
    );
}

#[test]
fn a_wildcard_of_another_role_never_widens_rights() {
    let conversion = roles(&json!([
        { "name": "ops", "permissions": [{ "uri": "com.shop..status", "match": "wildcard", "allow": { "subscribe": true } }] },
        { "name": "member", "permissions": [
            { "uri": "com.shop.", "match": "prefix", "allow": { "subscribe": true } },
            { "uri": "com.shop.secret.", "match": "prefix", "allow": {} },
        ] },
    ]));
    let rules = rules_of(&conversion);
    assert!(rules[0].starts_with("{ uri: com.shop..status, match: wildcard,"), "{rules:?}");
    // com.shop.secret.status is denied to members.
    assert!(rules[0].contains("subscribe: [ops]"), "{rules:?}");
    assert!(
        rules[1].contains("com.shop.secret.") && rules[1].contains("subscribe: []"),
        "{rules:?}"
    );
    assert!(rules[2].contains("subscribe: [member]"), "{rules:?}");
    assert_eq!(places(&conversion), ["workers[0].realms[0].roles[1]"]);
}

#[test]
fn an_entry_that_is_not_converted_gives_no_rights_to_its_role() {
    for entry in [
        json!({ "uri": "com.secret", "match": "regex" }),
        json!({ "uri": "com.a b", "allow": {} }),
        json!({ "uri": 7, "allow": {} }),
        json!({ "uri": "com.x", "match": 7 }),
    ] {
        let all = json!({ "uri": "", "match": "prefix", "allow": everything() });
        let conversion = roles(&json!([{ "name": "x", "permissions": [all, entry] }]));
        assert_eq!(rules_of(&conversion), [] as [&str; 0], "{entry}");
        assert!(places(&conversion).contains(&"workers[0].realms[0].roles[0]"), "{entry}");
    }
}

/// An entry of a role: URI, match, and whether it may publish.
type Entry = (String, &'static str, bool);

/// The decision of Crossbar for a role, as its documentation and its behaviour have it.
fn crossbar_allows(entries: &[Entry], topic: &str) -> bool {
    let (mut plain, mut wildcards) = (BTreeMap::new(), BTreeMap::new());
    for (uri, policy, allow) in entries {
        if let Some((stem, _)) = uri.split_once("..") {
            wildcards.insert(stem, (uri, *allow));
        } else {
            plain.insert(uri.as_str(), (*policy, *allow));
        }
    }
    let begins = plain.iter().filter(|(uri, _)| topic.starts_with(**uri));
    let longest = begins.max_by_key(|(uri, _)| uri.len());
    let found = longest.filter(|(uri, (policy, _))| *policy == "prefix" || **uri == topic);
    let is_exact = found.is_some_and(|(_, (policy, _))| *policy == "exact");
    let wildcard = wildcards.iter().filter(|(stem, _)| topic.starts_with(**stem));
    let wildcard = wildcard.max_by_key(|(stem, _)| stem.len()).map(|(_, it)| it);
    match wildcard.filter(|(uri, _)| MatchPolicy::Wildcard.matches(uri, topic)) {
        Some((_, allow)) if !is_exact => *allow,
        _ => found.is_some_and(|(_, (_, allow))| *allow),
    }
}

/// Whether the first rule that matches names the role.
fn rules_allow(rules: &[&str], role: &str, topic: &str) -> bool {
    let part = |rule: &str, key: &str, end: &str| {
        let (_, rest) = rule.split_once(key)?;
        rest.split_once(end).map(|(part, _)| part.to_owned())
    };
    let matches = |rule: &&&str| {
        let uri = part(rule, "uri: ", ",").unwrap();
        let uri = if uri.starts_with('"') { serde_json::from_str(&uri).unwrap() } else { uri };
        let policy = part(rule, "match: ", ",").and_then(|it| MatchPolicy::from_name(&it));
        policy.unwrap_or_default().matches(&uri, topic)
    };
    let first = rules.iter().find(matches);
    let names = first.and_then(|rule| part(rule, "publish: [", "]"));
    names.is_some_and(|names| names.split(", ").any(|name| name == role))
}

#[test]
fn no_rule_gives_a_right_that_crossbar_does_not_give() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut uri = |parts: &[&str]| {
        let length = random.usize(1..=3);
        let parts: Vec<&str> = (0..length).map(|_| parts[random.usize(..parts.len())]).collect();
        let policy = ["exact", "prefix", "wildcard"][random.usize(..3)];
        (parts.join("."), policy, random.bool())
    };
    let topics: Vec<String> = (0..300).map(|_| uri(&["a", "b", "ab"]).0).collect();
    let (mut equal, mut less) = (0, 0);
    for _ in 0..400 {
        let is_valid = |(uri, policy, _): &Entry| {
            let policy = MatchPolicy::from_name(policy).unwrap();
            let is_open = uri.contains("..") == (policy == MatchPolicy::Wildcard);
            is_open && jackfield_wamp::uri::is_pattern(uri, policy)
        };
        let mut list = |_| (0..6).map(|_| uri(&["a", "b", "ab", ""])).filter(is_valid).collect();
        let lists: Vec<Vec<Entry>> = (0..3).map(&mut list).collect();
        let written = lists.iter().enumerate().map(|(number, entries)| {
            let permissions = entries.iter().map(|(uri, policy, allow)| {
                json!({ "uri": uri, "match": policy, "allow": { "publish": allow } })
            });
            let permissions: Vec<Value> = permissions.collect();
            json!({ "name": format!("r{number}"), "permissions": permissions })
        });
        let written: Vec<Value> = written.collect();
        let conversion = roles(&json!(written));
        let rules = rules_of(&conversion);
        for (number, entries) in lists.iter().enumerate() {
            for topic in &topics {
                let here = rules_allow(&rules, &format!("r{number}"), topic);
                let there = crossbar_allows(entries, topic);
                assert!(!here || there, "r{number} {topic}\n{written:#?}\n{rules:#?}");
                if here == there {
                    equal += 1;
                } else {
                    less += 1;
                }
            }
        }
    }
    assert!(equal > 20 * less, "{equal} decisions are equal, and {less} are not");
}

#[test]
fn realms_have_rules_of_their_own() {
    let role = |uri: &str| json!([{ "name": "x", "permissions": [{ "uri": uri, "allow": everything() }] }]);
    let realms =
        json!([{ "name": "one", "roles": role("a.b") }, { "name": "two", "roles": role("a.b") }]);
    let conversion = node(&realms, &json!([open_transport()]));
    assert!(conversion.settings.contains("realms: [one, two]"));
    let rules = rules_of(&conversion);
    assert!(rules[0].contains("realm: one") && rules[1].contains("realm: two"), "{rules:?}");
}

/// A transport that gives this role to sessions without authentication.
fn transport(port: u16, anonymous: &Value) -> Value {
    json!({
        "type": "websocket",
        "endpoint": { "type": "tcp", "port": port, "interface": "127.0.0.1" },
        "auth": { "anonymous": anonymous },
    })
}

#[test]
fn sessions_without_authentication_have_the_rights_of_all_their_roles() {
    let entry = |action: &str| {
        let allow = json!({ action: true, "subscribe": true });
        json!([{ "uri": "a.", "match": "prefix", "allow": allow }])
    };
    let all = json!([
        { "name": "public", "permissions": entry("publish") },
        { "name": "trusted", "permissions": entry("call") },
        { "name": "anonymous", "permissions": entry("register") },
    ]);
    let realms = json!([{ "name": "realm1", "roles": all }, { "name": "other", "roles": all }]);
    let check = |transports: Value, expect: [&str; 2]| {
        let conversion = node(&realms, &transports);
        let rules = rules_of(&conversion);
        for (rule, expect) in rules.iter().zip(expect) {
            assert!(rule.contains(expect), "{expect}\n{rule}");
        }
    };
    let public = transport(1, &json!({ "type": "static", "role": "public" }));
    let expect = "subscribe: [public, trusted, anonymous], publish: [public, anonymous], call: [trusted], register: []";
    check(json!([public]), [expect, expect]);
    // Two roles: what both may do.
    let trusted = transport(2, &json!({ "type": "static", "role": "trusted" }));
    let expect =
        "subscribe: [public, trusted, anonymous], publish: [public], call: [trusted], register: []";
    check(json!([public, trusted]), [expect, expect]);
    // Of one realm.
    let bound = transport(3, &json!({ "type": "static", "role": "public", "realm": "realm1" }));
    check(json!([bound]), ["publish: [public, anonymous]", "publish: [public], call"]);
}

#[test]
fn transports_without_a_method_that_exists_here_are_left_out() {
    let dynamic = json!({ "ticket": { "type": "dynamic", "authenticator": "com.auth" } });
    let closed = |auth: &Value| json!({ "type": "websocket", "endpoint": { "type": "tcp", "port": 9000 }, "auth": auth });
    let realms = json!([{ "name": "realm1", "roles": [] }]);
    let joe = json!({ "joe": { "ticket": "$TICKET", "role": "x" } });
    let variable = json!({ "ticket": { "type": "static", "principals": joe } });
    for auth in [dynamic.clone(), variable, json!({}), json!({ "tls": { "type": "static" } })] {
        let conversion = node(&realms, &json!([open_transport(), closed(&auth)]));
        assert_eq!(conversion.counts.listeners, 1, "{auth}");
        assert!(!conversion.settings.contains("9000"), "{auth}");
        assert!(places(&conversion).contains(&"workers[0].transports[1]"), "{auth}");
        assert!(conversion.notes.iter().all(|note| !note.message.contains("$TICKET")));
    }
    let tls = json!({ "key": "a", "certificate": "b", "ca_certificates": ["c"] });
    for endpoint in [
        json!({ "type": "tcp", "port": 9000, "tls": { "key": "a" } }),
        json!({ "type": "tcp", "port": 9000, "tls": tls }),
        json!({ "type": "tcp", "port": "$PORT" }),
        json!({ "type": "tcp", "port": 9000, "interface": "eth0" }),
    ] {
        let closed = json!({ "type": "websocket", "endpoint": endpoint });
        let conversion = node(&realms, &json!([open_transport(), closed]));
        assert_eq!(conversion.counts.listeners, 1, "{endpoint}");
    }
    // Without any listener, there is nothing to serve.
    let transports = [closed(&dynamic)];
    let worker = json!({ "type": "router", "realms": realms, "transports": transports });
    assert!(convert_in(json!({ "workers": [worker] })).is_err());
}

#[test]
fn rawsockets_become_listeners_if_they_have_authentication() {
    let joe = json!({ "joe": { "ticket": "secret!!!", "role": "x" } });
    let ticket = json!({ "ticket": { "type": "static", "principals": joe } });
    let endpoint = json!({ "type": "tcp", "port": 9000 });
    let realms = json!([{ "name": "realm1", "roles": [{ "name": "x", "permissions": [] }] }]);
    let raw = json!({ "type": "rawsocket", "endpoint": endpoint, "auth": ticket, "serializers": ["cbor"], "max_message_size": 2048 });
    let conversion = node(&realms, &json!([raw]));
    assert!(conversion.settings.contains("9000"), "{}", conversion.settings);
    assert!(conversion.settings.contains("    rawsocket: true\n"), "{}", conversion.settings);
    assert!(conversion.settings.contains("message: 2048"), "{}", conversion.settings);

    let socket = json!({ "ws": { "type": "websocket", "auth": ticket } });
    let both = |auth: &Value| {
        let raw = json!({ "serializers": ["json"], "auth": auth });
        let universal = json!({ "type": "universal", "endpoint": endpoint, "websocket": socket, "rawsocket": raw });
        node(&realms, &json!([open_transport(), universal]))
    };
    let conversion = both(&ticket);
    assert!(conversion.settings.contains("/ws"), "{}", conversion.settings);
    assert!(conversion.settings.contains("    rawsocket: true\n"), "{}", conversion.settings);

    // More clients could connect than before.
    let open = json!({ "anonymous": { "type": "static", "role": "x" } });
    assert!(!both(&open).settings.contains("9000"));
    let raw = json!({ "type": "rawsocket", "endpoint": endpoint, "auth": open });
    let conversion = node(&realms, &json!([open_transport(), raw]));
    assert!(!conversion.settings.contains("9000"), "{}", conversion.settings);
    assert!(
        conversion
            .notes
            .iter()
            .any(|it| it.message.starts_with("RawSocket without authentication"))
    );
}

#[test]
fn credentials_become_principals() {
    let auth = json!({
        "ticket": { "type": "static", "principals": { "joe": { "ticket": "secret!!!", "role": "frontend" } } },
        "wampcra": { "type": "static", "users": {
            "joe": { "secret": "prq7+YkJ1/KlW1X0YczMHw==", "role": "frontend", "salt": "salt123", "iterations": 100, "keylen": 16 },
            "ann": { "secret": "x", "role": "backend" },
            "bob": { "secret": "$BOB_SECRET", "role": "backend" },
        } },
        "cryptosign": { "type": "static", "principals": {
            "sensor": { "realm": "realm1", "role": "sensor", "authorized_keys": ["ab12"] },
        } },
        "scram": { "type": "static", "principals": {
            "phone": { "kdf": "argon2id-13", "iterations": 4096, "memory": 512, "salt": "30313233", "stored-key": "aa", "server-key": "bb", "role": "member" },
        } },
        "cookie": {},
        "tls": { "type": "dynamic", "authenticator": "com.example.auth" },
    });
    let transport = json!({
        "type": "web",
        "endpoint": { "type": "tcp", "port": 443, "tls": { "key": "server.key", "certificate": "server.crt", "chain_certificates": ["chain.pem"] } },
        "paths": {
            "/": { "type": "static", "directory": ".." },
            "ws": { "type": "websocket", "auth": auth, "options": { "max_message_size": 1_048_576, "auto_ping_interval": 10000, "allowed_origins": ["http://shop.example.com:*", "*://x*y"] } },
            "publish": { "type": "publisher", "realm": "realm1", "role": "anonymous" },
        },
    });
    let conversion = node(&json!([{ "name": "realm1", "roles": [] }]), &json!([transport]));
    assert_eq!(
        conversion.principals.as_deref(),
        Some(
            "principals:\n  ann:\n    roles: [backend]\n    wampcra: { secret: x }\n  joe:\n    roles: \
             [frontend]\n    ticket: \"secret!!!\"\n    wampcra: { derived_key: \"prq7+YkJ1/KlW1X0YczMHw==\", salt: \
             salt123, iterations: 100, keylen: 16 }\n  phone:\n    roles: [member]\n    scram: { kdf: \
             argon2id-13, iterations: 4096, memory: 512, salt: \"MDEyMw==\", stored_key: aa, server_key: bb }\n  \
             sensor:\n    roles: [sensor]\n    realms: [realm1]\n    cryptosign: [ab12]\n"
        )
    );
    for line in [
        "limits: { message: 1048576 }",
        "keepalive: { interval: 10000ms }",
        "  - address: \"0.0.0.0:443\"",
        "    tls: { certificate: \"/etc/crossbar/server.crt\", key: \"/etc/crossbar/server.key\" }",
        "    path: \"/ws\"",
        "    origins: [shop.example.com]",
        "    auth: { anonymous: false, methods: [principals] }",
        "auth: { principals: principals.yml }",
    ] {
        assert!(
            conversion.settings.lines().any(|it| it == line),
            "{line}\n{}",
            conversion.settings
        );
    }
    let transport = "workers[0].transports[0]";
    let ws = format!("{transport}.paths.ws");
    let expected = [
        format!("{transport}.paths./"),
        format!("{ws}.auth.wampcra.users.bob.secret"),
        format!("{ws}.auth.wampcra.users.bob"),
        format!("{ws}.auth.cookie"),
        format!("{ws}.auth.tls"),
        format!("{ws}.options"),
        format!("{ws}.options"),
        format!("{transport}.paths.publish"),
        format!("{transport}.endpoint.tls.chain_certificates"),
    ];
    let mut expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    let mut found = places(&conversion);
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn names_every_key_without_a_counterpart() {
    let realm = json!({ "name": "realm1", "roles": [
        { "name": "dynamic", "authorizer": "com.example.authorize" },
        { "name": "checked", "permissions": [{ "uri": "a", "allow": { "call": true, "fly": true }, "validate": {}, "colour": 1 }] },
    ], "store": {}, "options": {} });
    let worker = json!({
        "type": "router", "options": {}, "components": [{}], "realms": [realm],
        "transports": [{ "type": "rawsocket" }, { "type": "websocket" }, { "type": "carrier-pigeon" }, open_transport()],
    });
    let conversion = convert_in(json!({
        "controller": {}, "workers": [worker, { "type": "guest", "executable": "node" }], "extra": 7,
    }))
    .unwrap();
    assert_eq!(
        places(&conversion),
        [
            "workers[0].realms[0].roles[0].authorizer",
            "workers[0].realms[0].roles[1].permissions[0].allow.fly",
            "workers[0].realms[0].roles[1].permissions[0].validate",
            "workers[0].realms[0].roles[1].permissions[0].colour",
            "workers[0].realms[0].store",
            "workers[0].transports[0]",
            "workers[0].transports[1]",
            "workers[0].transports[2]",
            "workers[0].components",
            "workers[1]",
            "extra",
        ]
    );
}

#[test]
fn refuses_what_is_no_configuration() {
    let empty =
        [json!(null), json!([]), json!({}), json!({ "workers": [] }), json!({ "workers": 7 })];
    for value in empty {
        assert!(convert_in(value.clone()).is_err(), "{value}");
    }
    // Wrong types are reported, and convert to fewer rights.
    let wrong = json!([{ "uri": "ok", "allow": { "call": "yes" } }]);
    let conversion = roles(&json!([{ "name": 7 }, "x", { "name": "y", "permissions": wrong }]));
    let expect = "{ uri: ok, allow: { subscribe: [], publish: [], call: [], register: [] } }";
    assert_eq!(rules_of(&conversion), [expect]);
    assert!(conversion.notes.len() >= 3, "{:?}", conversion.notes);
}
