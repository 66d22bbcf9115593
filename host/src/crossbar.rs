//! Conversion of a configuration of Crossbar.io into settings and principals.
//!
//! Each part takes the keys that it understands out of the configuration. A key that is left at the end
//! is reported, so that nothing is lost in silence. A doubt is resolved by fewer rights.
//! - [`permissions`]: roles with their permissions become `rules`.
//! - [`authentication`]: static credentials become principals.
//! - [`transports`]: endpoints become listeners.
//! - [`section`]: an object of the configuration with its place.
//! - [`yaml`]: text in files.

mod authentication;
mod permissions;
mod section;
mod transports;
mod yaml;

use std::path::Path;

use serde_json::Value;

use authentication::Principals;
use permissions::RealmRoles;
use section::Section;
use transports::Transports;
use yaml::list;

/// The file of principals beside the settings.
pub(crate) const PRINCIPALS_FILE: &str = "principals.yml";

/// The result of a conversion.
#[derive(Debug, Default)]
pub(crate) struct Conversion {
    /// The text of `jackfield.yml`.
    pub(crate) settings: String,
    /// The text of `principals.yml`, if there are static credentials.
    pub(crate) principals: Option<String>,
    pub(crate) counts: Counts,
    /// Parts that the files do not have, in the order of the configuration.
    pub(crate) notes: Vec<Note>,
}

/// The parts of the settings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) realms: usize,
    pub(crate) rules: usize,
    pub(crate) principals: usize,
    pub(crate) listeners: usize,
}

/// A part of the configuration that was not carried over, or not as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// The place, such as `workers[0].realms[1]`.
    pub(crate) place: String,
    /// The reason, and a substitute if there is one.
    pub(crate) message: String,
}

/// Converts a configuration. `folder` is its folder, to which paths in it are relative.
///
/// # Errors
/// For a document that is no configuration of a node with a router, or that has no listener that can be
/// converted. The notes have the reasons.
pub(crate) fn convert(
    configuration: Value,
    folder: &Path,
) -> Result<Conversion, (&'static str, Vec<Note>)> {
    let mut notes = Vec::new();
    let Some(mut node) = Section::root(configuration) else {
        return Err(("a configuration of Crossbar is a map with `workers`", notes));
    };
    node.ignore(&["version", "$schema", "controller"]);
    let (mut realms, mut transports) = (Vec::<RealmRoles>::new(), Transports::new(folder));
    let mut principals = Principals::default();
    for mut worker in node.list("workers", &mut notes) {
        let kind = worker.text("type", &mut notes);
        if kind.as_deref() != Some("router") {
            let kind = kind.unwrap_or_else(|| "without a type".to_owned());
            let message =
                format!("a worker of the type {kind}: start its programs by a service manager");
            worker.note(&message, &mut notes);
            continue;
        }
        worker.ignore(&["id", "options"]);
        for realm in worker.list("realms", &mut notes) {
            let place = realm.place().to_owned();
            let Some(realm) = RealmRoles::read(realm, &mut notes) else { continue };
            if realms.iter().any(|it| it.name == realm.name) {
                let message =
                    "a realm of this name comes earlier, and this one is left out".to_owned();
                notes.push(Note { place, message });
            } else {
                realms.push(realm);
            }
        }
        for transport in worker.list("transports", &mut notes) {
            transports.read(transport, &mut principals, &mut notes);
        }
        if let Some(components) = worker.take("components") {
            let message = "start components as programs of their own, or write them as plugins";
            components.note(message, &mut notes);
        }
        worker.finish(&mut notes);
    }
    node.finish(&mut notes);
    if realms.is_empty() {
        return Err(("there is no router with a realm", notes));
    }
    if transports.count() == 0 {
        return Err(("no transport can be converted to a listener", notes));
    }
    let rules = match permissions::rules(&realms, principals.grants(), &mut notes) {
        Ok(rules) => rules,
        Err(reason) => return Err((reason, notes)),
    };
    let has_principals = principals.count() > 0;
    let counts = Counts {
        realms: realms.len(),
        rules: rules.len(),
        principals: principals.count(),
        listeners: transports.count(),
    };
    let names: Vec<&str> = realms.iter().map(|realm| realm.name.as_str()).collect();
    let mut lines = vec!["# Converted from a configuration of Crossbar.io.".to_owned()];
    lines.push(format!("realms: {}", list(&names)));
    lines.extend(transports.settings(has_principals));
    if has_principals {
        lines.extend([String::new(), format!("auth: {{ principals: {PRINCIPALS_FILE} }}")]);
    }
    lines.push(String::new());
    lines.push("# Topics and procedures: the first rule that matches counts.".to_owned());
    lines.push(if rules.is_empty() { "rules: []" } else { "rules:" }.to_owned());
    lines.extend(rules.iter().map(|rule| format!("  - {rule}")));
    let settings = lines.join("\n") + "\n";
    Ok(Conversion { settings, principals: principals.file(), counts, notes })
}

#[cfg(test)]
mod tests;
