//! `INVOCATION.Details`: what a callee learns of a call.

use jackfield_wamp::Passthru;
use jackfield_wamp::message::Call;
use jackfield_wamp::value::{Dict, Value};

use crate::registrations::Callee;
use crate::session::Session;

/// Builds INVOCATION.Details, all but `progress`.
pub(super) fn details(caller: &Session, call: &Call, callee: &Callee, pattern: bool) -> Dict {
    let mut details = Dict::new();
    if pattern {
        details.insert("procedure", call.procedure.as_str());
    }
    if call.options.disclose_me || callee.disclose_caller {
        details.insert("caller", Value::UInt(caller.id.get()));
        details.insert("caller_authid", caller.identity.authid.as_str());
        details.insert("caller_authrole", caller.identity.authrole());
    }
    if call.options.receive_progress {
        details.insert("receive_progress", true);
    }
    if let Some(timeout) = call.options.timeout.filter(|it| *it > 0)
        && callee.forwards_timeout()
    {
        details.insert("timeout", timeout);
    }
    if let Some(level) = call.options.trustlevel
        && callee.session.features.call_trustlevels
    {
        details.insert("trustlevel", u64::from(level));
    }
    for (key, value) in call.payload.passthru().into_iter().flat_map(Passthru::entries) {
        details.insert(key, value);
    }
    details
}
