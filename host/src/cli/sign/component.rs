//! Signing of components.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use jackfield_config::Plugins;
use jackfield_sandbox::{NoSubscribers, Sandbox};
use jackfield_signing::{SecretKey, Statement};
use jackfield_text::Untrusted;
use serde_json::json;

use super::{Args, SignError, SigningReport, key};
use crate::compiler;
use crate::generation::{BuildContext, DurableHistories, load};
use crate::site::{PluginFile, is_ignored, signature_of};

/// Signs the component, or those of a bundle.
pub(super) fn sign(args: &Args, target: &Path) -> Result<SigningReport, SignError> {
    let components = components(target)?;
    let key = key::open(args)?;
    let number = args.number.unwrap_or_else(seconds);
    let public = key.public();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| SignError::new(error.to_string()))?;
    let within = runtime.enter();
    let context = context()?;
    drop(within);
    let (mut text, mut signed) = (String::new(), Vec::new());
    for path in components {
        let bytes: Arc<[u8]> =
            fs::read(&path).map_err(|error| SignError::at(&path, &error))?.into();
        let file = PluginFile::new(path.display().to_string(), Arc::clone(&bytes));
        let plugin = runtime.block_on(load(&file, &context));
        let plugin = plugin.map_err(|problem| SignError::new(problem.to_string()))?;
        let manifest = plugin.manifest();
        let statement = Statement {
            plugin: manifest.name.clone(),
            version: Some(manifest.version.clone()).filter(|version| !version.is_empty()),
            number: Some(number),
            digest: Some(file.hash.hex().to_string()),
        };
        let signature = PathBuf::from(signature_of(&file.path));
        write(&key, &file, &statement, &signature)?;
        let (name, version) = (Untrusted::new(&manifest.name), Untrusted::new(&manifest.version));
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "{}: plugin {name} {version}, number {number}, key {} ({public})",
            Untrusted::new(signature.display()),
            key.number()
        );
        signed.push(json!({
            "component": file.path,
            "signature": signature.display().to_string(),
            "sha256": file.hash.hex().to_string(),
            "plugin": manifest.name,
            "version": manifest.version,
            "number": number,
            "key": public,
        }));
    }
    Ok(SigningReport { text, json: json!({ "signed": signed }) })
}

fn context() -> Result<BuildContext, SignError> {
    let plugins = Plugins::default();
    let sandbox = Sandbox::new(compiler::sandbox_settings(&plugins));
    let sandbox = sandbox.map_err(|error| SignError::new(format!("failed to {error}")))?;
    Ok(BuildContext {
        sandbox,
        access: arc_swap::ArcSwap::default(),
        plugins: arc_swap::ArcSwap::from_pointee(plugins),
        audience: Arc::new(NoSubscribers),
        highest: None,
        durable: DurableHistories::Possible,
    })
}

/// The component, or those of a bundle in order, without those in its folders.
fn components(target: &Path) -> Result<Vec<PathBuf>, SignError> {
    if !target.is_dir() {
        return Ok(vec![target.to_owned()]);
    }
    let entries = fs::read_dir(target).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| SignError::at(target, &error))?;
    let is_component = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !is_ignored(&name) && path.extension().is_some_and(|it| it == "wasm")
    };
    let mut found: Vec<PathBuf> =
        entries.iter().map(fs::DirEntry::path).filter(is_component).collect();
    if found.is_empty() {
        let message = format!("{} has no component (.wasm)", Untrusted::new(target.display()));
        return Err(SignError::with_help(
            message,
            "name the component, or its bundle; `jackfield build` makes the component of a bundle",
        ));
    }
    found.sort();
    Ok(found)
}

/// Signs the bytes in memory, and puts the signature into place as a whole.
fn write(
    key: &SecretKey,
    file: &PluginFile,
    statement: &Statement,
    signature: &Path,
) -> Result<(), SignError> {
    let text = key.sign(&file.bytes, statement);
    let name = signature.file_name().unwrap_or_default().to_string_lossy();
    // Hidden, so that no server reads it.
    let beside = signature.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, signature));
    written.map_err(|error| {
        // It may not exist.
        let _removed = fs::remove_file(&beside);
        SignError::at(signature, &error)
    })
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_secs())
}
