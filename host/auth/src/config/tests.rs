//! Tests of the authentication settings: valid ones, and errors.

use super::*;
use crate::Authenticated;

fn read(yaml: &str) -> Result<AuthSettings, String> {
    jackfield_yaml::de::read("jackfield.yml", yaml).map_err(|error| error.to_string())
}

fn errors(settings: &AuthSettings) -> String {
    let errors = settings.open().auth.unwrap_err();
    let lines: Vec<String> = errors.iter().map(|it| format!("{}: {}", it.key, it.error)).collect();
    lines.join("\n")
}

#[test]
fn missing_keys_keep_their_default() {
    assert_eq!(read("{}").unwrap(), AuthSettings::default());
    let settings = read(
        "
tickets: { secret: s3cret }
users: { sql: { url: { env: DATABASE_URL } } }
jwt: { keys: { jwks: keys.json } }
",
    )
    .unwrap();
    let tickets = settings.tickets.unwrap();
    assert_eq!((tickets.ttl, tickets.skew), (Duration::seconds(300), Duration::seconds(30)));
    assert_eq!((tickets.once, tickets.anonymous), (false, true));
    assert_eq!(tickets.anonymous_roles, ["anonymous", "backend"]);
    assert_eq!((tickets.replays.get(), tickets.threads, tickets.queue), (100_000, None, 512));
    let Some(UsersSettings::Sql(sql)) = settings.users else { panic!() };
    assert_eq!((sql.query, sql.roles, sql.connections.get()), (None, RolesForm::Json, 4));
    assert_eq!((sql.connect_timeout, sql.timeout), (Duration::seconds(2), Duration::seconds(5)));
    let jwt = settings.jwt.unwrap();
    assert_eq!((jwt.leeway, jwt.claims), (Duration::seconds(30), ClaimNames::default()));
}

#[test]
fn reads_every_key() {
    let settings = read(
        "
tickets:
    secret: { file: /run/secrets/app }
    ttl: 2m
    skew: 0s
    once: true
    replays: 10
    anonymous: false
    anonymous_roles: [backend]
    threads: 2
    queue: 0
users:
    http:
        url: 'https://app.example.com/users/{username}'
        token: { env: APP_TOKEN }
        ca: ca.pem
        connect_timeout: 500ms
        timeout: 1s
        cache: 0s
        unknown_cache: 1s
        grace: 1h
        capacity: 5
        parallel: 1
jwt:
    keys: { secret: { env: JWT_SECRET } }
    issuers: [joe]
    audiences: [jackfield]
    leeway: 5s
    claims: { id: uid, username: name, roles: realm_access.roles, organization: org }
",
    )
    .unwrap();
    let tickets = settings.tickets.as_ref().unwrap();
    assert_eq!((tickets.ttl, tickets.once), (Duration::seconds(120), true));
    let Some(UsersSettings::Http(http)) = &settings.users else { panic!() };
    assert_eq!(http.connect_timeout, Duration::millis(500));
    // Serialized settings, as a command prints them, can be read again.
    let written = serde_json::to_string(&settings).unwrap();
    assert_eq!(read(&written).unwrap(), settings);
}

#[test]
fn errors_have_their_place() {
    let check = |yaml: &str, expect: &str| {
        let problem = read(yaml).unwrap_err();
        assert!(problem.contains(expect), "{problem}");
        assert!(!problem.contains("4711"), "{problem}");
    };
    check("ticket: {}", "jackfield.yml:1:1: error: unknown key `ticket`");
    check("ticket: {}", "did you mean `tickets`?");
    check("tickets: { secret: x, onec: true }", "did you mean `once`?");
    check("tickets: { secret: 4711 }", "a secret is text in quotes");
    check("tickets: { ttl: 5s }", "the key `secret` is missing");
    check("tickets: { secret: x, ttl: 5d }", "write a duration");
    check("tickets: { secret: x, replays: 0 }", "jackfield.yml:1:");
    check("users: { file: a.yml, sql: { url: '4711' } }", "jackfield.yml:1:");
    check("users: { ldap: {} }", "jackfield.yml:1:");
    check("users: { sql: { url: '4711', roles: xml } }", "jackfield.yml:1:");
    check("jwt: { keys: {} }", "jackfield.yml:1:");
    check("jwt: { keys: { secret: '4711', pem: x } }", "jackfield.yml:1:");
}

#[test]
fn settings_print_no_secrets() {
    let settings = read(
        "
tickets: { secret: hunter2 }
users: { sql: { url: 'postgres://u:hunter2@h/d' } }
jwt: { keys: { secret: hunter2hunter2hunter2hunter2hunter2 } }
",
    )
    .unwrap();
    let printed = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[tokio::test]
async fn opens_what_the_settings_name() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users.yml");
    std::fs::write(&users, "users: { admin: { id: 1, password: hash } }").unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "kernel-secret\n").unwrap();
    let keys = "a secret of at least thirty-two bytes";
    let yaml = format!(
        "
tickets: {{ secret: {{ file: '{}' }}, anonymous_roles: [backend] }}
users: {{ file: '{}' }}
jwt: {{ keys: {{ secret: '{keys}' }} }}
",
        secret.display(),
        users.display()
    );
    let auth = read(&yaml).unwrap().open().auth.unwrap();
    let (tickets, users) = auth.tickets.unwrap();
    // A ticket made by the application itself.
    let ticket = "SWRwUG85UVF0dGhTcFM0aFMrc3FCT1ArQWcxMDk4c01JOWsrc2pNZTFzcEhiZ2pYVGJ2YllYM08ycHAvK0RaTUpyb0hSdnJPTGtrbUpPZWJzVDRhcXc9PTs7MDEyMzQ1Njc4OWFiY2RlZjsyMDI0LTAxLTAyVDAzOjA0OjA1KzAwOjAw";
    let now = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_704_164_645);
    let who: Authenticated =
        tickets.authenticate(ticket, [127, 0, 0, 1].into(), now, &users).await.unwrap();
    assert_eq!(who.roles, ["backend"]);
    assert!(auth.jwt.is_some());
}

#[tokio::test]
async fn reports_settings_that_cannot_be_opened() {
    let check = |yaml: &str, expect: &str| {
        let error = errors(&read(yaml).unwrap());
        assert!(error.contains(expect), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    };
    check("tickets: { secret: x }", "there are `auth.tickets` and no `auth.users`");
    let file = "users: { file: /nonexistent/users.yml }";
    check(&format!("tickets: {{ secret: '' }}\n{file}"), "is empty");
    check(&format!("tickets: {{ secret: 'a{{b' }}\n{file}"), "brace");
    check(&format!("tickets: {{ secret: x }}\n{file}"), "/nonexistent/users.yml: error");
    check(&format!("tickets: {{ secret: {{ env: JACKFIELD_NONE }} }}\n{file}"), "JACKFIELD_NONE");
    check("jwt: { keys: { secret: hunter2 } }", "too short");
    check("jwt: { keys: { jwks: /nonexistent/keys.json } }", "/nonexistent/keys.json");
    let sql = |url: &str| format!("tickets: {{ secret: x }}\nusers: {{ sql: {{ url: '{url}' }} }}");
    let http = "tickets: { secret: x }\nusers: { http: { url: 'http://h/users' } }";
    if cfg!(feature = "sql") {
        check(&sql("sqlite://u:hunter2@h"), "has to begin with postgres://");
        check(&sql("postgres://u:hunter2@h:port/d"), "is not an address");
        check(&sql("hunter2"), "has to begin with postgres://");
        check(&sql("pgsql://u:hunter2@h:port/d"), "is not an address");
        check(&sql("pgsql://u:hunter2@h/d?sslmode=hunter2"), "`sslmode`");
    } else {
        check(&sql("postgres://h/d"), "built without `auth.users.sql`");
    }
    if cfg!(feature = "http") {
        check(http, "has no {username}");
    } else {
        check(http, "built without `auth.users.http`");
    }
}

#[tokio::test]
async fn accepts_doctrine_urls() {
    let check = |url: &str| {
        let yaml = format!("tickets: {{ secret: x }}\nusers: {{ sql: {{ url: '{url}' }} }}");
        let settings = read(&yaml).unwrap();
        settings.open().auth.unwrap();
    };
    if cfg!(feature = "sql") {
        check("pgsql://u:p@h:5432/d?sslmode=disable&charset=utf8&serverVersion=13.7");
        check("pdo-mysql://u:p@h:3306/d?sslmode=verify-full&charset=utf8mb4&serverVersion=8.0");
        check("postgres:///d?host=/run/postgresql");
        let wrong = "tickets: { secret: x }\nusers: { sql: { url: 'sqlite://u:hunter2@h' } }";
        let error = errors(&read(wrong).unwrap());
        assert!(error.contains("pgsql://"), "{error}");
    }
}
