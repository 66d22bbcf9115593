//! Files of a site, behind a trait: this crate does no I/O. Paths are texts with `/` as separator.

/// File system access for imports and schemas, implemented by the host.
pub trait Files {
    /// Returns the text of a file. An error completes "cannot read it: ".
    fn read(&self, path: &str) -> Result<String, String>;
    /// Returns the files that match a pattern (`*`, `?`, `[a-z]`, `{a,b}`), sorted. An error
    /// completes "cannot list them: ".
    fn glob(&self, pattern: &str) -> Result<Vec<String>, String>;
}

/// [`Files`] without any file, for routing files that import nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str) -> Result<String, String> {
        Err("there are no files to import here".to_owned())
    }

    fn glob(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
}

/// Normalizes a path: removes `.`, `..` and doubled slashes, as far as possible without a file
/// system.
pub(crate) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if path.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

/// Returns the path of a file that another one names.
pub(crate) fn relative_to(importer: &str, resource: &str) -> String {
    if resource.starts_with('/') {
        return normal(resource);
    }
    let folder = importer.rsplit_once('/').map_or("", |(folder, _)| folder);
    let folder_or_root = if folder.is_empty() && importer.starts_with('/') { "/" } else { folder };
    match folder_or_root {
        "" => normal(resource),
        folder => normal(&format!("{folder}/{resource}")),
    }
}
