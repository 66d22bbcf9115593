//! The exports for decisions about access.

use super::{
    Source, access_bindings::exports::jackfield::plugin::authorizer as wit, call, milliseconds,
    with,
};
use crate::access::{Action, Attempt, Authorize, KeepFor, MatchPolicy, Options};

impl<T: Source> wit::Guest for T {
    fn handlers() -> Vec<String> {
        with::<T, _>(|instance| {
            let handlers = instance.plugin.handlers.iter().filter(|it| it.hooks().authorize);
            handlers.map(|handler| handler.name().to_owned()).collect()
        })
    }

    fn authorize(route: u32, attempt: wit::Attempt) -> wit::Decision {
        let attempt = attempt.into();
        let Authorize { answer, keep } =
            call::<T, _>(route, |plugin, request| plugin.on_authorize(request, attempt));
        wit::Decision {
            answer: answer.map(|disclose| wit::Permission { disclose }).map_err(Into::into),
            keep: keep.map(|(time, audience)| wit::Keep {
                time: u32::try_from(milliseconds(time)).unwrap_or(u32::MAX),
                audience: match audience {
                    KeepFor::Session => wit::Audience::Session,
                    KeepFor::Principal => wit::Audience::Principal,
                },
            }),
        }
    }
}

impl From<wit::Attempt> for Attempt {
    fn from(wit::Attempt { action, policy, options }: wit::Attempt) -> Self {
        let has = |flag: wit::Options| options & flag == flag;
        Self {
            action: match action {
                wit::Action::Subscribe => Action::Subscribe,
                wit::Action::Publish => Action::Publish,
                wit::Action::Register => Action::Register,
                wit::Action::Call => Action::Call,
            },
            policy: match policy {
                wit::MatchPolicy::Exact => MatchPolicy::Exact,
                wit::MatchPolicy::Prefix => MatchPolicy::Prefix,
                wit::MatchPolicy::Wildcard => MatchPolicy::Wildcard,
            },
            options: Options {
                disclose_me: has(wit::Options::DISCLOSE_ME),
                acknowledge: has(wit::Options::ACKNOWLEDGE),
                retain: has(wit::Options::RETAIN),
                get_retained: has(wit::Options::GET_RETAINED),
                shared: has(wit::Options::SHARED),
                force_reregister: has(wit::Options::FORCE_REREGISTER),
                progress: has(wit::Options::PROGRESS),
            },
        }
    }
}
