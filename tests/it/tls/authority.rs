//! An authority of the tests, which signs certificates of servers and clients.

use std::fs;
use std::path::Path;
use std::process::Command;

use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Signs certificates of clients. The files of the folder: `ca.crt`, and `NAME.crt`, `NAME.key`.
pub(crate) struct Authority<'a>(&'a Path);

impl<'a> Authority<'a> {
    pub(crate) fn new(folder: &'a Path) -> Self {
        let authority = Self(folder);
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ca \
             -addext keyUsage=keyCertSign -keyout ca.key -out ca.crt",
        );
        authority
    }

    fn openssl(&self, arguments: &str) {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let output = Command::new("openssl").args(arguments).current_dir(self.0).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes a certificate for `localhost`. Returns the paths of the certificate and of its key.
    pub(crate) fn server(&self, name: &str) -> [String; 2] {
        let extensions = "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n\
                          extendedKeyUsage=serverAuth\nauthorityKeyIdentifier=keyid\n";
        self.sign(name, "/CN=localhost", extensions);
        ["crt", "key"].map(|end| self.0.join(format!("{name}.{end}")).display().to_string())
    }

    /// Makes a key, and signs a certificate for it.
    fn sign(&self, name: &str, subject: &str, extensions: &str) {
        fs::write(self.0.join("extensions"), extensions).unwrap();
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj {subject} \
             -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial \
             -extfile extensions -out {name}.crt"
        ));
    }

    /// Returns a client with the certificate of a subject.
    pub(crate) fn client(&self, name: &str, subject: &str, server: &str) -> ClientConfig {
        self.sign(name, subject, "basicConstraints=CA:FALSE\n");
        let file = |end: &str| self.0.join(format!("{name}.{end}"));
        let chain = vec![CertificateDer::from_pem_file(file("crt")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(file("key")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(server).unwrap()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        config.with_client_auth_cert(chain, key).unwrap()
    }
}
