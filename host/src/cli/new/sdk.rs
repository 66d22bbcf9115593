//! Place of the SDK that a new bundle depends on: a folder or a git repository.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use jackfield_text::{Untrusted, is_printable};

use super::{Language, NewError};

/// The folder of the SDK in a checkout.
const FOLDER: &str = "plugin-sdk";
/// The line by which the SDK's Cargo.toml is recognized.
const PACKAGE_LINE: &str = "name = \"jackfield-plugin\"";
/// The host's folder in the checkout that this program was built from.
const BUILT_FROM: &str = env!("CARGO_MANIFEST_DIR");

/// Command-line arguments that say where the SDK is.
#[derive(Debug, clap::Args)]
pub(super) struct SdkArgs {
    /// Folder `plugin-sdk` of a Jackfield checkout [default: that of a checkout around the new
    /// folder, or else of the checkout that this program was built from].
    #[arg(long, value_name = "PATH", conflicts_with = "git")]
    sdk: Option<PathBuf>,
    /// Git repository of Jackfield, to depend on in place of a folder.
    #[arg(long = "sdk-git", value_name = "URL")]
    git: Option<String>,
}

/// The place of the SDK.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sdk {
    /// The path of the folder: relative if the bundle is in the same checkout.
    Folder(String),
    /// The URL of the repository.
    Git(String),
}

impl Sdk {
    /// Finds the SDK for a bundle in `folder`, an absolute path without links.
    pub(super) fn find(args: &SdkArgs, folder: &Path) -> Result<Self, NewError> {
        if let Some(url) = &args.git {
            return Self::git(url);
        }
        let found = match &args.sdk {
            Some(given) => given_folder(given)?,
            None => checkout_around(folder).or_else(built_from).ok_or_else(|| {
                NewError::with_help(
                    "there is no Jackfield checkout around the new folder, and the one that this \
                     program was built from is gone, so the plugin SDK is not found",
                    "name its folder with --sdk PATH (plugin-sdk in a checkout of Jackfield), or the \
                     repository with --sdk-git URL",
                )
            })?,
        };
        let shown = found.parent().filter(|checkout| folder.starts_with(checkout));
        let path = shown.map_or_else(|| found.clone(), |checkout| relative(folder, checkout));
        match path.into_os_string().into_string() {
            Ok(path) if path.chars().all(is_printable) => Ok(Self::Folder(path)),
            _ => Err(NewError::with_help(
                format!(
                    "the path of the SDK, {}, is not printable text",
                    Untrusted::new(found.display())
                ),
                "move the checkout to a folder with another name",
            )),
        }
    }

    /// Returns the place of the SDK of a language, which is the same or below it.
    pub(super) fn of(self, language: Language) -> Result<Self, NewError> {
        let below = match language {
            Language::Rust => return Ok(self),
            Language::JavaScript => "js",
            Language::Python => "python",
        };
        match self {
            Self::Folder(path) => Ok(Self::Folder(format!("{path}/{below}"))),
            Self::Git(_) if language == Language::JavaScript => Err(NewError::with_help(
                "npm cannot depend on a folder of a git repository",
                "clone the repository, and name its folder plugin-sdk with --sdk PATH",
            )),
            Self::Git(url) => Ok(Self::Git(url)),
        }
    }

    fn git(url: &str) -> Result<Self, NewError> {
        if url.is_empty() || url.starts_with('-') || !url.chars().all(is_printable) {
            return Err(NewError::with_help(
                format!("`{}` is not a URL", Untrusted::new(url)),
                "name a repository, such as --sdk-git https://git.example/jackfield",
            ));
        }
        Ok(Self::Git(url.to_owned()))
    }
}

impl fmt::Display for Sdk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Folder(place) | Self::Git(place)) = self;
        f.write_str(place)
    }
}

/// The folder that the option names: the SDK, or the checkout around it.
fn given_folder(given: &Path) -> Result<PathBuf, NewError> {
    let real = given.canonicalize().map_err(|error| NewError::at(given, &error))?;
    let candidates = [real.clone(), real.join(FOLDER)];
    candidates.into_iter().find(|folder| is_sdk(folder)).ok_or_else(|| {
        NewError::with_help(
            format!("{} is not the plugin SDK", Untrusted::new(given.display())),
            "--sdk names the folder plugin-sdk of a Jackfield checkout",
        )
    })
}

fn checkout_around(folder: &Path) -> Option<PathBuf> {
    folder
        .ancestors()
        .map(|ancestor| ancestor.join(FOLDER))
        .find(|sdk| is_sdk(sdk) && is_trusted(sdk))
}

/// Returns whether a folder that was found, and not named, belongs to this user or root, and cannot be
/// written by everyone: the build of the bundle runs code from it.
fn is_trusted(folder: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    folder.metadata().is_ok_and(|it| [0, own].contains(&it.uid()) && it.mode() & 0o002 == 0)
}

fn built_from() -> Option<PathBuf> {
    let sdk = Path::new(BUILT_FROM).parent()?.join(FOLDER).canonicalize().ok()?;
    is_sdk(&sdk).then_some(sdk)
}

fn is_sdk(folder: &Path) -> bool {
    let manifest = fs::read_to_string(folder.join("Cargo.toml"));
    manifest.is_ok_and(|text| text.lines().any(|line| line.trim() == PACKAGE_LINE))
}

/// The path from a folder in the checkout to the SDK.
fn relative(folder: &Path, checkout: &Path) -> PathBuf {
    let below = folder.strip_prefix(checkout).unwrap_or(folder);
    let up = below.components().map(|_| Component::ParentDir);
    up.collect::<PathBuf>().join(FOLDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkout() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().canonicalize().unwrap();
        fs::create_dir_all(path.join("jackfield/plugin-sdk")).unwrap();
        fs::create_dir_all(path.join("jackfield/a/b")).unwrap();
        let manifest = format!("[package]\n{PACKAGE_LINE}\n");
        fs::write(path.join("jackfield/plugin-sdk/Cargo.toml"), manifest).unwrap();
        (root, path)
    }

    fn find(sdk: Option<PathBuf>, folder: &Path) -> Result<String, String> {
        let found = Sdk::find(&SdkArgs { sdk, git: None }, folder);
        found.map(|sdk| sdk.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn is_relative_within_the_checkout_and_absolute_elsewhere() {
        let (_root, path) = checkout();
        let checkout = path.join("jackfield");
        let sdk = checkout.join(FOLDER);
        assert_eq!(find(None, &checkout.join("a/b")).unwrap(), "../../plugin-sdk");
        assert_eq!(find(Some(sdk.clone()), &checkout.join("a")).unwrap(), "../plugin-sdk");
        let elsewhere = find(Some(sdk.clone()), &path).unwrap();
        assert_eq!(elsewhere, sdk.display().to_string());
        assert_eq!(find(Some(checkout), &path).unwrap(), elsewhere, "the checkout itself will do");
        let own = Path::new(BUILT_FROM).parent().unwrap().join(FOLDER);
        assert_eq!(find(None, &path).unwrap(), own.display().to_string());
    }

    #[test]
    fn rejects_folders_without_the_sdk() {
        let (_root, path) = checkout();
        let error = find(Some(path.clone()), &path).unwrap_err();
        assert!(error.contains("is not the plugin SDK"), "{error}");
        let error = find(Some(path.join("none")), &path).unwrap_err();
        assert!(error.contains("none"), "{error}");
        let git = |url: &str| {
            let args = SdkArgs { sdk: None, git: Some(url.to_owned()) };
            Sdk::find(&args, &path).map_err(|error| error.to_string())
        };
        assert_eq!(git("https://x/y"), Ok(Sdk::Git("https://x/y".to_owned())));
        assert!(git("").is_err() && git("--upload-pack=x").is_err() && git("a\nb").is_err());
    }

    #[test]
    fn ignores_a_folder_around_that_everyone_can_write_to() {
        use std::os::unix::fs::PermissionsExt;

        let (_root, path) = checkout();
        let (bundle, sdk) = (path.join("jackfield/a"), path.join("jackfield/plugin-sdk"));
        assert_eq!(checkout_around(&bundle), Some(sdk.clone()));
        fs::set_permissions(&sdk, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(checkout_around(&bundle), None);
    }
}
