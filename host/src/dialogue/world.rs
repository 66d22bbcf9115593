//! World of one script: a sandbox with fresh instances and an empty store, and realms without
//! sessions. It is what `server` builds, without sockets.

use std::sync::Arc;

use jackfield_config::Config;
use jackfield_sandbox::{Audience, Sandbox};
use tokio::task::JoinSet;

use crate::audience::Subscribers;
use crate::compiler;
use crate::fetch::HttpClient;
use crate::generation::{BuildContext, CurrentGeneration, DurableHistories, RouteAccess, prepare};
use crate::realms::Realms;
use crate::site::Snapshot;

/// The parts that one script runs on.
pub(super) struct World {
    pub(super) realms: Arc<Realms>,
    /// Whether messages may arrive without a message of a client.
    pub(super) has_timers: bool,
    /// Ends with the world.
    _tasks: JoinSet<()>,
}

impl World {
    /// Loads the plugins of a site, and starts their timers and what their effects wait for.
    ///
    /// # Errors
    /// The problems of the site, as texts with their places.
    pub(super) async fn new(snapshot: &Snapshot, config: &Config) -> Result<Self, Vec<String>> {
        let settings = compiler::sandbox_settings(&config.plugins);
        let sandbox =
            Sandbox::new(settings).map_err(|error| vec![format!("error: failed to {error}")])?;
        let client = Arc::new(HttpClient::new());
        let sandbox = sandbox.sending_by(Arc::clone(&client) as Arc<_>);
        let audience = Arc::new(Subscribers::default());
        let services = Arc::clone(&audience) as Arc<dyn Audience>;
        let mut plugins = config.plugins.clone();
        // Plugins are tested before they are signed.
        plugins.verify.clear();
        let context = Arc::new(BuildContext {
            sandbox,
            access: arc_swap::ArcSwap::from_pointee(RouteAccess::of(config)),
            plugins: arc_swap::ArcSwap::from_pointee(plugins),
            audience: services,
            highest: None,
            durable: DurableHistories::Possible,
        });
        let generation = prepare(snapshot, None, &context).await;
        let generation = generation
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let has_timers = generation.has_timers();
        let current = Arc::new(CurrentGeneration::default());
        drop(current.commit(Arc::new(generation)));
        let realms = Realms::of(config, &current, &audience, &Arc::default(), None, None)
            .ok_or_else(|| vec!["error: the configuration names no realm".to_owned()])?;
        let mut tasks = JoinSet::new();
        for dispatch in realms.iter() {
            tasks.spawn(Arc::clone(dispatch).run_timers());
            tasks.spawn(Arc::clone(dispatch).run_call_timeouts());
            tasks.spawn(Arc::clone(dispatch).run_outgoing(Arc::clone(&client)));
        }
        Ok(Self { realms: Arc::new(realms), has_timers, _tasks: tasks })
    }
}
