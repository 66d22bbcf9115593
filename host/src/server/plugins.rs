//! Plugins of a server: the sandbox, the stores, the kept versions, and the keys of signatures.

use std::path::Path;
use std::sync::Arc;

use jackfield_config::{Config, Plugins};
use jackfield_sandbox::{Audience, CallObservers, InstanceMemory, PluginStores, Sandbox};
use jackfield_signing::TrustedKey;
use tracing::info;

use super::ServeError;
use crate::audience::Subscribers;
use crate::cluster::ClusterNode;
use crate::data_folder::DataFolder;
use crate::fetch::HttpClient;
use crate::generation::DurableHistories;
use crate::log::list;
use crate::reload::Reloader;
use crate::signatures::HighestNumbers;
use crate::site::Site;
use crate::versions::{self, VersionSettings, Versions};
use crate::{compiler, plugin_stores};

/// The reloader of the site, the observers of its plugins, and their stores.
pub(super) struct OpenedPlugins {
    pub(super) reloader: Arc<Reloader>,
    pub(super) instance_memory: InstanceMemory,
    pub(super) observers: Arc<CallObservers>,
    pub(super) stores: PluginStores,
}

/// Opens the sandbox, the stores and the versions of plugins; the site is read later.
pub(super) async fn open_plugins(
    site: Site,
    config: &Config,
    client: &Arc<HttpClient>,
    data: Option<&DataFolder>,
    audience: &Arc<Subscribers>,
    cluster: Option<&Arc<ClusterNode>>,
) -> Result<OpenedPlugins, ServeError> {
    let services = Arc::clone(audience) as Arc<dyn Audience>;
    let (sandbox, stores) = open_sandbox(&config.plugins, client, data, cluster).await?;
    let (instance_memory, observers) = (sandbox.memory(), sandbox.observers());
    let versions = versions(config, site.path(), data).await?;
    let highest = highest_numbers(config, data).await?;
    report_keys(&config.plugins);
    let durable = DurableHistories::of(config, data.is_some());
    let reloader =
        Reloader::new(site, config.clone(), sandbox, services, versions, highest, durable);
    Ok(OpenedPlugins { reloader: Arc::new(reloader), instance_memory, observers, stores })
}

/// The sandbox, and the stores of its plugins.
async fn open_sandbox(
    plugins: &Plugins,
    client: &Arc<HttpClient>,
    data: Option<&DataFolder>,
    cluster: Option<&Arc<ClusterNode>>,
) -> Result<(Sandbox, PluginStores), ServeError> {
    let sandbox = Sandbox::new(compiler::sandbox_settings(plugins))?;
    let sandbox = sandbox.sending_by(Arc::clone(client) as Arc<_>);
    let folder = data.map(|data| data.part(plugin_stores::PART));
    let sandbox = plugin_stores::open(sandbox, plugins, folder, cluster).await?;
    let policies = plugins.clone();
    let stores = sandbox.plugin_stores(move |plugin| policies.policy(plugin).limits.store);
    Ok((sandbox, stores))
}

/// Opens the versions of plugins, on a thread of its own: it reads the data folder.
async fn versions(
    config: &Config,
    site: &Path,
    data: Option<&DataFolder>,
) -> Result<Arc<Versions>, ServeError> {
    let Plugins { keep_versions: keep, take_back, .. } = config.plugins;
    let settings = VersionSettings { keep, take_back };
    let (site, folder) = (site.to_owned(), data.map(|data| data.part(versions::PART)));
    let opening = tokio::task::spawn_blocking(move || Versions::open(&site, folder, settings));
    Ok(Arc::new(opening.await.map_err(std::io::Error::other)??))
}

/// Opens the releases of signed plugins so far, where downgrades are refused, on a thread of its own.
async fn highest_numbers(
    config: &Config,
    data: Option<&DataFolder>,
) -> Result<Option<Arc<HighestNumbers>>, ServeError> {
    if !config.plugins.refuse_downgrades {
        return Ok(None);
    }
    let folder = data.ok_or(ServeError::NoNumbers)?.part("signatures");
    let opening = tokio::task::spawn_blocking(move || HighestNumbers::open(&folder));
    Ok(Some(Arc::new(opening.await.map_err(std::io::Error::other)??)))
}

/// Logs the keys that may sign plugins, if signatures are verified.
fn report_keys(plugins: &Plugins) {
    if !plugins.verify.is_empty() {
        let keys = list(plugins.verify.iter().map(TrustedKey::number));
        info!(name: "plugin.keys", ?keys, "only plugins that one of these keys has signed are loaded");
    }
}
