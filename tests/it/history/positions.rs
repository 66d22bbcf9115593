//! Positions over clean stops: of topics without an event, and of a run without a history.

use serde_json::{Value, json};

use super::{ROUTES, join, site, stream};
use jackfield_tests::client::codec::Codec;
use jackfield_tests::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn positions_without_events_survive_a_clean_stop_and_none_a_run_without_history() {
    let (site, data) = (site(), tempfile::tempdir().unwrap());
    let config =
        format!("data: '{}'\nshutdown: {{ spread: 0 }}\n", data.path().join("d").display());
    let stop = |mut server: Server| {
        server.signal("TERM");
        assert_eq!(server.exit_code(), Some(0));
    };
    let recovered = async |server: &Server, since: &Value| {
        let mut client = join(server, Codec::Json).await;
        client.subscribe("kept/quiet", json!({ "_since": since })).await;
        stream(&mut client).await
    };
    let server = Server::configured(site.path(), &config);
    let begin = recovered(&server, &json!({})).await;
    let since = json!({ "epoch": begin["epoch"], "offset": begin["offset"] });
    stop(server);
    let server = Server::configured(site.path(), &config);
    assert_eq!(recovered(&server, &since).await["recovered"], true, "no event was missed");
    stop(server);

    // Events of a run whose route has no history are in none.
    site.write(
        "history/websocket_routing.yml",
        "kept: { channel: 'kept/{name}', handler: { callback: broadcast } }\n",
    );
    stop(Server::configured(site.path(), &config));
    site.write("history/websocket_routing.yml", ROUTES);
    let server = Server::configured(site.path(), &config);
    assert_eq!(recovered(&server, &since).await["recovered"], false);
}
