//! Pages in Chromium against the real server: `sync.js` as the server serves it, and a page client
//! of WAMP v1 that behaves like AutobahnJS 0.8. `tests/browser` has the pages and the driver of the
//! browser.
//!
//! `pages` tests normal operation, `outages` reconnecting, `recovery` missed events, `compression` compressed ones, `tickets`
//! authentication, `demo` the page of `make demo`, `types` the examples of the guide.

mod compression;
mod demo;
pub(crate) mod network;
mod outages;
mod pages;
mod recovery;
mod tickets;
mod types;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use jackfield_tests::build;
use jackfield_tests::client::within;
use jackfield_tests::packages::installed;
use jackfield_tests::peer;
use jackfield_tests::site::Site;

/// A browser with any number of pages. It ends with the test.
pub(crate) struct Browser {
    // Held so that the process ends with it.
    _driver: Child,
    stdin: ChildStdin,
    lines: mpsc::UnboundedReceiver<Value>,
    complaints: Arc<Mutex<String>>,
    /// The URL of the test's own page.
    home: String,
    /// The home folder of a user of its own.
    _user: Option<TempDir>,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        Self::with(script("driver.mjs"), None).await
    }

    /// Starts a browser whose user has added an authority of certificates: in NSS's database of the
    /// home folder, where Chromium looks.
    pub(crate) async fn trusting(authority: &Path) -> Self {
        installed("certutil", "libnss3-tools");
        let home = tempfile::tempdir().unwrap();
        let database = home.path().join(".pki/nssdb");
        std::fs::create_dir_all(&database).unwrap();
        let database = format!("sql:{}", database.display());
        for arguments in [
            &["-N", "--empty-password"][..],
            &["-A", "-t", "C,,", "-n", "tests", "-i", authority.to_str().unwrap()],
        ] {
            let added = Command::new("certutil").args(["-d", &database]).args(arguments).output();
            let added = added.await.unwrap();
            assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        }
        let mut driver = script("driver.mjs");
        driver.env("HOME", home.path());
        Self::with(driver, Some(home)).await
    }

    async fn with(driver: Command, user: Option<TempDir>) -> Self {
        let (driver, stdin, mut lines, complaints) = peer::spawn(driver);
        let first = within("Chromium to start", lines.recv()).await;
        let home = first.as_ref().and_then(|line| line["ready"].as_str()).map(str::to_owned);
        let Some(home) = home else {
            panic!(
                "Chromium does not start (`make chromium` installs it): {first:?} {}",
                complaints.lock().unwrap()
            );
        };
        Self { _driver: driver, stdin, lines, complaints, home, _user: user }
    }

    /// Opens the test's own page in a new window.
    pub(crate) async fn page(&mut self, page: &str) {
        let url = format!("{}/page.html", self.home);
        self.tell(json!({"do": "open", "page": page, "url": url})).await;
    }

    /// Opens the page with `sync`, a connection to the server; `options` are further options in
    /// JavaScript.
    pub(crate) async fn v2(&mut self, page: &str, server: SocketAddr, options: &str) {
        self.v2_at(page, &format!("http://{server}"), options).await;
    }

    /// The same with the URL of the server.
    pub(crate) async fn v2_at(&mut self, page: &str, server: &str, options: &str) {
        self.page(page).await;
        self.connect_v2(page, server, options).await;
    }

    async fn connect_v2(&mut self, page: &str, server: &str, options: &str) {
        let code = format!(
            "const {{ Sync }} = await import(`{server}/sync.js`);
             let count = 0;
             globalThis.sync = new Sync({{
                 url: '{server}', ticket: async () => `ticket-${{++count}}`,
                 retry: {{ first: 200 }}, {options}
             }});
             for (const name of ['connected', 'disconnected', 'retrying', 'refused']) {{
                 sync.addEventListener(name, ({{ detail }}) => told.push([name, detail]));
             }}"
        );
        self.run(page, &code).await;
        self.until(page, "sync.state === 'connected'").await;
    }

    /// Opens the page with `oro`, a connection of WAMP v1.
    async fn v1(&mut self, page: &str, server: SocketAddr) {
        self.page(page).await;
        self.run(page, &format!("globalThis.oro = new OroSync('ws://{server}/');")).await;
        self.until(page, "oro.session").await;
    }

    /// Runs the body of an asynchronous function in a page, and returns its result.
    pub(crate) async fn run(&mut self, page: &str, code: &str) -> Value {
        self.tell(json!({"do": "run", "page": page, "code": code})).await
    }

    /// Waits until an expression is true in a page.
    pub(crate) async fn until(&mut self, page: &str, code: &str) {
        self.tell(json!({"do": "until", "page": page, "code": code})).await;
    }

    pub(crate) async fn click(&mut self, page: &str, at: &str) {
        self.tell(json!({"do": "click", "page": page, "at": at})).await;
    }

    pub(crate) async fn fill(&mut self, page: &str, at: &str, text: &str) {
        self.tell(json!({"do": "fill", "page": page, "at": at, "text": text})).await;
    }

    /// Checks that the page's console has no errors.
    #[track_caller]
    fn quiet(&mut self, page: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let complaints = self.tell(json!({"do": "complaints", "page": page})).await;
            assert_eq!(complaints, json!([]), "{caller}");
        }
    }

    /// Returns the addresses to which a page has opened WebSockets.
    pub(crate) async fn sockets(&mut self, page: &str) -> Vec<String> {
        let sockets = self.tell(json!({"do": "sockets", "page": page})).await;
        serde_json::from_value(sockets).unwrap()
    }

    pub(crate) async fn tell(&mut self, command: Value) -> Value {
        let line = format!("{command}\n");
        self.stdin.write_all(line.as_bytes()).await.expect("the driver reads");
        let answer = within(format!("{command}"), self.lines.recv()).await;
        let answer = answer.unwrap_or_else(|| {
            panic!("the driver ended at {command}: {}", self.complaints.lock().unwrap())
        });
        assert!(answer.get("done").is_some(), "{command}: {answer}");
        answer["done"].clone()
    }
}

/// Returns the command that runs a script of `tests/browser` in Node.
pub(crate) fn script(name: &str) -> Command {
    let mut command = Command::new("node");
    command.env("JACKFIELD_NODE_PEERS", peer::installed("node"));
    command.arg(build::root().join("tests/browser").join(name));
    command
}

/// Returns a site with open topics and these stock plugins, each with its own routes.
fn stock(plugins: &[&str]) -> Site {
    let site = Site::open();
    for plugin in plugins {
        let routes = build::root().join("plugins").join(plugin).join("websocket_routing.yml");
        let routes = std::fs::read_to_string(routes).unwrap();
        site.bundle(plugin, &routes, &[build::plugin(plugin)]);
    }
    site
}

/// Returns the folder of screenshots, for manual review.
pub(crate) fn pictures() -> &'static Path {
    static FOLDER: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = build::root().join("target/browser");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    })
}
