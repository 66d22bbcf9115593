//! Exports of a plugin, of any version of the contract. An older version is a shim: its arguments and
//! answers are converted here, and nothing else of the crate distinguishes versions.

use wasmtime::component::InstancePre;
use wasmtime::{Engine, Store};

use crate::contract::v0_1::old_handler;
use crate::contract::version::{Version, interface};
use crate::contract::{
    AccessDescription, answers, authenticator, authorizer, handler, http_types, types, v0_1,
};
use crate::host_state::HostState;
use crate::request::{EventTexts, HookRequest, RouteId};
use crate::route_config::RouteConfig;

/// The name of the optional interface for answers, of the version that is linked.
const ANSWERS: &str = "jackfield:plugin/answers@0.2.0";
/// The name of the optional interface for authorization.
const AUTHORIZER: &str = "jackfield:plugin/authorizer@0.2.0";
/// The name of the optional interface for authentication.
const AUTHENTICATOR: &str = "jackfield:plugin/authenticator@0.2.0";

/// A linked plugin, before it is instantiated.
pub(crate) enum PluginPre {
    V0_1(v0_1::PluginPre<HostState>),
    V0_2 {
        pre: InstancePre<HostState>,
        handler: handler::GuestIndices,
        /// None if the plugin exports no such interface.
        answers: Option<answers::GuestIndices>,
        /// As above.
        authorizer: Option<authorizer::GuestIndices>,
        /// As above.
        authenticator: Option<authenticator::GuestIndices>,
    },
}

/// The exported functions of one instance.
pub(crate) enum Exports {
    V0_1(old_handler::Guest),
    V0_2(handler::Guest, OptionalExports),
}

/// The interfaces that a plugin may leave out.
pub(crate) struct OptionalExports {
    answers: Option<answers::Guest>,
    authorizer: Option<authorizer::Guest>,
    authenticator: Option<authenticator::Guest>,
}

impl PluginPre {
    /// Looks up the exports of the version.
    pub(crate) fn new(version: Version, pre: InstancePre<HostState>) -> wasmtime::Result<Self> {
        Ok(match version {
            Version::V0_1 => Self::V0_1(v0_1::PluginPre::new(pre)?),
            Version::V0_2 => Self::V0_2 {
                handler: handler::GuestIndices::new(&pre)?,
                answers: match pre.component().get_export_index(None, ANSWERS) {
                    Some(_) => Some(answers::GuestIndices::new(&pre)?),
                    None => None,
                },
                authorizer: match pre.component().get_export_index(None, AUTHORIZER) {
                    Some(_) => Some(authorizer::GuestIndices::new(&pre)?),
                    None => None,
                },
                authenticator: match pre.component().get_export_index(None, AUTHENTICATOR) {
                    Some(_) => Some(authenticator::GuestIndices::new(&pre)?),
                    None => None,
                },
                pre,
            },
        })
    }

    /// The version of the contract that the plugin was built for.
    pub(crate) fn version(&self) -> Version {
        match self {
            Self::V0_1(_) => Version::V0_1,
            Self::V0_2 { .. } => Version::V0_2,
        }
    }

    /// Whether the plugin receives the answers of its effects.
    pub(crate) fn takes_answers(&self) -> bool {
        matches!(self, Self::V0_2 { answers: Some(_), .. })
    }

    /// Whether the plugin imports the store.
    pub(crate) fn uses_store(&self) -> bool {
        let component = match self {
            Self::V0_1(pre) => pre.instance_pre().component(),
            Self::V0_2 { pre, .. } => pre.component(),
        };
        let imports = component.component_type();
        let mut names = imports.imports(self.engine()).map(|(name, _)| name);
        names.any(|name| interface(name).is_some_and(|(interface, _)| interface == "store"))
    }

    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Self::V0_1(pre) => pre.engine(),
            Self::V0_2 { pre, .. } => pre.engine(),
        }
    }

    pub(crate) async fn instantiate(
        &self,
        store: &mut Store<HostState>,
    ) -> wasmtime::Result<Exports> {
        Ok(match self {
            Self::V0_1(pre) => {
                let plugin = pre.instantiate_async(store).await?;
                Exports::V0_1(plugin.jackfield_plugin_handler().clone())
            }
            Self::V0_2 { pre, handler, answers, authorizer, authenticator } => {
                let instance = pre.instantiate_async(&mut *store).await?;
                let handler = handler.load(&mut *store, &instance)?;
                let answers = match answers {
                    Some(answers) => Some(answers.load(&mut *store, &instance)?),
                    None => None,
                };
                let authorizer = match authorizer {
                    Some(authorizer) => Some(authorizer.load(&mut *store, &instance)?),
                    None => None,
                };
                let authenticator = match authenticator {
                    Some(authenticator) => Some(authenticator.load(store, &instance)?),
                    None => None,
                };
                Exports::V0_2(handler, OptionalExports { answers, authorizer, authenticator })
            }
        })
    }
}

impl Exports {
    pub(crate) async fn describe(
        &self,
        store: &mut Store<HostState>,
    ) -> wasmtime::Result<handler::Manifest> {
        match self {
            Self::V0_1(old) => old.call_describe(store).await.map(Into::into),
            Self::V0_2(new, _) => new.call_describe(store).await,
        }
    }

    /// The handlers that decide about access.
    pub(crate) async fn describe_access(
        &self,
        store: &mut Store<HostState>,
    ) -> wasmtime::Result<AccessDescription> {
        let mut description = AccessDescription::default();
        if let Self::V0_2(_, OptionalExports { authorizer, authenticator, .. }) = self {
            if let Some(authorizer) = authorizer {
                description.authorizers = authorizer.call_handlers(&mut *store).await?;
            }
            if let Some(authenticator) = authenticator {
                description.authenticators = authenticator.call_handlers(store).await?;
            }
        }
        Ok(description)
    }

    /// Finds a principal; with a ticket, verifies the ticket.
    pub(crate) async fn authenticate(
        &self,
        store: &mut Store<HostState>,
        route: RouteId,
        attempt: &authenticator::Attempt,
        ticket: Option<&str>,
    ) -> wasmtime::Result<Option<authenticator::Principal>> {
        match (self, ticket) {
            (
                Self::V0_2(_, OptionalExports { authenticator: Some(authenticator), .. }),
                Some(ticket),
            ) => authenticator.call_verify(store, route.number(), attempt, ticket).await,
            (Self::V0_2(_, OptionalExports { authenticator: Some(authenticator), .. }), None) => {
                authenticator.call_find(store, route.number(), attempt).await
            }
            // No handler of theirs has the hook.
            (Self::V0_1(_) | Self::V0_2(..), _) => {
                Err(wasmtime::Error::msg("it has no authenticator"))
            }
        }
    }

    pub(crate) async fn authorize(
        &self,
        store: &mut Store<HostState>,
        route: RouteId,
        attempt: authorizer::Attempt,
    ) -> wasmtime::Result<authorizer::Decision> {
        match self {
            Self::V0_2(_, OptionalExports { authorizer: Some(authorizer), .. }) => {
                authorizer.call_authorize(store, route.number(), attempt).await
            }
            // No handler of theirs has the hook.
            Self::V0_1(_) | Self::V0_2(..) => Err(wasmtime::Error::msg("it has no authorizer")),
        }
    }

    pub(crate) async fn configure(
        &self,
        store: &mut Store<HostState>,
        id: RouteId,
        route: &RouteConfig,
    ) -> wasmtime::Result<Result<(), String>> {
        let RouteConfig { handler, name, channel, args } = route;
        match self {
            Self::V0_1(old) => {
                old.call_configure(store, old_handler::Route { handler, name, channel, args }).await
            }
            Self::V0_2(new, _) => {
                let id = id.number();
                new.call_configure(store, handler::Route { id, handler, name, channel, args }).await
            }
        }
    }

    pub(crate) async fn on_subscribe(
        &self,
        store: &mut Store<HostState>,
        route: RouteId,
        request: &HookRequest<'_>,
    ) -> wasmtime::Result<handler::SubscribeVerdict> {
        match self {
            Self::V0_1(old) => {
                let roles = request.roles();
                old.call_on_subscribe(store, request.lower(&roles)).await.map(Into::into)
            }
            Self::V0_2(new, _) => new.call_on_subscribe(store, route.number()).await,
        }
    }

    pub(crate) async fn on_unsubscribe(
        &self,
        store: &mut Store<HostState>,
        route: RouteId,
        request: &HookRequest<'_>,
    ) -> wasmtime::Result<()> {
        match self {
            Self::V0_1(old) => {
                old.call_on_unsubscribe(store, request.lower(&request.roles())).await
            }
            Self::V0_2(new, _) => new.call_on_unsubscribe(store, route.number()).await,
        }
    }

    pub(crate) async fn on_publish(
        &self,
        store: &mut Store<HostState>,
        route: RouteId,
        request: &HookRequest<'_>,
        event: EventTexts<'_>,
    ) -> wasmtime::Result<handler::PublishVerdict> {
        match self {
            Self::V0_1(old) => {
                let roles = request.roles();
                let request = request.lower(&roles);
                old.call_on_publish(store, request, event.lower()).await.map(Into::into)
            }
            Self::V0_2(new, _) => new.call_on_publish(store, route.number()).await,
        }
    }

    pub(crate) async fn on_call(
        &self,
        store: &mut Store<HostState>,
        route: RouteId,
        request: &HookRequest<'_>,
        event: EventTexts<'_>,
    ) -> wasmtime::Result<Result<types::Event, types::Refusal>> {
        match self {
            Self::V0_1(old) => {
                let roles = request.roles();
                let request = request.lower(&roles);
                let answer = old.call_on_call(store, request, event.lower()).await?;
                Ok(answer.map(Into::into).map_err(Into::into))
            }
            Self::V0_2(new, _) => new.call_on_call(store, route.number()).await,
        }
    }

    pub(crate) async fn on_timer(
        &self,
        store: &mut Store<HostState>,
        route: RouteId,
        request: &HookRequest<'_>,
    ) -> wasmtime::Result<()> {
        match self {
            Self::V0_1(old) => old.call_on_timer(store, request.lower(&request.roles())).await,
            Self::V0_2(new, _) => new.call_on_timer(store, route.number()).await,
        }
    }

    pub(crate) async fn on_response(
        &self,
        store: &mut Store<HostState>,
        route: RouteId,
        context: &[u8],
        answer: Result<&http_types::Response, &http_types::Error>,
    ) -> wasmtime::Result<()> {
        match self {
            Self::V0_2(_, OptionalExports { answers: Some(answers), .. }) => {
                answers.call_on_response(store, route.number(), context, answer).await
            }
            Self::V0_1(_) | Self::V0_2(..) => Ok(()),
        }
    }

    pub(crate) async fn on_result(
        &self,
        store: &mut Store<HostState>,
        route: RouteId,
        context: &[u8],
        answer: Result<&types::Event, &types::Refusal>,
    ) -> wasmtime::Result<()> {
        match self {
            Self::V0_2(_, OptionalExports { answers: Some(answers), .. }) => {
                answers.call_on_result(store, route.number(), context, answer).await
            }
            Self::V0_1(_) | Self::V0_2(..) => Ok(()),
        }
    }
}
