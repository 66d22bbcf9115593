//! `jackfield store …`: reads and writes the stores of plugins of a running server.
//!
//! [`transfer`] has the commands that move whole stores.

mod transfer;

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use hyper::Method;
use jackfield_sandbox::{MAX_VALUE_BYTES, StoreValue};
use jackfield_text::Untrusted;
use jackfield_yaml::NonZeroDuration;
use serde_json::{Value, json};

use super::control::{self, ANSWER_TIME, ControlError, PluginControlArgs};
use super::reload::change;
use super::status::{duration, size};
use super::table::{after, table};
use crate::count::count;

/// The key and value of a query for the copy of a node.
const HERE: (&str, &str) = ("here", "true");
/// The time to wait for a change: the server's.
const CHANGE_TIME: Duration = Duration::from_mins(1);
/// The time to wait for a backup: the server's longest.
const BACKUP_TIME: Duration = Duration::from_mins(10);

/// Command-line arguments of `jackfield store`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// List the keys of a store, with the sizes of their values and their remaining times to live; or
    /// the plugins that have stores, also removed ones.
    List(ListArgs),
    /// Print the value of a key.
    Get(GetArgs),
    /// Write the value of a key.
    Set(SetArgs),
    /// Remove a key, or all.
    Delete(DeleteArgs),
    /// Write a store as lines of JSON, all of one moment.
    Export(transfer::ExportArgs),
    /// Write the lines of an export into a store, all or none.
    Import(transfer::ImportArgs),
    /// Copy the file of all saved stores to a new file on the machine of the server.
    Backup(BackupArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Name of the plugin [default: the plugins are listed].
    #[arg(value_name = "PLUGIN")]
    plugin: Option<String>,
    /// Only keys that begin with this text.
    #[arg(long, value_name = "TEXT", default_value = "", requires = "plugin")]
    prefix: String,
    /// Only keys behind this one.
    #[arg(long, value_name = "KEY", requires = "plugin")]
    after: Option<String>,
    /// Maximum number of keys, up to 10000.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, requires = "plugin")]
    limit: u32,
    /// Read the copy of this node, also if it is not the current one: in a cluster.
    #[arg(long, requires = "plugin")]
    here: bool,
    #[command(flatten)]
    control: PluginControlArgs,
}

#[derive(Debug, clap::Args)]
struct EntryArgs {
    /// Name of the plugin.
    #[arg(value_name = "PLUGIN")]
    plugin: String,
    /// The key.
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    control: PluginControlArgs,
}

#[derive(Debug, clap::Args)]
struct DeleteArgs {
    /// Name of the plugin.
    #[arg(value_name = "PLUGIN")]
    plugin: String,
    /// The key.
    #[arg(value_name = "KEY", required_unless_present = "all", conflicts_with = "all")]
    key: Option<String>,
    /// Remove all keys.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    control: PluginControlArgs,
}

#[derive(Debug, clap::Args)]
struct GetArgs {
    #[command(flatten)]
    entry: EntryArgs,
    /// Print the bytes of the value in Base64.
    #[arg(long, conflicts_with = "file")]
    base64: bool,
    /// Write the bytes of the value to this new file.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Read the copy of this node, also if it is not the current one: in a cluster.
    #[arg(long)]
    here: bool,
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    #[command(flatten)]
    entry: EntryArgs,
    /// The value, a text.
    #[arg(value_name = "VALUE", required_unless_present = "file", conflicts_with = "file")]
    value: Option<String>,
    /// VALUE is in Base64.
    #[arg(long, requires = "value")]
    base64: bool,
    /// Read the bytes of the value from this file, or from standard input (`-`).
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Time to live, such as 30s or 2h [default: none, the entry stays].
    #[arg(long, value_name = "DURATION")]
    ttl: Option<NonZeroDuration>,
}

#[derive(Debug, clap::Args)]
struct BackupArgs {
    /// The new file. The server writes it, as its own user.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    control: PluginControlArgs,
}

/// Runs the command.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> ExitCode {
    control::run(async {
        match &args.command {
            StoreCommand::List(args) => list(args, out).await,
            StoreCommand::Get(args) => get(args, out).await,
            StoreCommand::Set(args) => set(args, out).await,
            StoreCommand::Delete(args) => delete(args, out).await,
            StoreCommand::Export(args) => transfer::export(args, out).await,
            StoreCommand::Import(args) => transfer::import(args, out).await,
            StoreCommand::Backup(args) => back_up(args, out).await,
        }
    })
}

/// A path of the API with a query.
fn path(name: &str, pairs: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("/v1/store/{name}?{query}")
}

async fn list(args: &ListArgs, out: &mut dyn Write) -> Result<ExitCode, ControlError> {
    let server = args.control.find().await?;
    let Some(plugin) = &args.plugin else {
        let path = path("plugins", &[]);
        return control::print_page(&server, &path, args.control.json(), plugins, out).await;
    };
    let limit = args.limit.to_string();
    let mut pairs = vec![("plugin", &**plugin), ("prefix", &args.prefix), ("limit", &limit)];
    pairs.extend(args.after.as_deref().map(|key| ("after", key)));
    pairs.extend(args.here.then_some(HERE));
    control::print_page(&server, &path("list", &pairs), args.control.json(), page, out).await
}

/// The plugins that have stores.
fn plugins(body: &Value) -> String {
    let rows = body["plugins"].as_array().into_iter().flatten().map(|entry| {
        let name = Untrusted::new(entry["plugin"].as_str().unwrap_or_default()).to_string();
        [name, if entry["in_service"] == true { "in service" } else { "removed" }.to_owned()]
    });
    let page = table(["PLUGIN", ""], rows.collect());
    if page.is_empty() { "no plugin has stored anything\n".to_owned() } else { page }
}

fn page(body: &Value) -> String {
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let entries = body["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows = entries.iter().map(|entry| {
        let key = Untrusted::new(entry["key"].as_str().unwrap_or_default()).to_string();
        let left = entry["ttl_seconds"].as_f64().map(Duration::from_secs_f64);
        let left = left.map_or_else(String::new, |left| duration(left.as_secs()));
        [key, number(&entry["bytes"]).to_string(), left]
    });
    let mut page = table(["KEY", "BYTES", "EXPIRES IN"], rows.collect());
    if !page.is_empty() {
        page.push('\n');
    }
    let (keys, used) = (count(number(&body["entry_count"]), "key"), size(number(&body["bytes"])));
    let quota = size(number(&body["quota"]));
    // Writing to a string cannot fail.
    let _written = writeln!(
        page,
        "{}{}: {keys}, {used} of {quota}, {}, schema {}",
        text("plugin"),
        if body["in_service"] == false { " (removed)" } else { "" },
        text("state"),
        body["schema"]
    );
    if body["has_more"] == true
        && let Some(last) = entries.last()
    {
        let next = after(last["key"].as_str().unwrap_or_default());
        let _written = writeln!(page, "there are more: continue with {next}");
    }
    page
}

async fn get(args: &GetArgs, out: &mut dyn Write) -> Result<ExitCode, ControlError> {
    let GetArgs { entry: EntryArgs { plugin, key, control }, base64, file, here } = args;
    let server = control.find().await?;
    let mut pairs = vec![("plugin", plugin.as_str()), ("key", key)];
    pairs.extend(here.then_some(HERE));
    let path = path("get", &pairs);
    let answer = server.ask(Method::GET, &path, None, ANSWER_TIME).await?;
    if control.json() && file.is_none() {
        control::written(answer.print(out))?;
        answer.accepted()?;
        return Ok(ExitCode::SUCCESS);
    }
    let answer = answer.accepted()?;
    let body = &answer.body;
    let value = &body["value"];
    let value: StoreValue = serde_json::from_value(value.clone())
        .map_err(|error| ControlError::Refused(format!("the server's answer: {error}")))?;
    if let Some(file) = file {
        let mut target = transfer::create(file)?;
        target.write_all(&value.0).map_err(|error| transfer::unwritten(file, &error))?;
        if control.json() {
            control::written(answer.print(out))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let text = match str::from_utf8(&value.0) {
        _ if *base64 => value.base64(),
        Ok(text) => text.to_owned(),
        Err(_) => {
            return Err(ControlError::Refused(
                "the value is not a text\n  = help: use --base64, or --file FILE".to_owned(),
            ));
        }
    };
    control::written(writeln!(out, "{text}"))?;
    Ok(ExitCode::SUCCESS)
}

async fn set(args: &SetArgs, out: &mut dyn Write) -> Result<ExitCode, ControlError> {
    let SetArgs { entry: EntryArgs { plugin, key, control }, value, base64, file, ttl } = args;
    let value = match (value, file) {
        (_, Some(file)) => json!(StoreValue(read(file)?)),
        (Some(value), None) if *base64 => json!({ "base64": value }),
        (value, None) => json!(value),
    };
    let ttl = ttl.map(|ttl| ttl.get().as_secs_f64());
    let body = json!({ "plugin": plugin, "key": key, "value": value, "ttl_seconds": ttl });
    let show = |body: &Value| {
        let saved = match body["state"].as_str() {
            Some("memory") => "it is in memory: the end of the server removes it",
            Some("synced") => "it is saved, and survives a power cut",
            _ => "it is saved",
        };
        format!("written, {} bytes; {saved}", body["bytes"])
    };
    send(control, "set", &body, CHANGE_TIME, show, out).await
}

async fn delete(args: &DeleteArgs, out: &mut dyn Write) -> Result<ExitCode, ControlError> {
    let DeleteArgs { plugin, key, all, control } = args;
    let show = |body: &Value| match body["result"] == "unchanged" {
        _ if *all => {
            format!("{} removed", count(body["removed"].as_u64().unwrap_or_default(), "key"))
        }
        true => "there is no such key".to_owned(),
        false => "removed".to_owned(),
    };
    let body = json!({ "plugin": plugin, "key": key, "all": all });
    send(control, "delete", &body, CHANGE_TIME, show, out).await
}

async fn back_up(args: &BackupArgs, out: &mut dyn Write) -> Result<ExitCode, ControlError> {
    // The server has another working directory.
    let file = std::path::absolute(&args.file).unwrap_or_else(|_| args.file.clone());
    let show = |body: &Value| {
        let bytes = size(body["bytes"].as_u64().unwrap_or_default());
        format!("{}: {bytes}", Untrusted::new(file.display()))
    };
    let body = json!({ "file": file, "wait_seconds": BACKUP_TIME.as_secs() });
    send(&args.control, "backup", &body, BACKUP_TIME, show, out).await
}

/// Sends a change, and prints its result.
async fn send(
    control: &PluginControlArgs,
    name: &str,
    body: &Value,
    wait: Duration,
    show: impl FnOnce(&Value) -> String,
    out: &mut dyn Write,
) -> Result<ExitCode, ControlError> {
    let server = control.find().await?;
    let (answer, code) = change(&server, &format!("/v1/store/{name}"), body, wait).await?;
    if control.json() {
        control::written(answer.print(out))?;
        return Ok(code);
    }
    let answer = answer.accepted()?;
    let body = &answer.body;
    let is_running = body["result"] == "running";
    let text = if is_running {
        format!("the server has not ended it within {} s; it goes on", wait.as_secs())
    } else {
        show(body)
    };
    control::written(writeln!(out, "{text}"))?;
    Ok(code)
}

/// Reads a value, of at most the size that a store accepts.
fn read(file: &Path) -> Result<Vec<u8>, ControlError> {
    let limit = u64::try_from(MAX_VALUE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let read = |bytes: &mut Vec<u8>| -> io::Result<usize> {
        if file == Path::new("-") {
            io::stdin().lock().take(limit).read_to_end(bytes)
        } else {
            std::fs::File::open(file)?.take(limit).read_to_end(bytes)
        }
    };
    read(&mut bytes).map_err(|error| transfer::unread(file, &error))?;
    if bytes.len() > MAX_VALUE_BYTES {
        let file = Untrusted::new(file.display());
        let text = format!("{file}: a value has at most {MAX_VALUE_BYTES} bytes");
        return Err(ControlError::Refused(text));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_sizes_and_times() {
        let entries = json!([
            { "key": "a", "bytes": 3, "ttl_seconds": 61.5 },
            { "key": "b\u{1b}", "bytes": 40, "ttl_seconds": null },
        ]);
        let page = page(&json!({
            "plugin": "acme", "state": "written", "schema": 2, "entry_count": 7, "bytes": 1024,
            "quota": 67_108_864, "entries": entries, "has_more": true,
        }));
        let expected = "KEY      BYTES  EXPIRES IN\na        3      1 min 1 s\nb\\u{1b}  40\n\n\
                        acme: 7 keys, 1 KiB of 64 MiB, written, schema 2\n\
                        there are more: continue with --after with the last entry of --json, which has \
                        characters that are not printable\n";
        assert_eq!(page, expected);
    }
}
