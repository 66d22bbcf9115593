//! TLS of servers: certificates, keys and authorities of clients, loaded from files as a whole.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use super::CertificateInfo;

/// The maximum size of a file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The protocol that is spoken within TLS.
const HTTP: &[u8] = b"http/1.1";

/// The files of a server with TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates; the first one is for clients that name no host, or an unknown one.
    pub pairs: Vec<CertificateFiles>,
    /// The authorities of clients; `None` asks clients for no certificate.
    pub clients: Option<ClientAuthorities>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and those between it and an authority, in PEM.
    pub certificate: PathBuf,
    /// The key, in PEM.
    pub key: PathBuf,
}

/// The authorities whose certificates clients may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuthorities {
    /// Their certificates, in PEM.
    pub file: PathBuf,
    /// Whether clients without a certificate are refused.
    pub required: bool,
}

/// TLS of a server, ready for handshakes.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// The configuration.
    pub config: Arc<ServerConfig>,
    /// The certificates, in the order of their files.
    pub certificates: Vec<CertificateInfo>,
    /// The authorities of clients.
    authorities: Vec<CertificateDer<'static>>,
}

impl ServerTls {
    /// Returns whether the certificates and the authorities are those of another loading.
    pub fn is_same(&self, other: &Self) -> bool {
        self.certificates == other.certificates && self.has_same_authorities(other)
    }

    /// Returns whether the authorities of clients are those of another loading.
    pub fn has_same_authorities(&self, other: &Self) -> bool {
        self.authorities == other.authorities
    }
}

/// One of the files of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPart {
    /// The certificate of the pair with this number.
    Certificate(usize),
    /// The key of the pair with this number.
    Key(usize),
    /// The authorities of clients.
    Authorities,
}

/// TLS cannot be set up. Its `Display` begins with the path of the file.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}", path = .path.display())]
pub struct TlsFileError {
    /// The file.
    pub part: TlsPart,
    path: PathBuf,
    problem: TlsFileProblem,
}

/// The problem of a file.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileProblem {
    /// It cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(io::Error),
    /// It has no certificate.
    #[error("the file has no certificate in PEM")]
    NoCertificate,
    /// It has a certificate that cannot be read.
    #[error("the file has a certificate that cannot be read")]
    Damaged,
    /// It has no key.
    #[error("the file has no private key in PEM (PKCS#8, PKCS#1 or SEC1, without a passphrase)")]
    NoKey,
    /// The key is of an unknown kind.
    #[error("the key is of a kind that is not supported; use ECDSA (P-256, P-384), Ed25519 or RSA")]
    UnknownKey,
    /// The key is that of another certificate.
    #[error("the key is not that of the certificate in {}", .0.display())]
    OtherKey(PathBuf),
    /// The library refuses it.
    #[error("{0}")]
    Refused(String),
}

impl TlsFileProblem {
    /// The next step for the operator.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "check the path, and that the server's user may read the file",
            Self::NoCertificate | Self::Damaged => {
                "write the certificate of the server first, then those of the authorities between"
            }
            Self::NoKey | Self::UnknownKey => "convert it with `openssl pkey -in KEY -out NEW`",
            Self::OtherKey(_) => "write both files of one renewal",
            Self::Refused(_) => "check the file with `openssl x509 -in FILE -text`",
        }
    }
}

impl TlsFileError {
    /// The problem of the file.
    pub const fn problem(&self) -> &TlsFileProblem {
        &self.problem
    }
}

impl TlsFiles {
    /// Returns all files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let pairs = self.pairs.iter().flat_map(|it| [&*it.certificate, &*it.key]);
        pairs.chain(self.clients.iter().map(|it| &*it.file))
    }

    /// Returns all files, to resolve relative paths.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let pairs = self.pairs.iter_mut().flat_map(|it| [&mut it.certificate, &mut it.key]);
        pairs.chain(self.clients.iter_mut().map(|it| &mut it.file))
    }

    /// Loads all files: a certificate with its key or none of them.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub fn load(&self) -> Result<ServerTls, TlsFileError> {
        let provider = Arc::new(default_provider());
        let (mut resolver, mut certificates) = (ByName::default(), Vec::new());
        for (at, pair) in self.pairs.iter().enumerate() {
            let (info, key) = pair.load(at, &provider)?;
            certificates.push(info.clone());
            resolver.0.push((info, Arc::new(key)));
        }
        let failed = |path: &Path, part, problem| {
            let path = path.to_owned();
            TlsFileError { part, path, problem }
        };
        let first = self.pairs.first().map_or(Path::new(""), |pair| &pair.certificate);
        let refused = |error: rustls::Error| {
            let problem = TlsFileProblem::Refused(error.to_string());
            failed(first, TlsPart::Certificate(0), problem)
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&[&TLS13, &TLS12]).map_err(refused)?;
        let mut authorities = Vec::new();
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(ClientAuthorities { file, required }) => {
                let failed = |problem| failed(file, TlsPart::Authorities, problem);
                let mut roots = RootCertStore::empty();
                authorities = certificates_of(file).map_err(failed)?;
                for certificate in &authorities {
                    roots.add(certificate.clone()).map_err(|_| failed(TlsFileProblem::Damaged))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                let verifier = if *required { verifier } else { verifier.allow_unauthenticated() };
                let refused = |error: rustls::server::VerifierBuilderError| {
                    failed(TlsFileProblem::Refused(error.to_string()))
                };
                builder.with_client_cert_verifier(verifier.build().map_err(refused)?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![HTTP.to_vec()];
        // A returning client needs no second signature; the key of the tickets is this process's own.
        config.ticketer = Ticketer::new().map_err(refused)?;
        config.send_tls13_tickets = 1;
        Ok(ServerTls { config: Arc::new(config), certificates, authorities })
    }
}

impl CertificateFiles {
    fn load(
        &self,
        at: usize,
        provider: &CryptoProvider,
    ) -> Result<(CertificateInfo, CertifiedKey), TlsFileError> {
        let Self { certificate, key } = self;
        let in_certificate = |problem| {
            let path = certificate.clone();
            TlsFileError { part: TlsPart::Certificate(at), path, problem }
        };
        let in_key = |problem| TlsFileError { part: TlsPart::Key(at), path: key.clone(), problem };
        let chain = certificates_of(certificate).map_err(in_certificate)?;
        let info = chain.first().and_then(|first| CertificateInfo::read(first));
        let info = info.ok_or_else(|| in_certificate(TlsFileProblem::Damaged))?;
        let text = Zeroizing::new(read(key).map_err(in_key)?);
        let private = PrivateKeyDer::from_pem_slice(&text);
        let private = private.map_err(|_| in_key(TlsFileProblem::NoKey))?;
        let signing = provider.key_provider.load_private_key(private);
        let signing = signing.map_err(|_| in_key(TlsFileProblem::UnknownKey))?;
        let pair = CertifiedKey::new(chain, signing);
        match pair.keys_match() {
            Ok(()) => Ok((info, pair)),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(in_key(TlsFileProblem::OtherKey(certificate.clone())))
            }
            Err(_) => Err(in_certificate(TlsFileProblem::Damaged)),
        }
    }
}

/// Reads the certificates of a file: at least one.
pub(super) fn certificates_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileProblem> {
    let text = read(path)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = read.map_err(|_| TlsFileProblem::Damaged)?;
    if certificates.is_empty() { Err(TlsFileProblem::NoCertificate) } else { Ok(certificates) }
}

/// Reads a file of a bounded size. A pipe would block.
fn read(path: &Path) -> Result<Vec<u8>, TlsFileProblem> {
    let read = || {
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
            return Err(io::Error::other("it is not a regular file of at most 1 MiB"));
        }
        std::fs::read(path)
    };
    read().map_err(TlsFileProblem::Unreadable)
}

/// Selects the certificate by the name of the host that the client asks for (SNI).
#[derive(Default)]
struct ByName(Vec<(CertificateInfo, Arc<CertifiedKey>)>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name();
        let named = host.and_then(|host| self.0.iter().find(|(info, _)| info.is_for(host)));
        named.or_else(|| self.0.first()).map(|(_, key)| Arc::clone(key))
    }
}

impl fmt::Debug for ByName {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(info, _)| info)).finish()
    }
}
