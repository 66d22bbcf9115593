//! The console: the pages of the admin listener in Chromium. `files` is about the files and their
//! headers, `pages` about what each page shows, `actions` about changes, `candidates` about those of a canary,
//! `permissions` about roles, `texts` about texts of strangers, `tables` about widths, `outages` about servers
//! that do not answer, with `proxy`, `load` about 10 000 sessions.

mod actions;
mod candidates;
mod files;
mod load;
mod outages;
mod pages;
mod permissions;
mod proxy;
mod tables;
mod texts;

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::control::admin::{CONSOLE, address, settings};
use jackfield_tests::build;
use jackfield_tests::server::Server;
use jackfield_tests::site::Site;

/// A server with open topics, a plugin that fails, and a console.
struct Served {
    site: Site,
    server: Server,
    address: SocketAddr,
}

fn served(config: &str) -> Served {
    let site = Site::open();
    let routes = ["trap", "print", "counts"].map(|name| {
        format!("h.{name}:\n    channel: 'h/{name}'\n    handler: {{ callback: '{name}' }}\n")
    });
    site.bundle("hostile", &routes.concat(), &[build::guest("hostile")]);
    let server = Server::configured(site.path(), &format!("{}{config}", settings()));
    let address = address(&server);
    Served { site, server, address }
}

/// A window with the console.
struct Console {
    browser: Browser,
    address: SocketAddr,
}

const PAGE: &str = "console";

impl Console {
    /// Opens the console, and signs in with the token of all rights.
    async fn open(address: SocketAddr) -> Self {
        let mut console = Self::at_the_door(address).await;
        console.sign_in(CONSOLE).await;
        console
    }

    /// Opens the console without signing in.
    async fn at_the_door(address: SocketAddr) -> Self {
        let mut browser = Browser::start().await;
        let url = format!("http://{address}/");
        browser.tell(json!({ "do": "open", "page": PAGE, "url": url })).await;
        let mut console = Self { browser, address };
        console.until("document.activeElement?.id === 'token'").await;
        console
    }

    async fn sign_in(&mut self, token: &str) {
        self.browser.fill(PAGE, "#token", token).await;
        self.press("Enter").await;
        self.until("document.querySelectorAll('.stat').length > 0").await;
    }

    /// Opens a page by its address.
    async fn go(&mut self, page: &str) {
        self.value(&format!("void (location.hash = '#/{page}')")).await;
        let name = page.split(['/', '?']).next().unwrap();
        self.until(&format!("document.querySelector('[data-page={name}] h1')")).await;
    }

    async fn until(&mut self, code: &str) {
        self.browser.until(PAGE, code).await;
    }

    /// Waits until the page has a text.
    async fn shows(&mut self, text: &str) {
        let text = json!(text);
        self.until(&format!("document.getElementById('app').innerText.includes({text})")).await;
    }

    /// Waits until a message about the result of a change has a text.
    async fn tells(&mut self, text: &str) {
        let text = json!(text);
        let code = format!(
            "[...document.querySelectorAll('.toast')].some((it) => it.innerText.includes({text}))"
        );
        self.until(&code).await;
    }

    async fn value(&mut self, code: &str) -> Value {
        self.browser.tell(json!({ "do": "value", "page": PAGE, "code": code })).await
    }

    async fn click(&mut self, at: &str) {
        self.browser.click(PAGE, at).await;
    }

    async fn fill(&mut self, at: &str, text: &str) {
        self.browser.fill(PAGE, at, text).await;
    }

    async fn press(&mut self, key: &str) {
        self.browser.tell(json!({ "do": "press", "page": PAGE, "key": key })).await;
    }

    async fn look(&mut self, width: u32, height: u32, scheme: &str) {
        let look = json!({
            "do": "look", "page": PAGE, "width": width, "height": height, "scheme": scheme,
        });
        self.browser.tell(look).await;
    }

    async fn picture(&mut self, path: &Path) {
        self.browser.tell(json!({ "do": "shot", "page": PAGE, "path": path })).await;
    }

    /// Checks that the page has told no errors, such as a violated content policy. The browser also
    /// tells answers that are refusals.
    async fn is_quiet(&mut self) {
        let told = self.browser.tell(json!({ "do": "complaints", "page": PAGE })).await;
        let told: Vec<String> = serde_json::from_value(told).unwrap();
        let refusal = "Failed to load resource: the server responded with a status of";
        let wrong: Vec<_> = told.iter().filter(|it| !it.starts_with(refusal)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
