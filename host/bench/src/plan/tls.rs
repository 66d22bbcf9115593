//! TLS of a `wss://` server: the trusted authorities, and the name that its certificate has to have.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jackfield_tls::{Authorities, ClientConfig};
use tokio_rustls::rustls::pki_types::ServerName;

use super::Target;

/// The variable with the file of authorities, as for the other commands that connect.
const VARIABLE: &str = "JACKFIELD_CA";

/// TLS of the connections of a run.
#[derive(Clone, Debug)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

impl Tls {
    /// Returns TLS for a `wss://` URL; `None` for a `ws://` URL. Without `file` and the variable
    /// `JACKFIELD_CA`, the authorities are those of the operating system.
    ///
    /// # Errors
    /// When the file or the name of the host cannot be used, or when there is a file and no TLS.
    pub fn of(target: &Target, file: Option<PathBuf>) -> Result<Option<Self>, String> {
        if !target.is_tls() {
            return match file {
                Some(_) => Err("--ca: a ws:// server has no certificate; use wss://".to_owned()),
                None => Ok(None),
            };
        }
        let authorities = match (file, std::env::var_os(VARIABLE)) {
            (Some(file), _) => read("--ca", &file)?,
            (None, Some(file)) => read(VARIABLE, Path::new(&file))?,
            (None, None) => Authorities::of_system().map_err(|error| format!("--ca {error}"))?,
        };
        let config = Authorities::client_config(Some(authorities));
        let config = config.map_err(|error| format!("TLS cannot be used: {error}"))?;
        let host = target.host();
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("`{host}` is not the name of a host"))?;
        Ok(Some(Self { config: Arc::new(config), name }))
    }
}

/// Reads authorities from a file that an option or a variable names.
fn read(source: &str, file: &Path) -> Result<Authorities, String> {
    let pem = std::fs::read(file)
        .map_err(|error| format!("{source}: cannot read {}: {error}", file.display()))?;
    let authorities = Authorities::from_pem(&pem);
    authorities.map_err(|error| format!("{source}: {} {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_for_servers_with_tls() {
        let of = |url: &str, file: &str| {
            Tls::of(&Target::parse(url).unwrap(), Some(PathBuf::from(file)))
        };
        assert!(Tls::of(&Target::parse("ws://h").unwrap(), None).unwrap().is_none());
        assert!(of("ws://h", "ca.pem").unwrap_err().starts_with("--ca: a ws:// server"));
        let error = of("wss://h", "/no/such").unwrap_err();
        assert!(error.starts_with("--ca: cannot read /no/such: "), "{error}");
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert!(of("wss://h", own).unwrap_err().ends_with("has no certificate in PEM"));
    }
}
