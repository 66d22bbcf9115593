//! Warnings about routes that are valid, but probably wrong.
//!
//! The crate `jackfield-routing` finds most of them. Those that depend on WAMP (topics which are
//! not valid URIs) or on plugins are found here.

use jackfield_config::Plugins;
use jackfield_routing::{Diagnosis, Part, Route, RouteTable};
use jackfield_sandbox::Hook;
use jackfield_text::Untrusted;
use jackfield_wamp::uri;
use jackfield_yaml::suggest;

use super::problem::Warning;
use super::{BoundHandler, PluginEntry, RouteAccess};

/// The maximum number of plugins that a help line lists.
const MAX_LISTED: usize = 10;

/// Returns the warnings that do not depend on plugins.
pub(crate) fn route_warnings(routes: &RouteTable) -> Vec<Warning> {
    let own = routes.warnings().iter().cloned().map(|it| Warning(Box::new(it)));
    own.chain(routes.routes().iter().filter_map(unnameable)).collect()
}

/// Returns the reason why WAMP v2 and HTTP API clients cannot use a topic; `None` if they can.
pub(crate) fn no_uri(topic: &str) -> Option<&'static str> {
    if uri::is_uri(topic) {
        None
    } else if topic.contains('#') {
        Some("URIs have no `#`")
    } else if topic.contains(char::is_whitespace) {
        Some("URIs have no white space")
    } else {
        Some("URIs have no empty part between dots")
    }
}

/// Returns the warning about a channel whose topics are not valid URIs; one example topic is
/// checked.
fn unnameable(route: &Route) -> Option<Warning> {
    let topic = route.example()?;
    let channel = &route.channel;
    let (message, help) = if let Some(why) = no_uri(&topic) {
        let message =
            format!("WAMP v2 and HTTP API clients cannot use topics of `{channel}`: {why}");
        (message, "rename the channel; only WAMP v1 clients can use it")
    } else if uri::is_reserved(&topic) {
        let message = format!(
            "topics of `{channel}` are reserved for the router: clients can only subscribe"
        );
        (message, "rename the channel so that its first part is not `wamp`")
    } else {
        return None;
    };
    Some(Warning(Box::new(route.diagnose(Part::Channel, message).with_help(help))))
}

/// Returns the warnings about a route with its handler.
pub(super) fn of_handler(route: &Route, bound: &BoundHandler) -> impl Iterator<Item = Warning> {
    idle_timer(route, bound).into_iter().chain(access_alone(route, bound))
}

/// Returns the warning about a timer that never runs.
fn idle_timer(route: &Route, bound: &BoundHandler) -> Option<Warning> {
    if route.timer.is_none() || bound.timer.is_some() {
        return None;
    }
    let (name, has_hook) = (bound.name(), bound.hooks().contains(Hook::Timer));
    let (message, help) = if has_hook {
        let message =
            format!("the timer has no interval, neither here nor in the handler `{name}`");
        (message, "add an interval: `every: 50s`")
    } else {
        let message = format!("the handler `{name}` has no timer hook, so the timer has no effect");
        (message, "remove the timer, or use a handler with a timer hook")
    };
    Some(Warning(Box::new(route.diagnose(Part::Timer, message).with_help(help))))
}

/// Returns the warning about a handler that knows nothing of topics.
fn access_alone(route: &Route, bound: &BoundHandler) -> Option<Warning> {
    let mut hooks = bound.hooks().iter().peekable();
    hooks.peek()?;
    if !hooks.all(Hook::is_of_access) {
        return None;
    }
    let message = format!(
        "the handler `{}` only decides about access, so it has no effect on the topics of a route",
        bound.name()
    );
    let help =
        "use another handler here; `rules[].authorizer` and `auth.authenticator` name this one";
    Some(Warning(Box::new(route.diagnose(Part::Callback, message).with_help(help))))
}

/// Returns the warnings about settings that name plugins or handlers which the site does not have.
pub(super) fn of_settings(
    settings: &Plugins,
    access: &RouteAccess,
    plugins: &[PluginEntry],
) -> Vec<Warning> {
    unused_settings(settings, plugins).chain(missing_access_handlers(access, plugins)).collect()
}

/// Returns the warnings about settings for plugins that the site does not have. A misspelt name
/// leaves the plugin with the limits and grants of `plugins.default`.
fn unused_settings<'a>(
    settings: &'a Plugins,
    plugins: &'a [PluginEntry],
) -> impl Iterator<Item = Warning> + 'a {
    let names = || plugins.iter().map(|plugin| plugin.manifest().name.as_str());
    let unused = settings.named.keys().filter(move |name| names().all(|it| it != name.as_str()));
    unused.map(move |name| {
        let shown = Untrusted::new(name);
        let message =
            format!("no plugin of the site has the name `{shown}`, so the settings have no effect");
        let help = match suggest::nearest(name, names()) {
            Some(meant) => format!("did you mean `{}`?", Untrusted::new(meant)),
            None => known_plugins(names()),
        };
        let key = format!("plugins.named.{name}");
        Warning(Box::new(Diagnosis::without_place(key, message).with_help(help)))
    })
}

/// Returns the warnings about settings that name handlers for access which no plugin has.
fn missing_access_handlers<'a>(
    access: &'a RouteAccess,
    plugins: &'a [PluginEntry],
) -> impl Iterator<Item = Warning> + 'a {
    let authorizers = access.authorizers().filter_map(|(position, name)| {
        missing(format!("rules.{position}.authorizer"), name, Hook::Authorize, plugins)
    });
    let authenticator = access.authenticator.as_ref().and_then(|name| {
        missing("auth.authenticator".to_owned(), name, Hook::Authenticate, plugins)
    });
    authorizers.chain(authenticator)
}

/// Returns the warning about a handler that decides about access, if no plugin has it.
fn missing(key: String, name: &str, hook: Hook, plugins: &[PluginEntry]) -> Option<Warning> {
    let handlers = || plugins.iter().flat_map(|plugin| &plugin.manifest().handlers);
    let names = || handlers().filter(|it| it.hooks.contains(hook)).map(|it| it.name.as_str());
    if names().any(|it| it == name) {
        return None;
    }
    let shown = Untrusted::new(name);
    let message = match hook {
        Hook::Authenticate => format!(
            "no plugin of the site has the authenticator `{shown}`, so its clients are refused"
        ),
        _ => format!(
            "no plugin of the site has the authorizer `{shown}`, so the rule refuses all requests"
        ),
    };
    let help = match suggest::nearest(name, names()) {
        Some(meant) => format!("did you mean `{}`?", Untrusted::new(meant)),
        None => {
            format!("name a handler with the hook `{hook}`, and put its plugin into the site")
        }
    };
    Some(Warning(Box::new(Diagnosis::without_place(key, message).with_help(help))))
}

fn known_plugins<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<String> =
        names.map(|name| format!("`{}`", Untrusted::new(name))).take(MAX_LISTED + 1).collect();
    if names.is_empty() {
        return "the site has no plugins".to_owned();
    }
    if names.len() > MAX_LISTED {
        names.truncate(MAX_LISTED);
        names.push("…".to_owned());
    }
    format!("the plugins of the site are {}", names.join(", "))
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
        route_warnings(&table).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn warns_of_channels_that_no_uri_matches() {
        let check = |channel: &str, why: &str| {
            let told = told(channel);
            assert_eq!(told.len(), 1, "{channel} {told:?}");
            assert!(
                told[0].starts_with("r.yml:1:15: warning: WAMP v2 and HTTP API clients cannot use")
                    && told[0].contains(why)
                    && told[0].contains("= help: rename the channel"),
                "{told:?}"
            );
        };
        check("a b", "URIs have no white space");
        check("a b/{x}", "URIs have no white space");
        check("a\u{a0}b", "URIs have no white space");
        check("a#b", "URIs have no `#`");
        check("http://example.com/a#b", "URIs have no `#`");
        check("{x<#\\\\d>}", "URIs have no `#`");
        check("a..b", "URIs have no empty part");
        check(".{x}", "URIs have no empty part");
        check("com.{x}.", "URIs have no empty part");
    }

    #[test]
    fn warns_of_reserved_channels() {
        assert!(told("wamp.x")[0].contains("are reserved for the router"));
        assert!(told("wamp.{x}")[0].contains("are reserved for the router"));
    }

    #[test]
    fn accepts_channels_that_every_client_can_name() {
        for channel in ["oro/ping", "com.acme.{x}", "a/{x}/{y}", "wampum.{x}", "{x}", "日本/{x}"]
        {
            assert_eq!(told(channel), [""; 0], "{channel}");
        }
    }
}
