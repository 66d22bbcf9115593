//! A database of users that hangs: new clients are told to come back, open sessions go on, and new clients
//! are admitted when it answers again.

use serde_json::json;

use super::cable::Cable;
use crate::access::databases::TABLES;
use crate::access::{Guarded, ROUTES, in_query, owns};
use jackfield_tests::build;
use jackfield_tests::client::within;
use jackfield_tests::database::{Database, Instance};
use jackfield_tests::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_refuses_new_clients_for_a_while() {
    let database = Instance::start(Database::Postgres);
    database.run(TABLES).await;
    let cable = Cable::to(([127, 0, 0, 1], database.port()).into()).await;
    let site = Site::new();
    site.bundle("routes", ROUTES, &[build::plugin("broadcast"), build::plugin("secured")]);
    let port = format!(":{}/", database.port());
    let url = database.url().replace(&port, &format!(":{}/", cable.addr.port()));
    let url = url.replace("localhost", "127.0.0.1");
    let settings = format!(
        "auth:\n  tickets: {{ secret: s3cret }}\n  users:\n    sql: {{ url: '{url}', timeout: 1s, connect_timeout: 1s }}\n"
    );
    let guarded = Guarded::with(site, &settings);
    let mut ann = guarded.page_of("ann").await;
    assert!(owns(&mut ann, 7).await);
    // The command asks the database as well.
    let ticket = in_query(&guarded.ticket(Some("ann")).await);
    cable.cut();
    let refused = within("an answer", guarded.page(&ticket)).await;
    assert_eq!(refused.err().unwrap().0, Some(503));
    assert!(owns(&mut ann, 7).await, "open sessions go on");
    assert_eq!(guarded.server.health()["ok"], json!(true));
    cable.restore();
    within("the database is asked again", async { while guarded.page(&ticket).await.is_err() {} })
        .await;
}
