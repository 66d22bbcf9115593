//! The settings `http`, `calls` and `later` of a plugin: its effects with an answer.

use std::num::NonZeroUsize;

use jackfield_sandbox::{
    AllowedOrigin, AllowedProcedures, CallPolicy, Grant, HttpPolicy, LaterPolicy, PluginPolicy,
};
use jackfield_text::Untrusted;
use jackfield_yaml::{ByteSize, NonZeroDuration};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::merge::{set_bytes, set_count, set_duration};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawHttp {
    allow: Option<Vec<RawOrigin>>,
    private: Option<bool>,
    blocking: Option<bool>,
    in_flight: Option<NonZeroUsize>,
    timeout: Option<NonZeroDuration>,
    response: Option<ByteSize>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawCalls {
    allow: Option<Vec<RawProcedures>>,
    in_flight: Option<NonZeroUsize>,
    timeout: Option<NonZeroDuration>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLater {
    in_flight: Option<NonZeroUsize>,
    timeout: Option<NonZeroDuration>,
}

struct RawOrigin(AllowedOrigin);

struct RawProcedures(AllowedProcedures);

/// Applies the settings. The lists are grants as well.
pub(super) fn apply(http: RawHttp, calls: RawCalls, later: RawLater, policy: &mut PluginPolicy) {
    http.apply(&mut policy.outgoing.http);
    calls.apply(&mut policy.outgoing.calls);
    later.apply(&mut policy.outgoing.later);
    let (http, calls) = (&policy.outgoing.http, &policy.outgoing.calls);
    let (fetch, http) = (http.blocking && !http.allow.is_empty(), !http.allow.is_empty());
    policy.grant = Grant { http, fetch, calls: !calls.allow.is_empty(), ..policy.grant };
}

impl RawHttp {
    fn apply(self, http: &mut HttpPolicy) {
        if let Some(allow) = self.allow {
            http.allow = allow.into_iter().map(|origin| origin.0).collect();
        }
        http.private = self.private.unwrap_or(http.private);
        http.blocking = self.blocking.unwrap_or(http.blocking);
        set_count(&mut http.in_flight, self.in_flight);
        set_duration(&mut http.timeout, self.timeout);
        set_bytes(&mut http.response, self.response);
    }
}

impl RawCalls {
    fn apply(self, calls: &mut CallPolicy) {
        if let Some(allow) = self.allow {
            calls.allow = allow.into_iter().map(|procedures| procedures.0).collect();
        }
        set_count(&mut calls.in_flight, self.in_flight);
        set_duration(&mut calls.timeout, self.timeout);
    }
}

impl RawLater {
    fn apply(self, later: &mut LaterPolicy) {
        set_count(&mut later.in_flight, self.in_flight);
        set_duration(&mut later.timeout, self.timeout);
    }
}

impl<'de> Deserialize<'de> for RawOrigin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |help| {
            D::Error::custom(format!(
                "`{}` is not the origin of a URL\n{help}",
                Untrusted::new(&text)
            ))
        };
        text.parse().map(Self).map_err(wrong)
    }
}

impl<'de> Deserialize<'de> for RawProcedures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |help| {
            D::Error::custom(format!("`{}` is not a procedure\n{help}", Untrusted::new(&text)))
        };
        text.parse().map(Self).map_err(wrong)
    }
}
