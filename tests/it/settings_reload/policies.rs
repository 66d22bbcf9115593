//! Policies of plugins that change: a running plugin follows, whatever happens to the site meanwhile.

use std::fs;

use serde_json::{Value, json};

use super::changed;
use crate::outgoing::backend::Backend;
use crate::outgoing::{member, order, report, serve, settings, site};
use jackfield_tests::client::v2::Client;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// A server with a plugin that may send requests to the backend, and a client that has seen one.
struct Granted {
    site: Site,
    server: Server,
    backend: Backend,
    client: Client,
}

impl Granted {
    async fn serve() -> Self {
        let (backend, site) = (Backend::start().await, site());
        let server = serve(site.path(), &backend.allowed(""));
        let client = member(&server).await;
        let mut granted = Self { site, server, backend, client };
        granted.is_allowed().await;
        granted
    }

    /// The policy that grants nothing to the plugin, in the settings.
    fn withdrawn(more: &str) -> String {
        settings(&format!("http: {{ allow: ['https://unused.example'] }}{more}"), "")
    }

    async fn ask(&mut self) {
        order(&mut self.client, json!({ "url": self.backend.url("/"), "tag": 1 })).await;
    }

    async fn is_allowed(&mut self) {
        self.ask().await;
        self.backend.request().await.answer("fine").await;
        assert_eq!(report(&mut self.client).await, json!(["answer", 1, [200, "fine"]]));
    }

    async fn is_denied(&mut self) {
        self.ask().await;
        let report = report(&mut self.client).await;
        assert_eq!(report[0], "refused", "{report}");
        assert!(report[3].as_str().unwrap().contains("the host is not allowed"), "{report}");
        assert!(self.backend.is_idle(), "nothing was sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_plugin_follows_a_changed_policy() {
    let mut granted = Granted::serve().await;
    let config = Granted::withdrawn("");
    changed(&granted.server, &config, "settings changed: plugins.named.outgoing");
    granted.server.until_health("generation", 2);
    // The session and its subscription stay.
    granted.is_denied().await;
    let config = settings(&granted.backend.allowed(""), "");
    changed(&granted.server, &config, "settings changed: plugins.named.outgoing");
    granted.server.until_health("generation", 3);
    granted.is_allowed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_policy_is_not_lost_while_the_site_is_unreadable() {
    let mut granted = Granted::serve().await;
    let (here, away) = (granted.site.path().to_owned(), tempfile::tempdir().unwrap());
    let away = away.path().join("site");
    let logged = granted.server.log().len();
    fs::rename(&here, &away).unwrap();
    granted.server.logged_after(logged, "problem");
    let config = Granted::withdrawn("");
    changed(&granted.server, &config, "settings changed: plugins.named.outgoing");
    assert_eq!(granted.server.health()["generation"], 1);
    fs::rename(&away, &here).unwrap();
    granted.server.until_health("generation", 2);
    granted.is_denied().await;
}

/// A plugin that cannot be loaded with the new policy keeps the earlier one until that is solved, and
/// an edit of the site that is undone is no solution.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_a_plugin_cannot_have_stays_a_problem() {
    let mut granted = Granted::serve().await;
    let config = Granted::withdrawn(", memory: 128 KiB");
    changed(&granted.server, &config, "settings changed: plugins.named.outgoing");
    let has_problems = |health: &Value| health["reload"] == "failed";
    wait_for(&granted.server, has_problems);
    let routes = granted.site.file("out/websocket_routing.yml");
    let text = fs::read_to_string(&routes).unwrap();
    let logged = granted.server.log().len();
    fs::write(&routes, format!("{text}\n# edited\n")).unwrap();
    granted.server.logged_after(logged, "the site still has the same problems");
    let logged = granted.server.log().len();
    fs::write(&routes, text).unwrap();
    granted.server.logged_after(logged, "the site still has the same problems");
    let health = granted.server.health();
    assert!(has_problems(&health) && health["generation"] == 1, "{health}");
    granted.is_allowed().await;
    let config = Granted::withdrawn("");
    changed(&granted.server, &config, "settings changed: plugins.named.outgoing");
    wait_for(&granted.server, |health| health["generation"] != json!(1));
    granted.is_denied().await;
}

fn wait_for(server: &Server, is_reached: impl Fn(&Value) -> bool) {
    while !is_reached(&server.health()) {
        std::thread::yield_now();
    }
}
