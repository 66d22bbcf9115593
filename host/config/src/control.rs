//! The control socket's setting, and the places of the socket without one.
//!
//! The server takes the first usable place; the commands `status` and `reload` look at all of them.
//! The name of the socket is made of the path of the site, so that one machine can serve several.

use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use jackfield_text::Untrusted;
use jackfield_yaml::ValueError;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use sha2::{Digest, Sha256};

use super::place::Place;

/// The maximum size of the path of a Unix socket.
const MAX_SOCKET_BYTES: usize = 107;

/// The control channel of a running server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// The place of the socket.
    pub socket: ControlSocket,
}

/// The place of the control socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ControlSocket {
    /// A private folder of the server's user.
    #[default]
    Default,
    /// This path.
    At(PathBuf),
    /// There is no control channel.
    Off,
}

/// A place of the control socket that no setting names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPlace {
    /// The socket.
    pub path: PathBuf,
    /// Whether the server makes the folder of the socket, private to its user.
    pub makes_folder: bool,
}

/// A socket that a server of a site may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketCandidate {
    /// The socket.
    pub path: PathBuf,
    /// The user of the server. None if only root and the user of this process can make the folder.
    /// Other users can make folders in `/tmp`, and a socket that imitates a server.
    pub owner: Option<u32>,
}

/// The environment that decides the default places.
#[derive(Clone, Copy, Debug)]
pub struct SocketEnvironment<'a> {
    /// `RUNTIME_DIRECTORY`, which systemd sets for a service.
    pub runtime_directory: Option<&'a str>,
    /// `XDG_RUNTIME_DIR`, which a login sets.
    pub xdg_runtime_dir: Option<&'a str>,
    /// The user of this process.
    pub uid: u32,
}

/// The folder of a service that systemd starts with `RuntimeDirectory=jackfield`.
const SERVICE_FOLDER: &str = "/run/jackfield";

/// Bytes of the digest in the name of a socket: enough to tell the sites of a machine apart.
const MAX_NAME_BYTES: usize = 8;

impl ControlSocket {
    /// The places in which a server of this site makes its socket, the best first.
    pub fn places(site: &Path, environment: &SocketEnvironment<'_>) -> Vec<SocketPlace> {
        let name = name(&key(site));
        let place =
            |folder: PathBuf, makes_folder| SocketPlace { path: folder.join(&name), makes_folder };
        let SocketEnvironment { runtime_directory, xdg_runtime_dir, uid } = environment;
        let of_service = runtime_directory.and_then(|it| it.split(':').next());
        let [of_service, of_login] =
            [of_service, *xdg_runtime_dir].map(|it| it.filter(|folder| folder.starts_with('/')));
        let mut places: Vec<SocketPlace> =
            of_service.map(|folder| place(folder.into(), false)).into_iter().collect();
        places.extend(of_login.map(|folder| place(Path::new(folder).join("jackfield"), true)));
        places.push(place(temporary(*uid), true));
        places
    }

    /// The paths at which a server of this site may have its socket, if it was started by this user, as
    /// a service, or by the `owner` of the site.
    pub fn candidates(
        site: &Path,
        environment: &SocketEnvironment<'_>,
        owner: Option<u32>,
    ) -> Vec<SocketCandidate> {
        let mut keys = vec![key(site)];
        keys.extend(site.canonicalize());
        let own = Self::places(site, environment).into_iter().map(|place| place.path);
        let mut folders: Vec<(PathBuf, Option<u32>)> = own
            .filter_map(|path| path.parent().map(|folder| (folder.to_owned(), None)))
            .filter(|(folder, _)| *folder != temporary(environment.uid))
            .collect();
        for uid in [Some(environment.uid), owner].into_iter().flatten() {
            folders.push((format!("/run/user/{uid}/jackfield").into(), Some(uid)));
            folders.push((temporary(uid), Some(uid)));
        }
        folders.push((SERVICE_FOLDER.into(), None));
        let mut candidates: Vec<SocketCandidate> = Vec::new();
        // The site as it was named comes first, wherever its socket is.
        for key in &keys {
            for (folder, owner) in &folders {
                let path = folder.join(name(key));
                if candidates.iter().all(|other| other.path != path) {
                    candidates.push(SocketCandidate { path, owner: *owner });
                }
            }
        }
        candidates
    }
}

fn temporary(uid: u32) -> PathBuf {
    format!("/tmp/jackfield-{uid}").into()
}

/// The path that stands for a site: absolute, with its links as they were named. A site is often a
/// link to its present release, and the next release is the same site.
fn key(site: &Path) -> PathBuf {
    let absolute = std::path::absolute(site).unwrap_or_else(|_| site.to_owned());
    let is_plain = absolute.components().all(|part| part != Component::ParentDir);
    if is_plain { absolute } else { absolute.canonicalize().unwrap_or(absolute) }
}

fn name(key: &Path) -> String {
    digest(key) + ".sock"
}

/// The digest that stands for a site in the names of its socket and its folders.
pub(super) fn site_digest(site: &Path) -> String {
    digest(&key(site))
}

fn digest(key: &Path) -> String {
    let digest = Sha256::digest(key.as_os_str().as_encoded_bytes());
    let mut name = String::new();
    for byte in digest.iter().take(MAX_NAME_BYTES) {
        // Writing to a string cannot fail.
        let _written = write!(name, "{byte:02x}");
    }
    name
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawControl {
    socket: Option<RawSocket>,
}

struct RawSocket(ControlSocket);

impl RawControl {
    pub(super) fn apply(self, control: &mut Control) {
        if let Some(RawSocket(socket)) = self.socket {
            control.socket = socket;
        }
    }
}

impl<'de> Deserialize<'de> for RawSocket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(match Place::read(&text, "socket").map_err(D::Error::custom)? {
            Place::Auto => ControlSocket::Default,
            Place::Off => ControlSocket::Off,
            Place::At(path) => ControlSocket::At(path),
        }))
    }
}

/// Returns the error of a path that no Unix socket can have.
pub(super) fn socket_error(key: &str, path: &Path) -> Option<ValueError> {
    let shown = Untrusted::new(path.display()).at_most(MAX_SOCKET_BYTES).to_string();
    let bytes = path.as_os_str().len();
    let reason = if bytes > MAX_SOCKET_BYTES {
        format!("it has {bytes} bytes, and the maximum is {MAX_SOCKET_BYTES}")
    } else if path.display().to_string().chars().any(char::is_control) {
        "it has control characters".to_owned()
    } else {
        return None;
    };
    let message = format!("no Unix socket can have the path `{shown}`: {reason}");
    Some(ValueError::at(key, message, "write a shorter path of printable characters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_path_and_two_words() {
        let read = |text: &str| {
            let config = crate::Settings::of(text, &[]).result();
            config.map(|config| config.control.socket)
        };
        assert_eq!(read("control: { socket: off }"), Ok(ControlSocket::Off));
        assert_eq!(read("control: { socket: auto }"), Ok(ControlSocket::Default));
        assert_eq!(read("control: { socket: /a }"), Ok(ControlSocket::At("/a".into())));
        assert_eq!(read("control: { socket: ./off }"), Ok(ControlSocket::At("./off".into())));
        for wrong in ["''", "true", "false", "on", "Off", "none", "a.sock"] {
            let error = read(&format!("control: {{ socket: {wrong} }}")).unwrap_err();
            assert!(error.starts_with("j.yml:1:20: error: `"), "{error}");
            assert!(error.contains("= help: write a path with a `/`, `auto` or `off`"), "{error}");
        }
    }

    const LOGIN: SocketEnvironment<'static> =
        SocketEnvironment { runtime_directory: None, xdg_runtime_dir: Some("/run/user/7"), uid: 7 };

    fn folders(environment: &SocketEnvironment<'_>) -> Vec<String> {
        let places = ControlSocket::places(Path::new("/site"), environment);
        places.iter().map(|place| place.path.parent().unwrap().display().to_string()).collect()
    }

    #[test]
    fn prefers_the_folder_of_the_service_to_that_of_the_login() {
        assert_eq!(folders(&LOGIN), ["/run/user/7/jackfield", "/tmp/jackfield-7"]);
        let service = SocketEnvironment { runtime_directory: Some("/run/a:/run/b"), ..LOGIN };
        assert_eq!(folders(&service), ["/run/a", "/run/user/7/jackfield", "/tmp/jackfield-7"]);
        let odd = SocketEnvironment { runtime_directory: Some("a"), xdg_runtime_dir: None, uid: 0 };
        assert_eq!(folders(&odd), ["/tmp/jackfield-0"]);
    }

    #[test]
    fn finds_the_socket_by_any_name_of_the_site() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("releases/1")).unwrap();
        std::os::unix::fs::symlink("releases/1", root.join("current")).unwrap();
        let found = |served: &str, asked: &str| {
            let places = ControlSocket::places(&root.join(served), &LOGIN);
            let candidates = ControlSocket::candidates(&root.join(asked), &LOGIN, None);
            candidates.iter().any(|it| it.path == places[0].path)
        };
        assert!(found("current", "current"));
        assert!(found("current", "current/."));
        assert!(found("releases/1", "current"));
        assert!(found("releases/../releases/1", "releases/1"));
        assert!(!found("releases/1", "releases"));
        // The next release is the same site.
        let before = ControlSocket::places(&root.join("current"), &LOGIN);
        std::fs::remove_file(root.join("current")).unwrap();
        std::os::unix::fs::symlink("releases", root.join("current")).unwrap();
        assert_eq!(before, ControlSocket::places(&root.join("current"), &LOGIN));
    }

    #[test]
    fn looks_where_another_user_or_a_service_has_it() {
        let candidates = ControlSocket::candidates(Path::new("/site"), &LOGIN, Some(33));
        let expect = [
            ("/run/user/7/jackfield", None),
            ("/tmp/jackfield-7", Some(7)),
            ("/run/user/33/jackfield", Some(33)),
            ("/tmp/jackfield-33", Some(33)),
            ("/run/jackfield", None),
        ];
        let found = candidates.iter().map(|it| (it.path.parent().unwrap(), it.owner));
        let expect = expect.map(|(folder, owner)| (Path::new(folder), owner));
        assert_eq!(found.collect::<Vec<_>>(), expect);
    }

    #[test]
    fn looks_for_the_named_site_before_its_target() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("1")).unwrap();
        let link = folder.path().join("current");
        std::os::unix::fs::symlink("1", &link).unwrap();
        let candidates = ControlSocket::candidates(&link, &LOGIN, None);
        let named = candidates.iter().take_while(|it| it.path.ends_with(name(&key(&link))));
        assert_eq!((named.count(), candidates.len()), (3, 6));
    }
}
