//! Command-line options for the configuration of a site.

use std::path::{Path, PathBuf};

use jackfield_config::{Config, Override, Settings, Sources};

/// Command-line arguments for the configuration.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SettingsArgs {
    /// Configuration file [default: DIR/jackfield.yml, if it exists].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Replace one setting of the configuration, such as limits.message=2MiB. The environment
    /// variable JACKFIELD__LIMITS__MESSAGE does the same. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<Override>,
}

impl SettingsArgs {
    /// Finds the settings of a site, and their problems.
    pub(super) fn find(&self, site: &Path) -> Settings {
        Config::find(&self.sources(), site)
    }

    /// The sources of the settings, with the environment as it is now.
    pub(super) fn sources(&self) -> Sources {
        let Self { config, set } = self;
        let variables = Sources::environment();
        Sources { file: config.clone(), set: set.clone(), variables }
    }
}
