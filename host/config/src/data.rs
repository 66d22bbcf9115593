//! The setting of the data folder, and its place without one.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::control::site_digest;
use super::place::Place;

/// The folder in which a server keeps what survives its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DataFolder {
    /// A private folder of the server's user, one for each site.
    #[default]
    Default,
    /// This path.
    At(PathBuf),
    /// Nothing is kept.
    Off,
}

/// The environment that decides the default place.
#[derive(Clone, Copy, Debug)]
pub struct DataEnvironment<'a> {
    /// `STATE_DIRECTORY`, which systemd sets for a service.
    pub state_directory: Option<&'a str>,
    /// `XDG_STATE_HOME`: XDG Base Directory Specification.
    pub xdg_state_home: Option<&'a str>,
    /// `HOME`.
    pub home: Option<&'a str>,
}

impl DataFolder {
    /// The default place for a site: the folder that systemd has made for the service, or else one
    /// for the site below the user's state. `None` if the environment names neither.
    pub fn place(site: &Path, environment: &DataEnvironment<'_>) -> Option<PathBuf> {
        let DataEnvironment { state_directory, xdg_state_home, home } = *environment;
        let absolute = |text: &&str| text.starts_with('/');
        let of_service = state_directory.and_then(|it| it.split(':').next()).filter(absolute);
        if let Some(folder) = of_service {
            return Some(folder.into());
        }
        let of_user = xdg_state_home.filter(absolute).map(PathBuf::from);
        let of_user = of_user
            .or_else(|| home.filter(absolute).map(|home| Path::new(home).join(".local/state")))?;
        Some(of_user.join("jackfield").join(site_digest(site)))
    }
}

pub(super) struct RawData(pub(super) DataFolder);

impl<'de> Deserialize<'de> for RawData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(match Place::read(&text, "folder").map_err(D::Error::custom)? {
            Place::Auto => DataFolder::Default,
            Place::Off => DataFolder::Off,
            Place::At(path) => DataFolder::At(path),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_path_and_two_words() {
        let read = |text: &str| crate::Settings::of(text, &[]).result().map(|config| config.data);
        assert_eq!(read("data: off"), Ok(DataFolder::Off));
        assert_eq!(read("data: auto"), Ok(DataFolder::Default));
        assert_eq!(read("data: /a"), Ok(DataFolder::At("/a".into())));
        for wrong in ["''", "true", "Off", "data"] {
            let error = read(&format!("data: {wrong}")).unwrap_err();
            assert!(error.contains("= help: write a path with a `/`, `auto` or `off`"), "{error}");
        }
    }

    #[test]
    fn the_place_depends_on_the_service_the_user_and_the_site() {
        let place = |state_directory, xdg_state_home, home| {
            let environment = DataEnvironment { state_directory, xdg_state_home, home };
            let found = DataFolder::place(Path::new("/srv/site"), &environment);
            found.map(|it| it.display().to_string())
        };
        let digest = site_digest(Path::new("/srv/site"));
        let of = |folder: &str| Some(format!("{folder}/jackfield/{digest}"));
        let service = Some("/var/lib/jackfield:/other");
        assert_eq!(place(service, Some("/s"), None), Some("/var/lib/jackfield".to_owned()));
        assert_eq!(place(None, Some("/s"), Some("/home/a")), of("/s"));
        assert_eq!(place(Some(""), Some("relative"), Some("/home/a")), of("/home/a/.local/state"));
        assert_eq!(place(None, None, None), None);
        assert_ne!(digest, site_digest(Path::new("/srv/other")));
    }
}
