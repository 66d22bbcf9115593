//! Settings of traces: the OpenTelemetry collector that gets spans of messages.

use std::collections::BTreeMap;

use jackfield_auth::Secret;
use jackfield_text::Untrusted;
use jackfield_yaml::ValueError;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Settings of traces.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// The URL of the collector, with its path; without one, no spans are sent.
    pub endpoint: Option<String>,
    /// The share of messages that are sampled, above 0 and at most 1. Default: 0.01.
    pub sample: f64,
    /// Headers of requests to the collector: names and values.
    pub headers: BTreeMap<String, Secret>,
    /// The name of this service. Default: `jackfield`.
    pub service: String,
}

/// The share is a number: NaN is refused.
impl Eq for Traces {}

/// The defaults, as in `docs/configuration.md`; a test compares the two.
impl Default for Traces {
    fn default() -> Self {
        let (headers, service) = (BTreeMap::new(), "jackfield".to_owned());
        Self { endpoint: None, sample: 0.01, headers, service }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTraces {
    endpoint: Option<Endpoint>,
    sample: Option<Share>,
    headers: Option<BTreeMap<String, Secret>>,
    service: Option<String>,
}

struct Endpoint(String);

struct Share(f64);

/// Help for an endpoint.
const EXAMPLE: &str = "write it with its path: http://localhost:4318/v1/traces";

impl RawTraces {
    pub(super) fn apply(self, traces: &mut Traces) {
        traces.endpoint = self.endpoint.map(|it| it.0).or(traces.endpoint.take());
        traces.sample = self.sample.map_or(traces.sample, |it| it.0);
        if let Some(headers) = self.headers {
            traces.headers = headers;
        }
        if let Some(service) = self.service {
            traces.service = service;
        }
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let rest = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let parts = rest.and_then(|rest| rest.split_once('/'));
        let Some((host, path)) = parts.filter(|_| text.bytes().all(|it| it.is_ascii_graphic()))
        else {
            return Err(D::Error::custom(format!("this is not the URL of a collector\n{EXAMPLE}")));
        };
        // The log and the state show the URL.
        if host.contains('@') || text.contains(['?', '#']) {
            let help = "a secret belongs to `traces.headers`; write the URL without user and query";
            return Err(D::Error::custom(format!("the URL of a collector has a secret\n{help}")));
        }
        // A collector answers 404 at `/`.
        if host.is_empty() || path.is_empty() {
            let wrong = format!("`{}` has no host or no path", Untrusted::new(&text));
            return Err(D::Error::custom(format!("{wrong}\n{EXAMPLE}")));
        }
        Ok(Self(text))
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(deserializer)?;
        if share > 0.0 && share <= 1.0 {
            return Ok(Self(share));
        }
        let help =
            "write a number above 0 and at most 1, such as 0.01 for one message in a hundred";
        Err(D::Error::custom(format!("{share} is not a share of messages\n{help}")))
    }
}

/// Returns the errors of several settings together.
pub(super) fn mistakes(traces: &Traces, has: impl Fn(&str) -> bool) -> Vec<ValueError> {
    let mut wrongs = Vec::new();
    if traces.endpoint.is_some() && !jackfield_otlp::IS_BUILT {
        let message = "this build of jackfield sends no spans".to_owned();
        let help = "build it with `--features otlp`, or remove the section `traces`";
        wrongs.push(ValueError::at("traces.endpoint", message, help));
    }
    if !has("traces.endpoint") {
        let without = ["traces.sample", "traces.headers", "traces.service"];
        wrongs.extend(without.into_iter().filter(|key| has(key)).map(|key| {
            let message = format!("`{key}` has no effect: there is no collector");
            ValueError::at(key, message, "add `traces.endpoint`, or remove the key")
        }));
    }
    for name in traces.headers.keys() {
        let is_token = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it);
        if name.is_empty() || !name.bytes().all(is_token) {
            let message = format!("`{}` is not the name of a header", Untrusted::new(name));
            wrongs.push(ValueError::at("traces.headers", message, "write it as HTTP does"));
        }
    }
    wrongs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn read(text: &str) -> Result<Traces, String> {
        Settings::validated(text, &[]).map(|config| config.traces)
    }

    #[test]
    fn reads_every_key() {
        assert_eq!(read("").unwrap(), Traces::default());
        let text = "traces: { endpoint: 'http://c:4318/v1/traces', sample: 0.5, service: shop, \
                    headers: { x-key: { env: KEY } } }";
        if !jackfield_otlp::IS_BUILT {
            let error = read(text).unwrap_err();
            assert!(error.contains("this build of jackfield sends no spans"), "{error}");
            return;
        }
        let traces = read(text).unwrap();
        assert_eq!(traces.endpoint.as_deref(), Some("http://c:4318/v1/traces"));
        assert_eq!((traces.sample, traces.service.as_str()), (0.5, "shop"));
        assert_eq!(traces.headers["x-key"], Secret::Env("KEY".to_owned()));
    }

    #[test]
    fn refuses_wrong_values() {
        let cases = [
            ("traces: { endpoint: 'localhost:4318' }", "is not the URL of a collector"),
            ("traces: { endpoint: 'http://' }", "is not the URL of a collector"),
            ("traces: { endpoint: 'http://localhost:4318' }", "write it with its path: http://"),
            ("traces: { endpoint: 'http://localhost:4318/' }", "has no host or no path"),
            ("traces: { endpoint: 'http://u:hunter2@c/v1/traces' }", "has a secret"),
            ("traces: { endpoint: 'http://c/v1/traces?key=hunter2' }", "has a secret"),
            ("traces: { endpoint: 'hunter2' }", "is not the URL of a collector"),
            ("traces: { sample: 0.5 }", "`traces.sample` has no effect"),
            (
                "traces: { endpoint: 'http://c/v1/traces', sample: 0 }",
                "0 is not a share of messages",
            ),
            ("traces: { endpoint: 'http://c/v1/traces', sample: 1.5 }", "1.5 is not a share"),
            (
                "traces: { endpoint: 'http://c/v1/traces', sample: half }",
                "`traces.sample` takes a number, not text",
            ),
            (
                "traces: { endpoint: 'http://c/v1/traces', headers: { 'a b': c } }",
                "`a b` is not the name",
            ),
            (
                "traces: { endpoint: 'http://c/v1/traces', headers: { a: [hunter2] } }",
                "takes text in quotes",
            ),
        ];
        for (text, expect) in cases {
            let error = read(text).unwrap_err();
            assert!(error.contains(expect) && !error.contains("hunter2"), "{text}\n{error}");
        }
    }
}
