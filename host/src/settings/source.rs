//! Source of the settings of a running server: where they were found at the start, and the changes that
//! the command has made to them.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jackfield_config::{Config, FILE_NAME, Opened, Opening, SecretDigests, Settings, Sources};
use jackfield_yaml::Diagnosis;

use super::files::WatchedFile;
use super::open_mode::OpenMode;
use crate::admission::Files;

/// The time without a write after which the file is read.
const REST: Duration = Duration::from_millis(500);
/// The maximum number of waits for that. A file that is written all the time is refused.
const MAX_WAITS: usize = 10;

/// Where the settings come from.
#[derive(Clone, Debug)]
pub(crate) struct SettingsSource {
    sources: Sources,
    site: PathBuf,
    /// The address of `--listen`.
    listen: Option<SocketAddr>,
    /// The open mode of `--open`.
    open: Option<OpenMode>,
    /// Whether signatures are ignored, as `jackfield dev` does.
    accepts_unsigned: bool,
    /// Whether the running settings come from a file with content. Without it, the defaults would
    /// apply, and those have no authentication: a removed file is refused.
    has_content: bool,
    /// The inode of the file that was read last. Another one is a file that was renamed to the place.
    inode: Arc<AtomicU64>,
}

/// Settings that can take effect.
pub(crate) struct OpenedSettings {
    pub(crate) config: Config,
    pub(crate) opened: Opened,
    /// The state of the files of users and keys before they were opened.
    pub(crate) files: Files,
    pub(crate) digests: SecretDigests,
}

/// The settings on disk, or their problems.
pub(super) struct Reading {
    pub(super) result: Result<OpenedSettings, Vec<String>>,
    /// The files to watch, as they were before they were read.
    pub(super) watched: Vec<WatchedFile>,
    /// Whether they come from a file with content.
    pub(super) has_content: bool,
}

/// The kind of the file of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileKind {
    Missing,
    Empty,
    /// A pipe or a device: its content can be read once.
    Once,
    Other,
}

impl SettingsSource {
    pub(crate) fn new(sources: Sources, site: &Path, listen: Option<SocketAddr>) -> Self {
        let site = site.to_owned();
        let mut source = Self {
            sources,
            site,
            listen,
            open: None,
            accepts_unsigned: false,
            has_content: false,
            inode: Arc::default(),
        };
        source.note_inode();
        source.has_content = matches!(source.kind(), FileKind::Other | FileKind::Once);
        source
    }

    /// Opens all topics to clients of this machine, for `--open`.
    pub(crate) fn open_all(self, open: Option<OpenMode>) -> Self {
        Self { open, ..self }
    }

    /// Ignores signatures.
    pub(crate) fn accept_unsigned(&mut self) {
        self.accepts_unsigned = true;
    }

    /// The file of the settings, which may not exist.
    fn path(&self) -> PathBuf {
        self.sources.file.clone().unwrap_or_else(|| self.site.join(FILE_NAME))
    }

    /// Finds the settings. It blocks.
    pub(crate) fn find(&self) -> Settings {
        let mut settings = Config::find(&self.sources, &self.site);
        let config = &mut settings.config;
        config.listen = self.listen.or(config.listen);
        if let Some(open) = &self.open {
            open.apply(&mut settings);
        }
        let config = &mut settings.config;
        if self.accepts_unsigned {
            config.plugins.verify.clear();
            config.plugins.refuse_downgrades = false;
        }
        settings
    }

    /// The file to watch, before it is read; none if its content can be read once. It blocks.
    pub(crate) fn watched_file(&self) -> Option<WatchedFile> {
        (self.kind() != FileKind::Once).then(|| WatchedFile::now(self.path()))
    }

    /// Reads, validates and opens the settings. It blocks, and needs a runtime.
    pub(super) fn open(&self) -> Reading {
        let rests = self.wait_for_writer();
        let mut watched: Vec<WatchedFile> = self.watched_file().into_iter().collect();
        let refused = |problem: Diagnosis, watched| {
            let result = Err(vec![problem.to_string()]);
            Reading { result, watched, has_content: true }
        };
        if let Some(problem) = self.unusable(self.kind()) {
            return refused(problem, watched);
        }
        let settings = self.find();
        // The file may have been replaced since: the text that was read counts.
        if settings.is_blank()
            && settings.problems.is_empty()
            && let Some(problem) = self.unusable(FileKind::Empty)
        {
            return refused(problem, watched);
        }
        if !rests || watched.iter().any(WatchedFile::has_changed) {
            let problem = self.problem(
                "the file of the settings is being written",
                "it is read again when it rests; to replace it at once, rename another file to it",
            );
            return refused(problem, watched);
        }
        self.note_inode();
        let has_content = !settings.is_blank();
        watched.extend(WatchedFile::of_secrets(&settings.config));
        let files = Files::new(&settings.config.auth);
        let digests = settings.config.secret_digests();
        let Opening { opened, problems, absent, .. } = settings.open();
        let Settings { config, problems: wrongs, .. } = settings;
        let problems = [wrongs, problems, absent].concat();
        let result = match opened {
            Some(opened) if problems.is_empty() => {
                Ok(OpenedSettings { config, opened, files, digests })
            }
            Some(_) | None => {
                // The users or keys, or a certificate, may be what is missing.
                let of_auth = config.auth.files();
                let of_auth = of_auth.iter().map(|(_, path)| (*path).to_owned());
                let of_tls = config.tls_files();
                let of_tls = of_tls.flat_map(|(_, tls)| tls.paths().map(Path::to_owned));
                watched.extend(of_auth.chain(of_tls).map(WatchedFile::now));
                Err(problems.iter().map(ToString::to_string).collect())
            }
        };
        Reading { result, watched, has_content }
    }

    /// Records that settings of a file with content run.
    pub(super) fn accept_content(&mut self) {
        self.has_content = true;
    }

    /// Waits until the file has not been written in place for a moment: a part of it may lack the
    /// authentication. Returns whether it rests. It blocks.
    fn wait_for_writer(&self) -> bool {
        for _ in 0..MAX_WAITS {
            let written = std::fs::metadata(self.path()).and_then(|it| it.modified());
            // A time to come is that of another clock.
            let is_young = written.is_ok_and(|it| it.elapsed().is_ok_and(|age| age < REST));
            if !is_young || self.inode_now() != Some(self.inode.load(Ordering::Relaxed)) {
                return true;
            }
            std::thread::sleep(REST);
        }
        false
    }

    fn inode_now(&self) -> Option<u64> {
        std::fs::metadata(self.path()).ok().map(|it| it.ino())
    }

    fn note_inode(&self) {
        self.inode.store(self.inode_now().unwrap_or_default(), Ordering::Relaxed);
    }

    /// The reason for which a file of this kind is not used.
    fn unusable(&self, kind: FileKind) -> Option<Diagnosis> {
        let (message, help) = match kind {
            FileKind::Other => return None,
            FileKind::Missing | FileKind::Empty if !self.has_content => return None,
            FileKind::Missing => (
                "the file of the settings is gone",
                "put it back; to return to the defaults, write a file with a comment alone",
            ),
            FileKind::Empty => (
                "the file of the settings is empty",
                "write its settings again; to return to the defaults, write a comment alone",
            ),
            FileKind::Once => (
                "the settings come from a pipe or a device, which cannot be read again",
                "name a regular file with --config, or restart the server",
            ),
        };
        Some(self.problem(message, help))
    }

    fn problem(&self, message: &str, help: &str) -> Diagnosis {
        let problem = Diagnosis::without_place(self.path().display().to_string(), message);
        problem.with_help(help)
    }

    fn kind(&self) -> FileKind {
        match std::fs::metadata(self.path()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => FileKind::Missing,
            Ok(metadata) if metadata.is_file() && metadata.len() == 0 => FileKind::Empty,
            Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => FileKind::Once,
            Ok(_) | Err(_) => FileKind::Other,
        }
    }
}
