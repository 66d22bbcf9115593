//! A node that fails and comes back: at its address, with its data folder, as a service manager starts it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use jackfield_tests::build;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

use super::{config, status};

/// The history has more events than a test publishes while a page is away.
const ROUTES: &str = "\
long: { channel: 'long/{name}', handler: { callback: 'broadcast' }, history: { events: 5000, bytes: 8 MiB } }
";

const REPLAY: &str = "history: { replay: { events: 5000, bytes: 8 MiB } }\n";

/// A node.
pub(super) struct Member {
    binary: PathBuf,
    config: String,
    site: Site,
    /// Whether the node speaks as one of the next release.
    is_next_release: bool,
    _data: TempDir,
    server: Server,
    /// The processes before: if the test fails, their logs are shown too.
    ended: Vec<Server>,
}

impl Member {
    /// Starts a node of a build of Jackfield.
    pub(super) fn start(binary: PathBuf, name: &str, urls: &[String]) -> Self {
        let site = Site::new();
        site.bundle("long", ROUTES, &[build::plugin("broadcast")]);
        let data = TempDir::new().unwrap();
        let folder = data.path().join("node");
        let config = format!("{}{REPLAY}data: '{}'\n", config(name, urls, ""), folder.display());
        let server = launch(&binary, &site, &config, "127.0.0.1:0".parse().unwrap(), false);
        let (is_next_release, ended) = (false, Vec::new());
        Self { binary, config, site, is_next_release, _data: data, server, ended }
    }

    /// Adds a bundle, which the node has loaded when this returns.
    pub(super) fn add(&self, bundle: &str, routes: &str, plugins: &[PathBuf]) {
        let before = self.server.log().len();
        self.site.bundle(bundle, routes, plugins);
        self.server.logged_after(before, "generation ready");
    }

    /// Ends the process as a service manager does, and starts the node as one of the next release.
    pub(super) fn upgrade(&mut self) {
        assert_eq!(self.end("TERM"), Some(0));
        self.is_next_release = true;
        self.restart();
    }

    /// The process that runs, or the last one.
    pub(super) const fn server(&self) -> &Server {
        &self.server
    }

    /// Ends the process by a signal. Returns its exit code.
    pub(super) fn end(&mut self, signal: &str) -> Option<i32> {
        self.server.signal(signal);
        self.server.exit_code()
    }

    /// Starts the node again.
    pub(super) fn restart(&mut self) {
        let Self { binary, site, config, server, is_next_release, .. } = &*self;
        let next = launch(binary, site, config, server.addr, *is_next_release);
        self.ended.push(std::mem::replace(&mut self.server, next));
    }

    /// Returns the number of times that events may have been missing here, since the start of the process.
    pub(super) fn doubts(&self) -> u64 {
        status(&self.server)["incidents"]["doubt"].as_u64().unwrap()
    }
}

fn launch(
    binary: &Path,
    site: &Site,
    config: &str,
    addr: SocketAddr,
    is_next_release: bool,
) -> Server {
    let mut command = Command::new(binary);
    if is_next_release {
        command.env("JACKFIELD_TEST_NEXT_RELEASE", "1");
    }
    command.env("RUST_LOG", "info");
    Server::launch(command, site.path(), config, addr)
}
