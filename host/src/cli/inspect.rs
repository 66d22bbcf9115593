//! Site inspection: loads a site as a reload would, without serving it. The common part of `check`,
//! `routes` and `match`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jackfield_config::{Config, Settings};
use jackfield_routing::RouteTable;
use jackfield_sandbox::{NoSubscribers, Sandbox};
use tokio::runtime::Runtime;

use crate::compiler;
use crate::data_folder;
use crate::generation::{
    BuildContext, DurableHistories, Generation, Problem, RouteAccess, Warning, prepare,
    route_warnings, routes_alone,
};
use crate::site::{Site, Snapshot};

use super::config_args::SettingsArgs;

/// Command-line arguments of the commands that inspect a site.
#[derive(Debug, clap::Args)]
pub(super) struct SiteArgs {
    /// Site directory: bundles with websocket_routing.yml and .wasm files.
    #[arg(value_name = "DIR")]
    pub(super) site: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Check the routing files only, without loading plugins.
    #[arg(long)]
    pub(super) routing_only: bool,
}

/// The result of inspecting a site.
#[derive(Default)]
pub(super) struct Inspection {
    /// The generation, if the site has no problems and plugins were loaded.
    pub(super) generation: Option<Generation>,
    /// The routes, if the routing files have no problems and there is no generation.
    routes_only: Option<RouteTable>,
    /// The access by the settings, as far as routes do not decide.
    pub(super) access: RouteAccess,
    /// The realms of the settings.
    pub(super) realms: Vec<String>,
    /// Every problem, with its file and line.
    pub(super) problems: Vec<String>,
    /// Warnings about the settings, users, keys and routes, without duplicates.
    pub(super) warnings: Vec<String>,
    /// The number of routing files, without imported ones.
    pub(super) files: usize,
}

impl Inspection {
    pub(super) fn of(args: &SiteArgs) -> Self {
        let mut inspection = Self::default();
        let settings = args.settings.find(&args.site);
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let message = format!("error: failed to start the runtime: {error}");
                inspection.problems.push(message);
                return inspection;
            }
        };
        let within = runtime.enter();
        let opening = settings.open();
        drop(within);
        let problems = settings.problems.iter().chain(&opening.problems);
        inspection.problems.extend(problems.map(ToString::to_string));
        let warnings = settings.warnings.iter().chain(&opening.absent);
        inspection.warnings.extend(warnings.map(|it| it.warning().to_string()));
        inspection.warnings.extend(opening.warnings);
        inspection.access = RouteAccess::of(&settings.config);
        inspection.realms.clone_from(&settings.config.realms);
        // Problems of the settings do not hide those of the site.
        inspection.read(&runtime, &args.site, &settings, args.routing_only);
        inspection
    }

    /// Returns the routes, if the routing files have no problems.
    pub(super) fn routes(&self) -> Option<&RouteTable> {
        self.generation.as_ref().map(Generation::routes).or(self.routes_only.as_ref())
    }

    fn read(&mut self, runtime: &Runtime, site: &Path, settings: &Settings, routing_only: bool) {
        let snapshot = match Site::new(site).read() {
            Ok(snapshot) => snapshot,
            Err(error) => return self.problems.push(format!("{}: error: {error}", site.display())),
        };
        self.files = snapshot.routing().len();
        if !routing_only {
            match dry_run(runtime, &snapshot, site, settings.config.clone()) {
                Ok(Ok(generation)) => {
                    self.add_warnings(generation.warnings(), settings);
                    self.generation = Some(generation);
                    return;
                }
                Ok(Err(problems)) => self.add_problems(&problems),
                Err(error) => return self.problems.push(error),
            }
        }
        match routes_alone(&snapshot) {
            Ok(routes) => {
                self.add_warnings(&route_warnings(&routes), settings);
                self.routes_only = Some(routes);
            }
            Err(problems) if routing_only => self.add_problems(&problems),
            // The dry run has reported the problems.
            Err(_) => {}
        }
    }

    /// Warnings about settings have the place of their key.
    fn add_warnings(&mut self, warnings: &[Warning], settings: &Settings) {
        let placed = warnings.iter().map(|Warning(it)| settings.placed(it));
        self.warnings.extend(placed.map(|it| it.warning().to_string()));
    }

    fn add_problems(&mut self, problems: &[Problem]) {
        self.problems.extend(problems.iter().map(ToString::to_string));
    }
}

/// Prepares a generation without serving it.
fn dry_run(
    runtime: &Runtime,
    snapshot: &Snapshot,
    site: &Path,
    config: Config,
) -> Result<Result<Generation, Vec<Problem>>, String> {
    let sandbox = Sandbox::new(compiler::sandbox_settings(&config.plugins))
        .map_err(|error| format!("error: failed to {error}"))?;
    let has_data = data_folder::place(&config.data, site).is_some();
    let durable = DurableHistories::of(&config, has_data);
    let context = BuildContext {
        access: arc_swap::ArcSwap::from_pointee(RouteAccess::of(&config)),
        sandbox,
        plugins: arc_swap::ArcSwap::from_pointee(config.plugins),
        audience: Arc::new(NoSubscribers),
        highest: None,
        durable,
    };
    let context = Arc::new(context);
    Ok(runtime.block_on(prepare(snapshot, None, &context)))
}
