//! Users in real databases: a PostgreSQL and a MariaDB of our own, each in a directory of its own
//! that goes when the test ends. What is missing is installed, or named if this is not root.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops here and says where")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use jackfield_auth::config::{SqlSettings, TicketSettings};
use jackfield_auth::ticket::{AppSecret, Holder, Ticket};
use jackfield_auth::users::SqlUsers;
use jackfield_auth::{PasswordHash, Users, UsersError};
use jackfield_tests::database::{Database, Instance};

/// Where the tests' clients come from.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The columns that matter of OroPlatform's tables.
const ORO: &[&str] = &[
    "CREATE TABLE oro_user (id INT PRIMARY KEY, username VARCHAR(255) NOT NULL UNIQUE, \
     password VARCHAR(255) NOT NULL, enabled BOOLEAN NOT NULL, organization_id INT)",
    "CREATE TABLE oro_access_role (id INT PRIMARY KEY, role VARCHAR(30) NOT NULL UNIQUE)",
    "CREATE TABLE oro_user_access_role (user_id INT NOT NULL, role_id INT NOT NULL)",
    "INSERT INTO oro_user VALUES (1, 'admin', 'hash-of-admin', true, 7), \
     (2, 'former', 'hash-of-former', false, NULL), (3, 'o''brien \" \\ é', '', true, 7)",
    "INSERT INTO oro_access_role VALUES (1, 'ROLE_ADMINISTRATOR'), (2, 'ROLE_USER')",
    "INSERT INTO oro_user_access_role VALUES (1, 1), (1, 2), (3, 2)",
    // As Doctrine's type `array` writes roles, and as people do.
    "CREATE TABLE fos_user (id BIGINT, username VARCHAR(180), password VARCHAR(255), roles TEXT, \
     active SMALLINT, small SMALLINT, price DECIMAL(5, 2))",
    "INSERT INTO fos_user VALUES (9000000000, 'ann', NULL, \
     'a:1:{i:0;s:10:\"ROLE_ADMIN\";}', 1, -2, 1.5), \
     (2, 'bob', 'hash', 'ROLE_A, ROLE_B', 0, 2, 1.5), (3, 'twin', 'x', NULL, 1, 3, 1), \
     (4, 'twin', 'y', NULL, 1, 4, 1)",
];

fn settings(url: &str, more: &str) -> SqlSettings {
    jackfield_yaml::de::read("jackfield.yml", &format!("url: '{url}'\n{more}")).unwrap()
}

fn users(url: &str, more: &str) -> Users {
    Users::Sql(SqlUsers::new(&settings(url, more)).unwrap())
}

/// A statement of an operator's, for a table that is not Oro's.
fn custom(instance: &Instance, columns: &str, roles: &str) -> Users {
    let parameter = match instance.database() {
        Database::Postgres => "$1",
        Database::MariaDb => "?",
    };
    let query = format!("SELECT {columns} FROM fos_user WHERE username = {parameter}");
    users(&instance.url(), &format!("query: '{query}'\nroles: {roles}"))
}

#[tokio::test]
async fn postgres() {
    let instance = Instance::start(Database::Postgres);
    everything(instance, "pg_sleep(60)").await;
}

#[tokio::test]
async fn mariadb() {
    let instance = Instance::start(Database::MariaDb);
    everything(instance, "SLEEP(60)").await;
}

async fn everything(mut instance: Instance, sleep: &str) {
    instance.run(ORO).await;
    the_tables_of_oro_are_known(&instance).await;
    a_ticket_lets_its_user_in(&instance).await;
    a_change_counts_at_once(&instance).await;
    any_table_will_do(&instance).await;
    if matches!(instance.database(), Database::Postgres) {
        types_of_postgres_are_read(&instance).await;
    } else {
        types_of_mariadb_are_read(&instance).await;
    }
    checks_the_columns_of_a_statement(&instance).await;
    errors_name_their_cause_and_no_secret(&instance).await;
    a_slow_answer_is_none(&instance, sleep).await;
    requires_a_trusted_certificate(&instance).await;
    an_outage_is_an_error_and_passes(&mut instance).await;
}

async fn the_tables_of_oro_are_known(instance: &Instance) {
    let users = users(&instance.url(), "");
    let admin = users.find("admin").await.unwrap().unwrap();
    assert_eq!((admin.id.as_str(), admin.username.as_str()), ("1", "admin"));
    assert_eq!(admin.password, PasswordHash::new("hash-of-admin".to_owned()));
    assert_eq!(admin.organization.as_deref(), Some("7"));
    assert!(admin.enabled);
    let mut roles = admin.roles.clone();
    roles.sort();
    assert_eq!(roles, ["ROLE_ADMINISTRATOR", "ROLE_USER"]);
    let former = users.find("former").await.unwrap().unwrap();
    assert_eq!((former.enabled, former.roles.len()), (false, 0));
    assert_eq!(former.organization, None);
    assert_eq!(users.find("nobody").await, Ok(None));
    assert_eq!(users.find("' OR '1'='1").await, Ok(None));
    // A name is a value, whatever is in it; and who has no password has none.
    let odd = match instance.database() {
        Database::Postgres => "o'brien \" \\ é",
        // There a backslash in a literal is an escape of its own.
        Database::MariaDb => "o'brien \"  é",
    };
    let odd = users.find(odd).await.unwrap().unwrap();
    assert_eq!((odd.id.as_str(), odd.password.is_none()), ("3", true));
}

async fn a_ticket_lets_its_user_in(instance: &Instance) {
    let users = users(&instance.url(), "");
    let settings: TicketSettings =
        jackfield_yaml::de::read("jackfield.yml", "secret: kernel-secret").unwrap();
    let tickets = settings.open().unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let secret = AppSecret::new("kernel-secret".to_owned().into()).unwrap();
    let password = PasswordHash::new("hash-of-admin".to_owned()).unwrap();
    let ticket = |username| {
        let holder = Holder::User { username, password: &password };
        Ticket::mint(&secret, holder, "0123456789abcdef", now).unwrap()
    };
    let admin = tickets.authenticate(&ticket("admin"), HERE, now, &users).await.unwrap();
    assert_eq!(admin.id.as_deref(), Some("1"));
    tickets.authenticate(&ticket("former"), HERE, now, &users).await.unwrap_err();
}

async fn a_change_counts_at_once(instance: &Instance) {
    let users = users(&instance.url(), "");
    let before = users.find("admin").await.unwrap().unwrap();
    instance.run(&["UPDATE oro_user SET password = 'hash-2' WHERE id = 1"]).await;
    let after = users.find("admin").await.unwrap().unwrap();
    assert_ne!(before.password, after.password);
    instance.run(&["UPDATE oro_user SET password = 'hash-of-admin' WHERE id = 1"]).await;
}

async fn any_table_will_do(instance: &Instance) {
    let users = custom(instance, "id, password, roles, active AS enabled", "php");
    let ann = users.find("ann").await.unwrap().unwrap();
    assert_eq!((ann.id.as_str(), ann.username.as_str()), ("9000000000", "ann"));
    assert_eq!((&ann.roles[..], ann.enabled), (&["ROLE_ADMIN".to_owned()][..], true));
    assert_eq!((&ann.password, &ann.organization), (&None, &None));
    let users = custom(instance, "small AS id, password, roles, active AS enabled", "comma");
    let bob = users.find("bob").await.unwrap().unwrap();
    assert_eq!(
        (&bob.roles[..], bob.enabled),
        (&["ROLE_A".to_owned(), "ROLE_B".to_owned()][..], false)
    );
}

async fn types_of_postgres_are_read(instance: &Instance) {
    let columns = "''0d4a8b6c-1f2e-4a3b-9c8d-7e6f5a4b3c2d''::uuid AS id, \
        ''x''::char(1) AS password, ''[\"A\"]''::jsonb AS roles, NULL::bool AS enabled, \
        ''acme''::name AS organization";
    let user = custom(instance, columns, "json").find("bob").await.unwrap().unwrap();
    assert_eq!(user.id, "0d4a8b6c-1f2e-4a3b-9c8d-7e6f5a4b3c2d");
    assert_eq!((&user.roles[..], user.enabled), (&["A".to_owned()][..], false));
    assert_eq!(user.organization.as_deref(), Some("acme"));
}

async fn types_of_mariadb_are_read(instance: &Instance) {
    let columns = "CAST(18446744073709551615 AS UNSIGNED) AS id, BINARY ''x'' AS password, \
        CAST(''[\"A\"]'' AS JSON) AS roles, NULL AS enabled, small AS organization"
        // MariaDB has no cast to JSON, which is a text there.
        .replace("CAST(''[\"A\"]'' AS JSON)", "JSON_ARRAY(''A'')");
    let user = custom(instance, &columns, "json").find("ann").await.unwrap().unwrap();
    assert_eq!(user.id, "18446744073709551615");
    assert_eq!((&user.roles[..], user.enabled), (&["A".to_owned()][..], false));
    assert_eq!(user.organization.as_deref(), Some("-2"));
}

async fn checks_the_columns_of_a_statement(instance: &Instance) {
    let check = async |columns: &str, roles: &str, name: &str, expect: &str| {
        let error = custom(instance, columns, roles).find(name).await.unwrap_err();
        assert!(matches!(error, UsersError::Answer { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains(expect), "{error}");
        assert!(!error.contains("hash"), "{error}");
    };
    check("id, roles", "php", "ann", "no column `password`").await;
    check("id, password, username", "php", "ann", "no column `roles`").await;
    check("NULL AS id, password, roles", "php", "ann", "the column `id` is empty").await;
    check("id, password, roles", "json", "bob", "`roles` is not a list of texts in JSON").await;
    check("id, password, roles", "php", "bob", "`roles` is not a list of texts as PHP").await;
    check("id, password, roles, small AS enabled", "comma", "bob", "neither true nor").await;
    check("id, password, roles, price AS organization", "comma", "bob", "cast it to text").await;
    check("id, password, roles", "json", "twin", "more than one row").await;
}

async fn errors_name_their_cause_and_no_secret(instance: &Instance) {
    // The database's message and its code, and no line of the database's own source.
    let error = custom(instance, "missing", "json").find("ann").await.unwrap_err().to_string();
    assert!(error.contains("it answered: ") && error.contains("missing"), "{error}");
    let code = match instance.database() {
        Database::Postgres => "(SQLSTATE 42703)",
        Database::MariaDb => "(SQLSTATE 42S22)",
    };
    assert!(error.ends_with(code) && !error.contains("at line"), "{error}");
    let absent = "query: 'SELECT * FROM no_such_table'";
    let error = users(&instance.url(), absent).find("ann").await.unwrap_err().to_string();
    assert!(error.contains("no_such_table") && !error.contains("at line"), "{error}");
    let url = instance.url().replace(":hunter2@", ":hunter3@");
    let error = users(&url, "").find("admin").await.unwrap_err().to_string();
    assert!(!error.contains("hunter"), "{error}");
    assert!(error.contains(&format!("localhost:{}/", instance.port())), "{error}");
    assert!(error.contains("(auth.users.sql)") && !error.contains("at line"), "{error}");
    // Where the address names nobody, the user of this process asks: one without an account, but
    // for MariaDB's `root`, who has no password here.
    let url = instance.url();
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, place) = rest.rsplit_once('@').unwrap();
    let nameless = format!("{scheme}://{place}");
    let answer = users(&nameless, "").find("admin").await;
    let output = std::process::Command::new("id").arg("--user").arg("--name").output().unwrap();
    let own = String::from_utf8(output.stdout).unwrap();
    match (answer, instance.database(), own.trim()) {
        (Ok(admin), Database::MariaDb, "root") => assert!(admin.is_some()),
        (answer, _, own) => {
            let error = answer.unwrap_err().to_string();
            assert!(error.contains(own) && !error.contains("anonymous"), "{error}");
        }
    }
}

async fn a_slow_answer_is_none(instance: &Instance, sleep: &str) {
    let query = match instance.database() {
        Database::Postgres => format!("SELECT {sleep} WHERE $1 IS NOT NULL"),
        Database::MariaDb => format!("SELECT {sleep} WHERE ? IS NOT NULL"),
    };
    let users = users(&instance.url(), &format!("query: '{query}'\ntimeout: 100ms"));
    let error = users.find("admin").await.unwrap_err().to_string();
    assert!(error.contains("longer than 100ms"), "{error}");
}

async fn requires_a_trusted_certificate(instance: &Instance) {
    let trusting = users(&instance.url_vouched_by("ca.pem"), "");
    assert!(trusting.find("admin").await.unwrap().is_some());
    let doubting = users(&instance.url_vouched_by("cert.pem"), "");
    let error = doubting.find("admin").await.unwrap_err().to_string();
    assert!(
        error.contains("its certificate is signed by an authority that is not trusted here"),
        "{error}"
    );
}

async fn an_outage_is_an_error_and_passes(instance: &mut Instance) {
    let users = users(&instance.url(), "connect_timeout: 300ms");
    assert!(users.find("admin").await.unwrap().is_some());
    instance.stop();
    let error = users.find("admin").await.unwrap_err();
    assert!(matches!(error, UsersError::Unreachable { .. }), "{error}");
    instance.start_again();
    assert!(users.find("admin").await.unwrap().is_some());
}
