//! Versions of the contract, as the names of interfaces contain them: `jackfield:plugin/store@0.2.0`.
//!
//! A plugin was built for the version of the interface `handler` that it exports. Its imports have to
//! be of the same version.

use super::PACKAGE;

/// A version of the contract that this server loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V0_1,
    V0_2,
}

/// The version of an interface that this server does not load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OtherVersion {
    Newer,
    /// An older one, or no version.
    Older,
}

impl Version {
    /// All versions, the oldest first.
    pub(crate) const ALL: [Self; 2] = [Self::V0_1, Self::V0_2];

    /// The version that the SDK of this server speaks.
    pub(crate) const NEWEST: Self = Self::V0_2;

    /// Major and minor number. Releases that differ only in the third number are compatible.
    const fn numbers(self) -> (u64, u64) {
        match self {
            Self::V0_1 => (0, 1),
            Self::V0_2 => (0, 2),
        }
    }

    /// Reads the version of an interface.
    pub(crate) fn parse(text: &str) -> Result<Self, OtherVersion> {
        let numbers: Option<Vec<u64>> = text.split('.').map(|number| number.parse().ok()).collect();
        let Some([major, minor, _]) = numbers.as_deref() else { return Err(OtherVersion::Older) };
        let found = (*major, *minor);
        let version = Self::ALL.into_iter().find(|version| version.numbers() == found);
        version.ok_or(if found > Self::NEWEST.numbers() {
            OtherVersion::Newer
        } else {
            OtherVersion::Older
        })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (major, minor) = self.numbers();
        write!(f, "{major}.{minor}")
    }
}

/// Interface and version, if the name belongs to the contract. The version is empty if the name has
/// none.
pub(crate) fn interface(name: &str) -> Option<(&str, &str)> {
    let interface = name.strip_prefix(PACKAGE)?.strip_prefix('/')?;
    Some(interface.split_once('@').unwrap_or((interface, "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        let check = |text, expected| assert_eq!(Version::parse(text), expected, "{text}");
        check("0.1.0", Ok(Version::V0_1));
        check("0.1.7", Ok(Version::V0_1));
        check("0.2.0", Ok(Version::V0_2));
        check("0.2.13", Ok(Version::V0_2));
        check("0.0.9", Err(OtherVersion::Older));
        check("0.3.0", Err(OtherVersion::Newer));
        check("1.0.0", Err(OtherVersion::Newer));
        check("0.2", Err(OtherVersion::Older));
        check("0.2.0.0", Err(OtherVersion::Older));
        check("0.2.0-rc.1", Err(OtherVersion::Older));
        check("99999999999999999999.0.0", Err(OtherVersion::Older));
        check("", Err(OtherVersion::Older));
    }

    #[test]
    fn reads_names_of_interfaces() {
        let check = |name, expected| assert_eq!(interface(name), expected, "{name}");
        check("jackfield:plugin/store@0.2.0", Some(("store", "0.2.0")));
        check("jackfield:plugin/store", Some(("store", "")));
        check("jackfield:plugins/store@0.2.0", None);
        check("wasi:cli/stderr@0.2.0", None);
    }
}
