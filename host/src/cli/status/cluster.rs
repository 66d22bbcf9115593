//! The cluster in `jackfield status`: this node, the homes of plugins, and the other nodes.

use serde_json::Value;

use super::{Page, list, number, text};
use crate::count::count;

/// The length of a digest that is shown: enough to see which nodes differ.
const MAX_DIGEST_CHARS: usize = 8;

impl Page {
    pub(super) fn cluster(&mut self, cluster: &Value) {
        if !cluster.is_object() {
            return;
        }
        let [name, node, pipe] = ["name", "node", "pipe"].map(|key| text(&cluster[key]));
        let lost = count(number(&cluster["lost"]), "message");
        let doubts = count(cluster.pointer("/incidents/doubt").map_or(0, number), "time");
        let site = digest(&cluster["site"]);
        let line = format!(
            "{name}, node {node}, NATS {pipe}, site {site}, {lost} lost, {doubts} in doubt"
        );
        self.line("cluster", line);
        for home in list(&cluster["homes"]) {
            let plugin = text(&home["plugin"]);
            let Some(node) = home["node"].as_str() else {
                self.line("home", format!("{plugin} runs on no node"));
                continue;
            };
            let kept = match (home["lease"] == true, home["store_copied"] == true) {
                (true, true) => " (lease; its store is copied)",
                (true, false) => " (lease)",
                (false, _) => "",
            };
            self.line("home", format!("{plugin} runs on {node}{kept}"));
        }
        for peer in list(&cluster["peers"]) {
            let [node, id, version] = ["node", "id", "version"].map(|key| text(&peer[key]));
            let [lag, gaps] = ["lag", "gaps"].map(|key| number(&peer[key]));
            let state = match (&peer["heard"], &peer["synced"]) {
                (Value::Bool(false), _) => "silent",
                (_, Value::Bool(true)) => "joined",
                _ => "joining",
            };
            let gaps = count(gaps, "gap");
            let missing = match &peer["incomplete"] {
                Value::Bool(true) => ", topics missing here",
                _ => "",
            };
            let others = ["other_version", "other_site"].map(|key| peer[key] == true);
            let differs = match others {
                [false, false] => "",
                [true, false] => ", another version",
                [false, true] => ", other routes or plugins",
                [true, true] => ", another version, other routes or plugins",
            };
            let site = digest(&peer["site"]);
            self.line(
                "peer",
                format!(
                    "{node} ({id}, version {version}, site {site}): {state}, lag {lag}, {gaps}{missing}{differs}"
                ),
            );
        }
        for node in list(&cluster["incompatible"]) {
            let [name, id, version] = ["node", "id", "version"].map(|key| text(&node[key]));
            let (there, here) = (range(&node["protocols"]), range(&cluster["protocols"]));
            self.line(
                "peer",
                format!(
                    "{name} ({id}, version {version}): incompatible, exchanges nothing; it speaks {there} of the messages between nodes, this one {here}"
                ),
            );
        }
    }
}

/// The beginning of the digest of a site.
fn digest(site: &Value) -> &str {
    text(site).get(..MAX_DIGEST_CHARS).unwrap_or("unknown")
}

/// The versions of the messages between nodes that a node speaks.
fn range(protocols: &Value) -> String {
    match list(protocols) {
        [lowest, highest] if lowest == highest => format!("version {lowest}"),
        [lowest, highest] => format!("versions {lowest} to {highest}"),
        _ => "unknown versions".to_owned(),
    }
}
