//! The settings for a site as they were found: what holds, what is wrong with it, and where each
//! was written.

use std::path::PathBuf;

use jackfield_yaml::{Diagnosis, Kind, Message, Origin, Reader, Step, Value, ValueError};

use super::Config;
use super::overrides::Override;
use super::redact::Redactor;
use super::references::unexpanded;
use super::schema::Written;

/// Keys that were renamed before the first release: the old one, and the new one.
const RENAMED: [(&str, &str); 1] = [("entrance", "access")];

/// The settings for a site.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What holds. Where there are mistakes, what is not touched by them.
    pub config: Config,
    /// What is wrong, with its place.
    pub problems: Vec<Diagnosis>,
    /// What is merely odd.
    pub warnings: Vec<Diagnosis>,
    /// The file that would have been read, were it there.
    pub missing: Option<PathBuf>,
    pub(super) document: Redactor,
    pub(super) tree: Value,
}

impl Settings {
    /// Takes in what a file says, and what is set elsewhere; `config` is what holds otherwise.
    pub(super) fn read(document: Redactor, overrides: &[&Override], mut config: Config) -> Self {
        let (root, syntax) = jackfield_yaml::document(&document.path, &document.text);
        let mut problems: Vec<_> = syntax.into_iter().map(|it| document.syntax(it)).collect();
        let root = root.map(Value::of_file);
        let mut tree = root.unwrap_or_else(|| Value::empty_map(Origin::File(0..0)));
        if let Kind::Null = tree.kind {
            // Everything in it is commented out.
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

    /// Adds an error, at the innermost of its keys that is written somewhere.
    pub(super) fn complain(&mut self, error: ValueError) {
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

/// What can be read, and what cannot: each mistake is taken out, and what is left is read again.
fn tolerant(tree: &Value) -> (Written, Vec<ValueError>) {
    let mut tree = tree.clone();
    let mut wrongs: Vec<ValueError> = unexpanded(&tree);
    // From the end, so that the elements of lists keep their numbers.
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
            && let Some((old, new)) = RENAMED.iter().find(|(old, _)| old == key)
        {
            wrong.message = Message::Plain(format!("the key `{old}` is named `{new}` now"));
            wrong.help = Some(format!("write `{new}`"));
        }
        let ended = !tree.prune(&wrong.path.0);
        // What lacks something because that was taken out is not wrong itself.
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
    /// Of a file `j.yml`, and of what is typed.
    #[track_caller]
    pub(super) fn of(file: &str, set: &[&str]) -> Self {
        let document = Redactor { path: "j.yml".to_owned(), text: file.to_owned() };
        let set: Vec<Override> = set.iter().map(|text| text.parse().unwrap()).collect();
        Self::read(document, &set.iter().collect::<Vec<_>>(), Config::default())
    }

    /// The same, in order or with everything that is wrong.
    pub(super) fn judged(file: &str, set: &[&str]) -> Result<Config, String> {
        let mut settings = Self::of(file, set);
        settings.settle(std::path::Path::new(""));
        settings.result()
    }

    pub(super) fn result(self) -> Result<Config, String> {
        let problems: Vec<_> = self.problems.iter().map(ToString::to_string).collect();
        if problems.is_empty() { Ok(self.config) } else { Err(problems.join("\n")) }
    }
}
