//! Settings of metrics: whether the WebSocket port serves them, and to whom.

use jackfield_auth::Secret;
use serde::Deserialize;

/// Settings of metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Whether `GET /metrics` on the WebSocket port is answered.
    pub enabled: bool,
    /// The token that a request needs. Without one, only programs on the same machine get an answer.
    pub token: Option<Secret>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawMetrics {
    enabled: Option<bool>,
    token: Option<Secret>,
}

impl RawMetrics {
    pub(super) fn apply(self, metrics: &mut Metrics) {
        metrics.enabled = self.enabled.unwrap_or(metrics.enabled);
        metrics.token = self.token.or(metrics.token.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn reads_every_key() {
        let read = |text: &str| Settings::validated(text, &[]).map(|config| config.metrics);
        assert_eq!(read("").unwrap(), Metrics { enabled: false, token: None });
        assert_eq!(read("metrics: { enabled: true }").unwrap().token, None);
        let token = "metrics: { enabled: true, token: { file: /run/secrets/metrics } }";
        let expect = Some(Secret::File("/run/secrets/metrics".into()));
        assert_eq!(read(token).unwrap(), Metrics { enabled: true, token: expect });
        let error = read("metrics: { token: hunter2hunter2hunter2 }").unwrap_err();
        assert!(error.starts_with("j.yml:1:19: error: `metrics.token` has no effect"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
