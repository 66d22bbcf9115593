//! Console: the pages for browsers at the admin listener, embedded in the binary. `src/console` has
//! their sources, which are served unchanged.
//!
//! The files are the same for all callers and have no data of the server, so they need no token; the
//! pages ask the API with the token of their user. See decision 48.

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request};

use crate::http::assets::{Asset, asset};
use crate::http::response::Answer;

/// Everything comes from here, nothing is inline, and no page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";
/// Pages of other origins cannot load the files.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// A page that opens the console in a window has no access to it.
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

static FILES: [Asset; 24] = [
    asset!("/", "../console/index.html"),
    asset!("/console/console.css", "../console/console.css"),
    asset!("/console/icon.svg", "../console/icon.svg"),
    asset!("/console/main.js", "../console/main.js"),
    asset!("/console/api.js", "../console/api.js"),
    asset!("/console/elements.js", "../console/elements.js"),
    asset!("/console/escape.js", "../console/escape.js"),
    asset!("/console/freshness.js", "../console/freshness.js"),
    asset!("/console/format.js", "../console/format.js"),
    asset!("/console/chart.js", "../console/chart.js"),
    asset!("/console/table.js", "../console/table.js"),
    asset!("/console/dialog.js", "../console/dialog.js"),
    asset!("/console/icons.js", "../console/icons.js"),
    asset!("/console/sign-in.js", "../console/sign-in.js"),
    asset!("/console/overview.js", "../console/overview.js"),
    asset!("/console/routes.js", "../console/routes.js"),
    asset!("/console/topics.js", "../console/topics.js"),
    asset!("/console/sessions.js", "../console/sessions.js"),
    asset!("/console/plugins.js", "../console/plugins.js"),
    asset!("/console/plugin.js", "../console/plugin.js"),
    asset!("/console/reloads.js", "../console/reloads.js"),
    asset!("/console/trace.js", "../console/trace.js"),
    asset!("/console/ended.js", "../console/ended.js"),
    asset!("/console/publish.js", "../console/publish.js"),
];

/// The answer to a request for one of the files, if there is one at its path.
pub(super) fn answer<B>(request: &Request<B>) -> Option<Answer> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let file = FILES.iter().find(|file| file.is_at(request.uri().path()))?;
    let answer = file.answer(request.headers()).with_policy(POLICY);
    let same_origin = HeaderValue::from_static("same-origin");
    let answer = answer.with_value(RESOURCE_POLICY, same_origin.clone());
    Some(answer.with_value(OPENER_POLICY, same_origin))
}
