//! Exposure of an installation: secrets that other users can read, a site that they can write, clients
//! without authentication, and an admin listener that other machines can reach. Each is a warning,
//! because a network or a container may protect what is open here.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jackfield_auth::{FileOf, Secret};
use jackfield_config::{AdminPlace, Config, ListenerPlace, ListenerSettings, Settings};
use jackfield_text::Untrusted;

use super::super::validity::validity;
use super::finding::Finding;

/// The bit of a mode that lets all users read.
const OTHERS_READ: u32 = 0o004;
/// The bit of a mode that lets all users write.
const OTHERS_WRITE: u32 = 0o002;
/// The bit of a folder's mode that lets all users reach the files in it.
const OTHERS_SEARCH: u32 = 0o001;

const DAY_SECONDS: i64 = 24 * 60 * 60;
/// The time before the end of a certificate that is worth a warning.
const WARNED_SECONDS: i64 = 14 * DAY_SECONDS;

/// The files with secrets: those that the settings name, the users with their hashes, and the
/// configuration file if it has a secret itself.
pub(super) fn secrets(settings: &Settings) -> Finding {
    const CHECK: &str = "secrets";
    let config = &settings.config;
    let mut files: Vec<PathBuf> = Vec::new();
    for secret in config.secrets() {
        match secret {
            Secret::File(path) => files.push(path.clone()),
            Secret::Value(_) => files.extend(settings.file().map(Path::to_path_buf)),
            // systemd makes credentials readable for the service alone.
            Secret::Env(_) | Secret::Credential(_) => {}
        }
    }
    let tls = config.tls_files();
    files.extend(tls.flat_map(|(_, tls)| &tls.pairs).map(|pair| pair.key.clone()));
    // Keys of tokens are public.
    let auth = config.auth.files().into_iter().filter(|(file, _)| *file != FileOf::Keys);
    files.extend(auth.map(|(_, path)| path.to_path_buf()));
    match files.iter().find_map(|file| open_to_others(file, OTHERS_READ)) {
        Some(open) => Finding::warning(
            CHECK,
            format!("all users of the machine can read the secrets in {open}"),
            "let the server's user alone read it: `chmod 600 FILE`, or use a credential of systemd",
        ),
        None => Finding::good(CHECK, "no file with secrets can be read by all users"),
    }
}

/// The users who decide about routes and plugins.
pub(super) fn writers(settings: &Settings, site: &Path) -> Finding {
    const CHECK: &str = "writers";
    let file = settings.file();
    let mut paths = [Some(site), file].into_iter().flatten();
    if let Some(open) = paths.find_map(|path| open_to_others(path, OTHERS_WRITE)) {
        return Finding::warning(
            CHECK,
            format!("all users of the machine can change {open}"),
            "take the right from them, as it decides about routes and plugins: `chmod o-w PATH`",
        );
    }
    let verifies = !settings.config.plugins.verify.is_empty();
    let is_inside = file.is_some_and(|file| is_below(file, site));
    if verifies && is_inside {
        return Finding::warning(
            CHECK,
            "writers of the site can remove `plugins.verify`, for the next start: it is in the site",
            "keep the configuration file outside of the site, and name it: --config FILE",
        );
    }
    let plugins =
        if verifies { "signed plugins alone are loaded" } else { "signatures are ignored" };
    Finding::good(CHECK, format!("other users cannot change the site; {plugins}"))
}

/// The clients that need no authentication.
pub(super) fn clients(config: &Config) -> Finding {
    const CHECK: &str = "clients";
    let access = &config.access;
    let is_anonymous = access.anonymous.unwrap_or(!config.auth.has_method());
    let is_remote = |it: ListenerSettings| match it.place {
        ListenerPlace::Address(address) => !address.ip().to_canonical().is_loopback(),
        ListenerPlace::Socket { .. } => false,
    };
    let is_public = config.all_listeners().any(is_remote) || !access.proxies.is_empty();
    match (is_anonymous, &access.origins) {
        (false, _) => Finding::good(CHECK, "all clients authenticate"),
        (true, None) if is_public => Finding::warning(
            CHECK,
            "clients need no authentication, and pages of all hosts may connect",
            "set `auth`, or list the hosts of your pages: access: { origins: [shop.example.com] }",
        ),
        (true, None) => Finding::good(CHECK, "clients of this machine need no authentication"),
        (true, Some(_)) => Finding::good(CHECK, "pages of `access.origins` need no authentication"),
    }
}

/// The certificates of listeners: their ends. Damaged files are errors of the settings.
pub(super) fn certificates(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "tls";
    let mut findings = Vec::new();
    for (_, tls) in config.tls_files() {
        let Ok(loaded) = tls.load() else { continue };
        for (pair, certificate) in tls.pairs.iter().zip(&loaded.certificates) {
            let file = Untrusted::new(pair.certificate.display());
            let hosts = certificate.hosts().join(", ");
            let hosts = Untrusted::new(&hosts);
            if let Some((fault, help)) = certificate.fault_as_server() {
                findings.push(Finding::warning(CHECK, format!("{file}: {fault}"), help));
            }
            let left = certificate.seconds_left();
            let message = format!("the certificate in {file}, for {hosts}, {}", validity(left));
            let help = "renew it; the server loads it without a restart";
            findings.push(match left {
                ..=0 => Finding::problem(CHECK, message, help),
                1..WARNED_SECONDS => Finding::warning(CHECK, message, help),
                _ => Finding::good(CHECK, message),
            });
        }
    }
    findings
}

/// The machines that reach the admin listener.
pub(super) fn admin(config: &Config) -> Finding {
    const CHECK: &str = "admin";
    match &config.admin.listen {
        None => Finding::good(CHECK, "the admin listener is off"),
        Some(AdminPlace::Socket(_)) => Finding::good(CHECK, "the admin listener is a Unix socket"),
        Some(AdminPlace::Address(address)) if address.ip().to_canonical().is_loopback() => {
            Finding::good(CHECK, format!("this machine alone reaches {address}"))
        }
        Some(AdminPlace::Address(address)) if config.admin.tls.is_some() => Finding::good(
            CHECK,
            format!("other machines can reach the admin listener at {address}, with TLS"),
        ),
        Some(AdminPlace::Address(address)) => Finding::warning(
            CHECK,
            format!("other machines can reach the admin listener at {address}, without encryption"),
            "add `admin.tls`, or listen on 127.0.0.1: docs/control.md#the-admin-listener",
        ),
    }
}

/// Returns the path and its mode, if the bit is set for all users and they can reach the path.
fn open_to_others(path: &Path, bit: u32) -> Option<String> {
    let path = fs::canonicalize(path).ok()?;
    let has = |path: &Path, bit: u32| fs::metadata(path).is_ok_and(|it| it.mode() & bit != 0);
    let is_open = has(&path, bit) && path.ancestors().skip(1).all(|it| has(it, OTHERS_SEARCH));
    let mode = fs::metadata(&path).ok()?.mode() & 0o7777;
    is_open.then(|| format!("{} (mode {mode:o})", Untrusted::new(path.display())))
}

fn is_below(file: &Path, folder: &Path) -> bool {
    let paths = (fs::canonicalize(file), fs::canonicalize(folder));
    let (Ok(file), Ok(folder)) = paths else { return false };
    file.starts_with(folder)
}
