//! The options for settings, `--config` and `--set`, of the commands that look at a site or serve it.

use std::path::{Path, PathBuf};

use jackfield_config::{Config, Override, Settings, Sources};

/// Where settings come from, as it is typed.
#[derive(Debug, clap::Args)]
pub(super) struct SettingsArgs {
    /// The configuration; without it, DIR/jackfield.yml where there is one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, instead of what the configuration says: limits.message=2MiB. The environment
    /// says the same as JACKFIELD__LIMITS__MESSAGE.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<Override>,
}

impl SettingsArgs {
    /// The settings for a site, and what is wrong with them.
    pub(super) fn find(&self, site: &Path) -> Settings {
        let Self { config, set } = self;
        let variables = Sources::environment();
        Config::find(&Sources { file: config.clone(), set: set.clone(), variables }, site)
    }
}
