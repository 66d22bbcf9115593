//! Settings of a site: the valid ones, the errors, and the origin of each value.

use std::path::PathBuf;

use jackfield_yaml::{Diagnosis, Kind, Message, Origin, Reader, Step, Value, ValueError};

use super::Config;
use super::overrides::Override;
use super::redact::Redactor;
use super::references::unexpanded;
use super::schema::Written;

/// Keys renamed before the first release: the old one, the new one, and how to write it.
const RENAMED: [(&str, &str, &str); 2] = [
    ("entrance", "access", "access"),
    ("shutdown_grace", "shutdown.grace", "shutdown: { grace: … }"),
];

/// Settings of a site.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The valid settings; invalid ones are ignored.
    pub config: Config,
    /// The errors, with their places.
    pub problems: Vec<Diagnosis>,
    /// The warnings.
    pub warnings: Vec<Diagnosis>,
    /// The site's own file, if it does not exist.
    pub missing: Option<PathBuf>,
    pub(super) document: Redactor,
    pub(super) tree: Value,
}

impl Settings {
    /// Returns whether there was no file, or an empty one.
    pub fn is_blank(&self) -> bool {
        self.document.text.is_empty()
    }

    /// Reads a file and its overrides; `config` has the values of omitted keys.
    pub(super) fn read(document: Redactor, overrides: &[&Override], mut config: Config) -> Self {
        let (root, syntax) = jackfield_yaml::document(&document.path, &document.text);
        let mut problems: Vec<_> = syntax.into_iter().map(|it| document.syntax(it)).collect();
        let root = root.map(Value::of_file);
        let mut tree = root.unwrap_or_else(|| Value::empty_map(Origin::File(0..0)));
        if let Kind::Null = tree.kind {
            // The whole file is commented out.
            tree = Value::empty_map(Origin::File(0..0));
        }
        if matches!(tree.kind, Kind::Map(_)) {
            for setting in overrides {
                setting.apply(&mut tree);
            }
        }
        let (written, wrongs) = tolerant(&tree);
        written.apply(&mut config);
        let mut settings = Self {
            config,
            problems: Vec::new(),
            warnings: Vec::new(),
            missing: None,
            document,
            tree: tree.spread(),
        };
        problems.extend(wrongs.iter().map(|wrong| settings.document.show(wrong)));
        settings.problems = problems;
        settings
    }

    /// Returns a diagnosis whose path is a key, such as `rules.0.uri`, at the place of its value.
    pub fn placed(&self, diagnosis: &Diagnosis) -> Diagnosis {
        let place = self.tree.at(&diagnosis.path).filter(|_| diagnosis.line == 0);
        let Some(value) = place else { return diagnosis.clone() };
        let found = self.document.at(Some(&value.origin), diagnosis.message.clone());
        Diagnosis { help: diagnosis.help.clone(), ..found }
    }

    /// Adds an error, at the innermost of its keys that has a place.
    pub(super) fn report(&mut self, error: ValueError) {
        let diagnosis = self.diagnosis(error);
        self.problems.push(diagnosis);
    }

    pub(super) fn diagnosis(&self, mut error: ValueError) -> Diagnosis {
        let path = error.path.0.iter().map(|step| match step {
            Step::Key(key) => key.clone(),
            Step::Element(at) => at.to_string(),
        });
        let mut keys: Vec<String> = path.collect();
        while !keys.is_empty() && error.origin.is_none() {
            error.origin = self.tree.at(&keys.join(".")).map(|value| value.origin.clone());
            keys.pop();
        }
        self.document.show(&error)
    }
}

/// Returns the readable settings and all errors: each invalid value is removed, and the rest is
/// read again.
fn tolerant(tree: &Value) -> (Written, Vec<ValueError>) {
    let mut tree = tree.clone();
    let mut wrongs: Vec<ValueError> = unexpanded(&tree);
    // From the end, so that indexes in lists stay valid.
    for wrong in wrongs.iter().rev() {
        tree.prune(&wrong.path.0);
    }
    loop {
        let mut wrong: ValueError = match serde::Deserialize::deserialize(Reader(&tree)) {
            Ok(written) => return (written, wrongs),
            Err(wrong) => wrong,
        };
        wrong.origin.get_or_insert_with(|| tree.origin.clone());
        if let [Step::Key(key)] = wrong.path.0.as_slice()
            && let Some((old, new, written)) = RENAMED.iter().find(|(old, ..)| old == key)
        {
            wrong.message = Message::Plain(format!("the key `{old}` is named `{new}` now"));
            wrong.help = Some(format!("write `{written}`"));
        }
        let ended = !tree.prune(&wrong.path.0);
        // An error caused by the removal of a value below is not reported.
        if !wrongs.iter().any(|earlier: &ValueError| earlier.path.is_below(&wrong.path)) {
            wrongs.push(wrong);
        }
        if ended {
            return (Written::default(), wrongs);
        }
    }
}

#[cfg(test)]
impl Settings {
    /// Creates the settings of a file `j.yml` and of `--set`.
    #[track_caller]
    pub(super) fn of(file: &str, set: &[&str]) -> Self {
        let document = Redactor { path: "j.yml".to_owned(), text: file.to_owned() };
        let set: Vec<Override> = set.iter().map(|text| text.parse().unwrap()).collect();
        Self::read(document, &set.iter().collect::<Vec<_>>(), Config::default())
    }

    /// Validates them; returns the configuration, or all errors.
    pub(super) fn validated(file: &str, set: &[&str]) -> Result<Config, String> {
        let mut settings = Self::of(file, set);
        settings.settle(std::path::Path::new(""));
        settings.result()
    }

    pub(super) fn result(self) -> Result<Config, String> {
        let problems: Vec<_> = self.problems.iter().map(ToString::to_string).collect();
        if problems.is_empty() { Ok(self.config) } else { Err(problems.join("\n")) }
    }
}
