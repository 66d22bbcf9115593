//! Look-up of plugins in service by the names that requests have.

use jackfield_text::Untrusted;

use super::MAX_SHOWN_BYTES;
use super::problem::Problem;
use crate::generation::{Generation, PluginEntry};
use crate::versions::entry;

/// The plugin in service of this name.
///
/// # Errors
/// 404, with the name that is probably meant.
pub(super) fn find_plugin<'g>(
    generation: &'g Generation,
    name: &str,
) -> Result<&'g PluginEntry, Problem> {
    match entry(generation, name) {
        Ok(entry) => Ok(entry),
        Err(error) if name.len() <= MAX_SHOWN_BYTES => Err(Problem::unknown(error.to_string())),
        Err(_) => {
            let name = Untrusted::new(name).at_most(MAX_SHOWN_BYTES);
            Err(Problem::unknown(format!("no plugin `{name}` is in service")))
        }
    }
}
