//! `plugins.keep_versions` and `plugins.take_back`: earlier versions of plugins.

use std::num::NonZeroUsize;

use jackfield_yaml::NonZeroDuration;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::Plugins;

/// The maximum number of versions of each plugin that are kept.
const MAX_KEPT_VERSIONS: usize = 50;

/// Number of versions of a plugin, from 1 to [`MAX_KEPT_VERSIONS`].
pub(super) struct KeptVersions(pub(super) usize);

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTakeBack {
    enabled: Option<bool>,
    within: Option<NonZeroDuration>,
}

impl RawTakeBack {
    pub(super) fn apply(self, plugins: &mut Plugins) {
        if let Some(within) = self.within {
            plugins.take_back = Some(within.get());
        }
        if self.enabled == Some(false) {
            plugins.take_back = None;
        }
    }
}

impl<'de> Deserialize<'de> for KeptVersions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = NonZeroUsize::deserialize(deserializer)?.get();
        if count > MAX_KEPT_VERSIONS {
            let message =
                format!("{count} versions cannot be kept\nwrite {MAX_KEPT_VERSIONS} or less");
            return Err(D::Error::custom(message));
        }
        Ok(Self(count))
    }
}
