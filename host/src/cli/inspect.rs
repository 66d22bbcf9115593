//! Looks at a site as a reload would, without serving it: the common ground of the commands that
//! only look.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jackfield_config::Config;
use jackfield_routing::RouteTable;
use jackfield_sandbox::{Audience, RealmId, Sandbox};
use tokio::runtime::Runtime;

use crate::compiler;
use crate::generation::{
    BuildContext, Generation, Problem, Warning, prepare, routes_alone, warnings,
};
use crate::site::{Site, Snapshot};

use super::config_args::SettingsArgs;

/// What the commands that look at a site are told.
#[derive(Debug, clap::Args)]
pub(super) struct SiteArgs {
    /// The site: a directory of bundles, each with a websocket_routing.yml and/or .wasm files.
    #[arg(value_name = "DIR")]
    pub(super) site: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Look at the routing files alone, not at plugins.
    #[arg(long)]
    pub(super) routing_only: bool,
}

/// What became of a site.
#[derive(Default)]
pub(super) struct Judgement {
    /// If everything is in order, and plugins were looked at.
    pub(super) generation: Option<Generation>,
    /// If the routing files are in order, and there is no generation.
    alone: Option<RouteTable>,
    /// Each complete with its place.
    pub(super) problems: Vec<String>,
    /// What is odd about the settings, users, keys and routes. Each is there once.
    pub(super) warnings: Vec<String>,
    /// Routing files that were read, imports not counted.
    pub(super) files: usize,
}

impl Judgement {
    pub(super) fn of(args: &SiteArgs) -> Self {
        let mut judgement = Self::default();
        let settings = args.settings.find(&args.site);
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let message = format!("error: failed to start the runtime: {error}");
                judgement.problems.push(message);
                return judgement;
            }
        };
        let within = runtime.enter();
        let opening = settings.open();
        drop(within);
        let problems = settings.problems.iter().chain(&opening.problems);
        judgement.problems.extend(problems.map(ToString::to_string));
        let warnings = settings.warnings.iter().chain(&opening.absent);
        judgement.warnings.extend(warnings.map(|it| it.warning().to_string()));
        judgement.warnings.extend(opening.warnings);
        // An error in the settings hides none of the site.
        judgement.read(&runtime, &args.site, settings.config, args.routing_only);
        judgement
    }

    /// The routes, if the routing files are in order.
    pub(super) fn routes(&self) -> Option<&RouteTable> {
        self.generation.as_ref().map(Generation::routes).or(self.alone.as_ref())
    }

    fn read(&mut self, runtime: &Runtime, site: &Path, config: Config, routing_only: bool) {
        let snapshot = match Site::new(site).read() {
            Ok(snapshot) => snapshot,
            Err(error) => return self.problems.push(format!("{}: error: {error}", site.display())),
        };
        self.files = snapshot.routing().len();
        if !routing_only {
            match rehearse(runtime, &snapshot, config) {
                Ok(Ok(generation)) => {
                    self.warn(generation.warnings());
                    self.generation = Some(generation);
                    return;
                }
                Ok(Err(problems)) => self.complain(&problems),
                Err(error) => return self.problems.push(error),
            }
        }
        match routes_alone(&snapshot) {
            Ok(routes) => {
                self.warn(&warnings(&routes));
                self.alone = Some(routes);
            }
            Err(problems) if routing_only => self.complain(&problems),
            // They are among those of the rehearsal.
            Err(_) => {}
        }
    }

    fn warn(&mut self, warnings: &[Warning]) {
        self.warnings.extend(warnings.iter().map(ToString::to_string));
    }

    fn complain(&mut self, problems: &[Problem]) {
        self.problems.extend(problems.iter().map(ToString::to_string));
    }
}

/// Prepares a generation that nobody will use.
fn rehearse(
    runtime: &Runtime,
    snapshot: &Snapshot,
    config: Config,
) -> Result<Result<Generation, Vec<Problem>>, String> {
    let sandbox = Sandbox::new(compiler::sandbox_settings(&config.plugins))
        .map_err(|error| format!("error: failed to {error}"))?;
    let workshop = BuildContext { sandbox, plugins: config.plugins, audience: Arc::new(Nobody) };
    let workshop = Arc::new(workshop);
    Ok(runtime.block_on(prepare(snapshot, None, &workshop)))
}

/// There are no subscribers where nothing is served.
struct Nobody;

impl Audience for Nobody {
    fn subscribers(&self, _: RealmId, _: &str) -> Vec<u64> {
        Vec::new()
    }

    fn count(&self, _: RealmId, _: &str) -> u32 {
        0
    }
}
