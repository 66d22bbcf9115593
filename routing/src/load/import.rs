//! Imports: resolves an entry with `resource` to the files that it names.

use super::{Drafts, Loader};
use crate::entry::Import;
use crate::files::{normal, relative_to};
use crate::parameter::parameter;

/// Maximum depth and number of imports: more than any site has, few enough that files which import
/// each other many times over end in an error.
const MAX_DEPTH: usize = 32;
const MAX_ENTRIES: usize = 10_000;
/// Maximum number of file name patterns in a site: each is compared with every file.
const MAX_GLOBS: usize = 1_000;
/// Maximum length of a pattern, in bytes.
const MAX_GLOB_BYTES: usize = 1_000;

/// Supported values of `type`; the last is the name of the predecessor's own loader.
const FORMATS: [&str; 4] = ["yaml", "yml", "glob", "oro_websocket_routing_yaml"];

const RELATIVE: &str = "a path is relative to the folder of the file that imports it, and only \
                        files of the site can be imported";

impl Loader<'_> {
    pub(super) fn import(&mut self, import: &Import, importer: &str, into: &mut Drafts) {
        if let Some((format, place)) = &import.format
            && !FORMATS.contains(&format.as_str())
        {
            let message = format!("imports of type `{format}` are not supported");
            let help =
                "supported are `yaml` and `glob`; write the routes as a YAML file and import that";
            self.problems.push(place.problem(message).with_help(help));
            return;
        }
        let globbed = import.format.as_ref().is_some_and(|(format, _)| format == "glob");
        let resource = relative_to(importer, &import.resource);
        let mut brought = Drafts::default();
        for path in self.resolve(import, &resource, globbed || is_pattern(&resource)) {
            self.imported_file(import, &path, &mut brought);
        }
        self.exclude_is_for_globs(import, globbed || is_pattern(&resource));
        for mut draft in brought.into_drafts() {
            draft.settings.overridden_by(&import.overrides);
            into.put(draft);
        }
    }

    /// Returns the files to read, without the excluded ones.
    fn resolve(&mut self, import: &Import, resource: &str, globbed: bool) -> Vec<String> {
        if !globbed {
            return vec![resource.to_owned()];
        }
        let importer = &import.resource_place.source.path;
        let mut excluded = Vec::new();
        for exclude in &import.exclude {
            let exclude = relative_to(importer, exclude);
            if is_pattern(&exclude) {
                match self.glob(&exclude) {
                    Ok(paths) => excluded.extend(paths.iter().map(|path| normal(path))),
                    Err(error) => self.cannot_list(import, &exclude, &error),
                }
            } else {
                excluded.push(exclude);
            }
        }
        let mut paths = match self.glob(resource) {
            Ok(paths) => paths,
            Err(error) => {
                self.cannot_list(import, resource, &error);
                return Vec::new();
            }
        };
        if paths.is_empty() {
            self.imports_nothing(import, &format!("no file matches `{resource}`"), RELATIVE);
            return paths;
        }
        paths.retain(|path| {
            let path = normal(path);
            // A folder excludes everything in it.
            !excluded.iter().any(|excluded| {
                path.strip_prefix(excluded.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        });
        if paths.is_empty() {
            let why = format!("`exclude` takes out every file that matches `{resource}`");
            self.imports_nothing(import, &why, "exclude less, or remove the import");
        }
        paths
    }

    /// Warns about an import without files, which the predecessors ignore too.
    fn imports_nothing(&mut self, import: &Import, why: &str, help: &str) {
        let message = format!("this imports nothing: {why}");
        self.warnings.push(import.resource_place.problem(message).with_help(help));
    }

    fn glob(&mut self, pattern: &str) -> Result<Vec<String>, String> {
        if pattern.len() > MAX_GLOB_BYTES {
            let length = pattern.len();
            return Err(format!(
                "the pattern is {length} bytes long, at most {MAX_GLOB_BYTES} are read"
            ));
        }
        self.globs += 1;
        if self.globs > MAX_GLOBS {
            return Err(format!("there are more than {MAX_GLOBS} patterns in the site"));
        }
        self.imports.glob(pattern)
    }

    fn imported_file(&mut self, import: &Import, path: &str, into: &mut Drafts) {
        let place = &import.resource_place;
        if !matches!(path.rsplit_once('.'), Some((_, "yml" | "yaml"))) {
            let problem = place.problem(format!("`{path}` is not a YAML file"));
            let help = "import files that end in `.yml` or `.yaml`; PHP and XML definitions are not supported";
            self.problems.push(problem.with_help(help));
            return;
        }
        if self.open.contains(&normal(path)) {
            let problem =
                place.problem(format!("`{path}` imports itself, here or through another file"));
            self.problems.push(problem.with_help("remove one of the imports"));
            return;
        }
        self.imported += 1;
        if self.open.len() > MAX_DEPTH || self.imported > MAX_ENTRIES {
            // Reported once: further imports would cause the same error.
            if !self.too_many {
                self.too_many = true;
                let message =
                    format!("imports nest deeper than {MAX_DEPTH} or are more than {MAX_ENTRIES}");
                let help = "import each file once, from one place";
                self.problems.push(place.problem(message).with_help(help));
            }
            return;
        }
        match self.imports.read(path) {
            Ok(text) => self.file(path, &text, into),
            Err(error) => {
                let problem =
                    place.problem(format!("cannot import `{path}`: cannot read it: {error}"));
                self.problems.push(problem.with_help(where_to_look(&import.resource)));
            }
        }
    }

    fn exclude_is_for_globs(&mut self, import: &Import, globbed: bool) {
        if !globbed && !import.exclude.is_empty() {
            // The predecessors ignore it.
            let warning = import
                .resource_place
                .problem("`exclude` is ignored: `resource` does not name several files");
            self.warnings.push(
                warning.with_help("write a pattern such as `routes/*.yml`, or remove `exclude`"),
            );
        }
    }

    fn cannot_list(&mut self, import: &Import, pattern: &str, error: &str) {
        let message = format!("cannot import `{pattern}`: cannot list them: {error}");
        self.problems.push(
            import.resource_place.problem(message).with_help("check the pattern and the folder"),
        );
    }
}

/// Returns the help for a missing file.
fn where_to_look(resource: &str) -> &'static str {
    if resource.starts_with('@') {
        "names such as `@AcmeBundle` mean something to the application alone: write a path within \
         the site"
    } else if parameter(resource).is_some() {
        "parameters mean something to the application alone: write a path within the site"
    } else {
        RELATIVE
    }
}

fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '[', '{'])
}
