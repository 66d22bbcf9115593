//! Users in the application's own database: PostgreSQL and MariaDB, started by the test.

use super::{Guarded, ROUTES, in_query, owns};
use jackfield_tests::build;
use jackfield_tests::database::{Database, Instance};
use jackfield_tests::site::Site;

/// The tables of the default statement.
pub(crate) const TABLES: &[&str] = &[
    "CREATE TABLE oro_user (id INT PRIMARY KEY, username VARCHAR(255) NOT NULL UNIQUE, \
     password VARCHAR(255) NOT NULL, enabled BOOLEAN NOT NULL, organization_id INT)",
    "CREATE TABLE oro_access_role (id INT PRIMARY KEY, role VARCHAR(30) NOT NULL UNIQUE)",
    "CREATE TABLE oro_user_access_role (user_id INT NOT NULL, role_id INT NOT NULL)",
    "INSERT INTO oro_user VALUES (7, 'ann', 'hash-of-ann', true, 1)",
    "INSERT INTO oro_access_role VALUES (1, 'member')",
    "INSERT INTO oro_user_access_role VALUES (7, 1)",
];

#[tokio::test(flavor = "multi_thread")]
async fn reads_users_from_postgres() {
    users_are_found_in(Instance::start(Database::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_users_from_mariadb() {
    users_are_found_in(Instance::start(Database::MariaDb)).await;
}

async fn users_are_found_in(mut database: Instance) {
    database.run(TABLES).await;
    let site = Site::new();
    site.bundle("routes", ROUTES, &[build::plugin("broadcast"), build::plugin("secured")]);
    let settings = format!(
        "auth: {{ tickets: {{ secret: s3cret }}, users: {{ sql: {{ url: '{}' }} }} }}",
        database.url()
    );
    let guarded = Guarded::with(site, &settings);
    let mut ann = guarded.page_of("ann").await;
    assert!(owns(&mut ann, 7).await && !owns(&mut ann, 8).await);
    let ticket = in_query(&guarded.ticket(Some("ann")).await);
    database.run(&["UPDATE oro_user SET enabled = false WHERE id = 7"]).await;
    assert_eq!(guarded.page(&ticket).await.err().unwrap().0, Some(403));
    guarded.server.logged("the user is disabled");
    // While the database is down, every connection is refused, temporarily.
    database.stop();
    assert_eq!(guarded.page(&ticket).await.err().unwrap().0, Some(503));
    assert!(owns(&mut ann, 7).await, "open sessions stay open");
    let log = guarded.server.log();
    assert!(!log.contains("s3cret") && !log.contains("hash-of-ann"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_an_unreachable_database_at_startup() {
    let settings = |scheme: &str| {
        format!(
            "auth:\n  tickets: {{ secret: s3cret }}\n  users:\n    sql:\n      \
             url: '{scheme}://u:hunter2@127.0.0.1:1/d?charset=utf8&serverVersion=1'\n      \
             connect_timeout: 100ms\n"
        )
    };
    for (scheme, place) in [("pdo-pgsql", "postgres"), ("mysqli", "mysql")] {
        let guarded = Guarded::with(Site::open(), &settings(scheme));
        let place =
            format!("the users at {place}://127.0.0.1:1/d (auth.users.sql) cannot be asked");
        let log = guarded.server.logged(&place);
        assert!(!log.contains("hunter2"), "{log}");
        assert!(!log.contains("charset") && !log.contains("serverVersion"), "{log}");
    }
}
