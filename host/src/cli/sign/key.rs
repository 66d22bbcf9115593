//! Keys of `jackfield sign`: a new pair, and the secret key of a file with its password.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jackfield_signing::{KeyPair, SecretKey, SecretKeyError};
use jackfield_text::Untrusted;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Args, SignError, SigningReport};

/// Access for the user alone.
const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;
/// The maximum size of a key file and of a file with a password.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// The ending of the name of a public key.
const PUBLIC_EXTENSION: &str = "pub";
const PASSWORD_HELP: &str = "write it into a file, and name the file with --password-file";

/// Makes a key pair.
pub(super) fn make(args: &Args) -> Result<SigningReport, SignError> {
    let (secret, public) = (args.key.clone(), args.key.with_extension(PUBLIC_EXTENSION));
    if secret == public {
        let message = format!("{} is the name of a public key", Untrusted::new(secret.display()));
        return Err(SignError::with_help(
            message,
            "name the file of the secret key, such as acme.key",
        ));
    }
    // Before the password is asked for.
    for path in [&secret, &public] {
        if path.symlink_metadata().is_ok() {
            return Err(SignError::with_help(
                format!("{} exists already", Untrusted::new(path.display())),
                "name another file; a key that is lost cannot be made again",
            ));
        }
    }
    let password = match &args.password_file {
        _ if args.no_password => None,
        Some(path) => Some(read_password(path)?),
        None => Some(ask_twice()?),
    };
    let made = SecretKey::generate(password.as_ref().map(|it| it.as_str()));
    let KeyPair { secret: secret_text, public: public_text, key } =
        made.map_err(|error| SignError::new(error.to_string()))?;
    create(&secret, &secret_text, PRIVATE)?;
    if let Err(error) = create(&public, &public_text, PUBLIC) {
        // A pair is there whole or not at all.
        let _removed = fs::remove_file(&secret);
        return Err(error);
    }
    let (secret, public) = (secret.display().to_string(), public.display().to_string());
    Ok(SigningReport {
        text: format!(
            "{}: the secret key; keep it out of the site and of version control\n\
             {}: the public key, for jackfield.yml of the server:\n\nplugins:\n  verify: [{key}]\n",
            Untrusted::new(&secret),
            Untrusted::new(&public),
        ),
        json: json!({ "secret_key": secret, "public_key": public, "key": key }),
    })
}

/// Opens the secret key.
pub(super) fn open(args: &Args) -> Result<SecretKey, SignError> {
    let failed = |error: SecretKeyError| SignError::at(&args.key, &error);
    let file = read(&args.key).map_err(|error| {
        SignError::with_help(
            format!("failed to read the secret key: {}", error.message),
            "name its file with --key; `jackfield sign --new-key --key FILE` makes a key",
        )
    })?;
    if !SecretKey::is_encrypted(&file).map_err(failed)? {
        return SecretKey::open(&file, None).map_err(failed);
    }
    let password = match &args.password_file {
        Some(path) => read_password(path)?,
        None => ask(&format!("password of {}: ", Untrusted::new(args.key.display())))?,
    };
    SecretKey::open(&file, Some(&password)).map_err(failed)
}

fn ask_twice() -> Result<Zeroizing<String>, SignError> {
    let password = ask("password of the new key: ")?;
    if *ask("the same again: ")? != *password {
        return Err(SignError::new("the two passwords differ"));
    }
    if password.is_empty() {
        return Err(SignError::with_help(
            "the password is empty",
            "--no-password makes a key without one",
        ));
    }
    Ok(password)
}

fn ask(prompt: &str) -> Result<Zeroizing<String>, SignError> {
    let typed = rpassword::prompt_password(prompt).map(Zeroizing::new);
    typed.map_err(|error| {
        let message = format!("the password cannot be asked for on the terminal: {error}");
        SignError::with_help(message, PASSWORD_HELP)
    })
}

/// The first line of a file.
fn read_password(path: &Path) -> Result<Zeroizing<String>, SignError> {
    let text = read(path)?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(SignError::at(path, &"the password, its first line, is empty"));
    }
    Ok(Zeroizing::new(line.to_owned()))
}

fn read(path: &Path) -> Result<Zeroizing<String>, SignError> {
    let mut text = Zeroizing::new(String::new());
    let read =
        File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| SignError::at(path, &error))
}

/// Creates a file, which is not there yet.
fn create(path: &PathBuf, text: &str, mode: u32) -> Result<(), SignError> {
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(mode).open(path);
    let mut file = opened.map_err(|error| SignError::at(path, &error))?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| {
        // A part of a key is none.
        let _gone = fs::remove_file(path);
        SignError::at(path, &error)
    })
}
