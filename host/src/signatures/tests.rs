//! Judgement of components by their signatures, without a sandbox.

use std::sync::Arc;

use jackfield_signing::{SIGNATURE_EXTENSION, SecretKey};

use super::*;

const COMPONENT: &[u8] = b"a component";

struct Signer {
    secret: SecretKey,
    keys: Vec<TrustedKey>,
}

impl Signer {
    fn new() -> Self {
        let pair = SecretKey::generate(None).unwrap();
        let secret = SecretKey::open(&pair.secret, None).unwrap();
        Self { secret, keys: vec![TrustedKey::parse(&pair.key, None).unwrap()] }
    }

    fn file(&self, statement: &Statement) -> PluginFile {
        let mut file = PluginFile::new("site/a.wasm".to_owned(), COMPONENT.into());
        let signature = self.secret.sign(COMPONENT, statement);
        file.signature = SignatureFile::Content(signature.into_bytes().into());
        file
    }
}

fn statement(number: Option<u64>) -> Statement {
    Statement { plugin: "a".to_owned(), version: Some("1".to_owned()), number, digest: None }
}

fn manifest(name: &str, version: &str) -> Manifest {
    Manifest {
        name: name.to_owned(),
        version: version.to_owned(),
        handlers: Vec::new(),
        is_stateless: false,
        schema: 0,
        authenticators: std::collections::BTreeMap::new(),
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, SignatureError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn needs_a_good_signature_once_there_are_keys() {
    let signer = Signer::new();
    let mut file = signer.file(&statement(Some(1)));
    assert!(matches!(approve(&file, &[]), Ok(Approval::NotNeeded)));
    assert!(matches!(approve(&file, &signer.keys), Ok(Approval::Signed(_))));
    let other = Signer::new();
    let said = refusal(approve(&file, &other.keys));
    assert!(said.contains("not among the trusted ones\n  = help: the trusted keys"), "{said}");
    // A swap of the content after the signature was read.
    file.bytes = Arc::from(&b"another one"[..]);
    let said = refusal(approve(&file, &signer.keys));
    assert!(
        said.starts_with("is refused: its signature a.wasm.minisig does not match: "),
        "{said}"
    );
    file.signature = SignatureFile::Unusable("is 9 bytes too long".into());
    assert!(refusal(approve(&file, &signer.keys)).contains("minisig is 9 bytes too long"));
    file.signature = SignatureFile::Absent;
    let said = refusal(approve(&file, &signer.keys));
    assert!(said.contains(&format!("there is no a.wasm.{SIGNATURE_EXTENSION}")), "{said}");
    file.signature = SignatureFile::Content(b"\xff".as_slice().into());
    assert!(refusal(approve(&file, &signer.keys)).contains("is not a signature of minisign"));
}

#[test]
fn binds_the_digest_the_name_and_the_version() {
    let signer = Signer::new();
    let approved = approve(&signer.file(&statement(None)), &signer.keys).unwrap();
    approved.admit(&manifest("a", "1"), None).unwrap();
    let said = refusal(approved.admit(&manifest("b", "1"), None));
    assert!(said.contains("is for the plugin `a`, and it is the plugin `b`"), "{said}");
    let said = refusal(approved.admit(&manifest("a", "2"), None));
    assert!(said.contains("is for the version `1`"), "{said}");
    let digest = |digest: &str| Statement { digest: Some(digest.to_owned()), ..statement(None) };
    let right = PluginFile::new(String::new(), COMPONENT.into()).hash.hex().to_string();
    assert!(approve(&signer.file(&digest(&right)), &signer.keys).is_ok());
    assert!(refusal(approve(&signer.file(&digest("00")), &signer.keys)).contains("sha256:00"));
}

#[tokio::test]
async fn refuses_lower_numbers_except_for_pins() {
    let root = tempfile::tempdir().unwrap();
    let highest = HighestNumbers::open(root.path()).unwrap();
    let signer = Signer::new();
    let approved = |number| approve(&signer.file(&statement(number)), &signer.keys).unwrap();
    let admit = |approval: &Approval| approval.admit(&manifest("a", "1"), Some(&highest));
    let seventh = approved(Some(7)).signed().unwrap();
    highest.raise([&seventh].into_iter()).await.unwrap();
    for number in [7, 8] {
        admit(&approved(Some(number))).unwrap();
    }
    let said = refusal(admit(&approved(Some(6))));
    assert!(said.contains("the number 6, and the plugin `a` has had 7 already"), "{said}");
    assert!(refusal(admit(&approved(None))).contains("has no number"));
    // The operator has returned to it.
    let pinned = Signed { is_pinned: true, ..approved(Some(6)).signed().unwrap() };
    admit(&Approval::Signed(pinned.clone())).unwrap();
    highest.raise([&pinned].into_iter()).await.unwrap();
    assert!(admit(&approved(Some(6))).is_err(), "a pin lowers nothing");
    // A promoted version is the newest one, although no file of the site has it.
    let ahead = Signed { is_pinned: true, ..approved(Some(9)).signed().unwrap() };
    highest.raise([&ahead].into_iter()).await.unwrap();
    let said = refusal(admit(&approved(Some(8))));
    assert!(said.contains("has had 9 already"), "{said}");
}
