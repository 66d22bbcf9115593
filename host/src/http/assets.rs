//! The files that browsers get: the page client `sync.js` with its modules, and the demo. They are
//! embedded, so that the binary is all there is to install; `host/browser` has their sources, which
//! are what is shipped.
//!
//! Clients may keep a file, but ask each time whether it is still the same: its address does not
//! say which version it is, and pages must not mix two of them. Called by [`crate::http`].

use std::fmt::Write as _;
use std::sync::OnceLock;

use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION,
};
use hyper::{HeaderMap, StatusCode, Uri};
use sha2::{Digest, Sha256};

use super::response::Answer;

/// Whether `/demo/` is served. Its visitors publish without a login, so it is not for production.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demo {
    /// There is no such page.
    Off,
    /// It is served.
    On,
}

/// One file.
pub(crate) struct Asset {
    /// The path of its URL.
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    tag: OnceLock<HeaderValue>,
}

/// Everything comes from here and nothing is inline; the connection goes back to here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// Reading across origins is all that a file of these can be had for.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A file at a path of a URL. The place of the file is relative to the source file that names it.
macro_rules! asset {
    ($path:literal, $file:literal) => {
        $crate::http::assets::Asset::new($path, $file, include_bytes!($file))
    };
}
pub(crate) use asset;

static CLIENT: [Asset; 8] = [
    asset!("/sync.js", "../../browser/sync.js"),
    asset!("/sync.classic.js", "../../browser/sync.classic.js"),
    asset!("/sync/content.js", "../../browser/content.js"),
    asset!("/sync/content.classic.js", "../../browser/content.classic.js"),
    asset!("/sync/maintenance.js", "../../browser/maintenance.js"),
    asset!("/sync/maintenance.classic.js", "../../browser/maintenance.classic.js"),
    asset!("/sync/model.js", "../../browser/model.js"),
    asset!("/sync/model.classic.js", "../../browser/model.classic.js"),
];

static DEMO: [Asset; 10] = [
    asset!("/demo/", "../../browser/demo/index.html"),
    asset!("/demo/demo.css", "../../browser/demo/demo.css"),
    asset!("/demo/demo.js", "../../browser/demo/demo.js"),
    asset!("/demo/connection.js", "../../browser/demo/connection.js"),
    asset!("/demo/copy.js", "../../browser/demo/copy.js"),
    asset!("/demo/greeting.js", "../../browser/demo/greeting.js"),
    asset!("/demo/pane.js", "../../browser/demo/pane.js"),
    asset!("/demo/ticker.js", "../../browser/demo/ticker.js"),
    asset!("/demo/versions.js", "../../browser/demo/versions.js"),
    asset!("/demo/icon.svg", "../../browser/demo/icon.svg"),
];

/// The answer to a GET or HEAD of an address, if there is a file for it.
pub(super) fn answer(uri: &Uri, headers: &HeaderMap, demo: Demo) -> Option<Answer> {
    let find = |assets: &'static [Asset]| assets.iter().find(|asset| asset.is_at(uri.path()));
    if let Some(asset) = find(&CLIENT) {
        // A page of any origin may take its client from here: `import` asks by CORS.
        let answer = asset.answer(headers);
        return Some(
            answer.with(ACCESS_CONTROL_ALLOW_ORIGIN, "*").with(RESOURCE_POLICY, "cross-origin"),
        );
    }
    if demo == Demo::Off {
        return None;
    }
    if uri.path() == "/demo" {
        let there = Answer::text(StatusCode::PERMANENT_REDIRECT, "the demo is at /demo/\n");
        return Some(there.with_value(LOCATION, location(uri.query())));
    }
    let answer = find(&DEMO)?.answer(headers);
    Some(answer.with_policy(POLICY))
}

impl Asset {
    pub(crate) const fn new(path: &'static str, file: &str, bytes: &'static [u8]) -> Self {
        Self { path, kind: kind(file), bytes, tag: OnceLock::new() }
    }

    /// Whether it is the file of this path.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        self.path == path
    }

    /// The answer to a GET or HEAD: the file, or that the client has it already.
    pub(crate) fn answer(&self, headers: &HeaderMap) -> Answer {
        let tag = self.tag.get_or_init(|| tag(self.bytes));
        let answer = if is_known(headers, tag) {
            Answer::empty(StatusCode::NOT_MODIFIED)
        } else {
            Answer::file(self.kind, self.bytes)
        };
        answer.with_value(ETAG, tag.clone()).revalidated()
    }
}

/// Where the demo is, with what was asked for beside.
fn location(query: Option<&str>) -> HeaderValue {
    let address = query.map(|query| HeaderValue::from_str(&format!("/demo/?{query}")));
    address.and_then(Result::ok).unwrap_or_else(|| HeaderValue::from_static("/demo/"))
}

/// What names the bytes: the beginning of their hash, in quotes.
fn tag(bytes: &[u8]) -> HeaderValue {
    let mut name = "\"".to_owned();
    for byte in Sha256::digest(bytes).iter().take(12) {
        // Writing to a string cannot fail.
        let _written = write!(name, "{byte:02x}");
    }
    name.push('"');
    // Hexadecimal digits in quotes are a header.
    HeaderValue::from_str(&name).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// Whether the client has these bytes already. Weak tags count here (RFC 9110, section 13.1.2).
fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let lines = headers.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).any(|known| {
        known == "*" || known.strip_prefix("W/").unwrap_or(known).as_bytes() == tag.as_bytes()
    })
}

const fn kind(file: &str) -> &'static str {
    match file.as_bytes() {
        [.., b'.', b'j', b's'] => "text/javascript; charset=utf-8",
        [.., b'.', b'c', b's', b's'] => "text/css; charset=utf-8",
        [.., b'.', b's', b'v', b'g'] => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    }
}
