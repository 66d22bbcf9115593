//! Warnings about routes: what is probably not meant, and no reason to refuse a generation.
//!
//! The routing files know of most themselves. Which topics clients can name is a matter of WAMP,
//! which `routing` does not know, so that is judged here.

use jackfield_routing::{Part, Route, RouteTable};
use jackfield_sandbox::Hook;
use jackfield_wamp::uri;

use super::BoundHandler;
use super::problem::Warning;

/// What is odd about the routes by themselves, whatever plugins there are.
pub fn warnings(routes: &RouteTable) -> Vec<Warning> {
    let own = routes.warnings().iter().cloned().map(|it| Warning(Box::new(it)));
    own.chain(routes.routes().iter().filter_map(unnameable)).collect()
}

/// Why clients of WAMP v2 and of the HTTP API cannot name a topic; none if they can.
pub fn no_uri(topic: &str) -> Option<&'static str> {
    if uri::is_uri(topic) {
        None
    } else if topic.contains('#') {
        Some("a URI has no `#`")
    } else if topic.contains(char::is_whitespace) {
        Some("a URI has no white space")
    } else {
        Some("a URI has no empty part between its dots")
    }
}

/// A channel whose topics clients cannot name, judged by one of them.
fn unnameable(route: &Route) -> Option<Warning> {
    let topic = route.example()?;
    let channel = &route.channel;
    let (message, help) = if let Some(why) = no_uri(&topic) {
        let message = format!(
            "clients of WAMP v2 and of the HTTP API cannot name topics of `{channel}`: {why}"
        );
        (message, "name the channel without it; only clients of WAMP v1 reach this one")
    } else if uri::is_reserved(&topic) {
        let message =
            format!("topics of `{channel}` are the router's own: clients may only listen");
        (message, "name a channel whose first part is not `wamp`")
    } else {
        return None;
    };
    Some(Warning(Box::new(route.diagnose(Part::Channel, message).with_help(help))))
}

/// A timer that never runs.
pub(super) fn idle_timer(route: &Route, bound: &BoundHandler) -> Option<Warning> {
    if route.timer.is_none() || bound.timer.is_some() {
        return None;
    }
    let (name, has_hook) = (bound.name(), bound.hooks().contains(Hook::Timer));
    let (message, help) = if has_hook {
        let message =
            format!("neither this nor the handler `{name}` says how often the timer runs");
        (message, "add how often: `every: 50s`")
    } else {
        let message = format!("the handler `{name}` has no timer hook, so the timer does nothing");
        (message, "remove the timer, or name a handler that has one")
    };
    Some(Warning(Box::new(route.diagnose(Part::Timer, message).with_help(help))))
}

#[cfg(test)]
mod tests {
    use jackfield_routing::{NoFiles, SourceFile, load};

    use super::*;

    #[track_caller]
    fn told(channel: &str) -> Vec<String> {
        let text = format!("r: {{ channel: '{channel}', handler: h }}");
        let file = SourceFile { path: "r.yml".to_owned(), text };
        let table = load(&[file], &NoFiles).unwrap();
        warnings(&table).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn warns_of_channels_that_no_uri_matches() {
        let check = |channel: &str, why: &str| {
            let told = told(channel);
            assert_eq!(told.len(), 1, "{channel} {told:?}");
            assert!(
                told[0].starts_with("r.yml:1:15: warning: clients of WAMP v2 and of the HTTP API")
                    && told[0].contains(why)
                    && told[0].contains("= help: name the channel without it"),
                "{told:?}"
            );
        };
        check("a b", "a URI has no white space");
        check("a b/{x}", "a URI has no white space");
        check("a\u{a0}b", "a URI has no white space");
        check("a#b", "a URI has no `#`");
        check("http://example.com/a#b", "a URI has no `#`");
        check("{x<#\\\\d>}", "a URI has no `#`");
        check("a..b", "a URI has no empty part");
        check(".{x}", "a URI has no empty part");
        check("com.{x}.", "a URI has no empty part");
    }

    #[test]
    fn warns_of_reserved_channels() {
        assert!(told("wamp.x")[0].contains("are the router's own"));
        assert!(told("wamp.{x}")[0].contains("are the router's own"));
    }

    #[test]
    fn accepts_channels_that_every_client_can_name() {
        for channel in ["oro/ping", "com.acme.{x}", "a/{x}/{y}", "wampum.{x}", "{x}", "日本/{x}"]
        {
            assert_eq!(told(channel), [""; 0], "{channel}");
        }
    }
}
