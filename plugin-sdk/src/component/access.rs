//! The exports for decisions about access.

use super::{
    Source,
    access_bindings::exports::jackfield::plugin::{authenticator, authorizer as wit},
    call, milliseconds, with,
};
use crate::{
    Refusal,
    access::{Action, Attempt, Authorize, KeepFor, Login, MatchPolicy, Method, Options, Principal},
};

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

impl<T: Source> authenticator::Guest for T {
    fn handlers() -> Vec<authenticator::Description> {
        with::<T, _>(|instance| {
            let handlers = instance.plugin.handlers.iter();
            let handlers = handlers.filter(|it| it.hooks().find || it.hooks().ticket);
            let describe = |handler: &Box<dyn crate::handler::Configured>| {
                let models = handler.models().iter().map(Principal::entry).collect();
                let verifies_tickets = handler.hooks().ticket;
                let handler = handler.name().to_owned();
                authenticator::Description { handler, verifies_tickets, models }
            };
            handlers.map(describe).collect()
        })
    }

    fn find(route: u32, attempt: authenticator::Attempt) -> Option<authenticator::Principal> {
        let login = Login::from(attempt);
        let found = call::<T, _>(route, |plugin, request| plugin.on_find(request, &login));
        of_answer(found, &login)
    }

    fn verify(
        route: u32,
        attempt: authenticator::Attempt,
        ticket: String,
    ) -> Option<authenticator::Principal> {
        let login = Login::from(attempt);
        let found =
            call::<T, _>(route, |plugin, request| plugin.on_ticket(request, &login, &ticket));
        of_answer(found, &login)
    }
}

/// A failure of the handler is a fault, so that the client is asked to try again: it is not about its
/// credentials. Any other refusal is about them.
fn of_answer(
    answer: Result<Option<Principal>, Refusal>,
    login: &Login,
) -> Option<authenticator::Principal> {
    let found = match answer {
        Ok(found) => found?,
        Err(refusal) if refusal.uri() == Refusal::RUNTIME_ERROR => panic!("{refusal}"),
        Err(_) => return None,
    };
    Some(authenticator::Principal {
        authid: found.name_for(login),
        entry: found.entry(),
        ttl: found.ttl.map(milliseconds),
    })
}

impl From<authenticator::Attempt> for Login {
    fn from(attempt: authenticator::Attempt) -> Self {
        let authenticator::Attempt { method, authid, pubkey, client } = attempt;
        let authenticator::Client { address, origin, encrypted, listener } = client;
        let method = match method {
            authenticator::Method::Ticket => Method::Ticket,
            authenticator::Method::Wampcra => Method::WampCra,
            authenticator::Method::Scram => Method::Scram,
            authenticator::Method::Cryptosign => Method::Cryptosign,
        };
        Self { method, authid, pubkey, address, origin, encrypted, listener }
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
