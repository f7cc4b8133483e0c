//! The key of this node: made once, kept in a file, known to other nodes by its hash. The certificate around it is made
//! at each start and says nothing: names and dates are read by nobody.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Holds the key for ever: other nodes know this one by it.
const KEY_FILE: &str = "peer.key";

/// Largest key file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Who a node is to others: SHA-256 of the `SubjectPublicKeyInfo` of its certificate.
pub type KeyHash = [u8; 32];

/// The key of a node, and a certificate for it.
#[derive(Clone, Debug)]
pub struct NodeKey {
    certified: Arc<CertifiedKey>,
    hash: KeyHash,
}

/// Why the node has no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot keep the node's key in {KEY_FILE}")]
    Io(#[from] io::Error),
    /// The file is no key.
    #[error(
        "{KEY_FILE} is damaged: restore it, or join with an empty data directory as another node"
    )]
    Damaged(#[source] rcgen::Error),
    /// No key can be made, or no certificate for it.
    #[error("cannot make a key for this node")]
    Make(#[source] rcgen::Error),
    /// TLS cannot use the key.
    #[error("cannot use the key of this node")]
    Use(#[from] rustls::Error),
}

impl NodeKey {
    /// The key that the directory keeps; made and kept when there is none. Holds its thread.
    ///
    /// # Errors
    /// Fails when the file cannot be read or written, or is not ours; it is never replaced.
    pub fn load_or_make(data_dir: &Path) -> Result<Self, KeyError> {
        let path = data_dir.join(KEY_FILE);
        match read(&path) {
            Ok(pem) => Self::of(&KeyPair::from_pem(&pem).map_err(KeyError::Damaged)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let pair = KeyPair::generate().map_err(KeyError::Make)?;
                replace(&path, pair.serialize_pem().as_bytes())?;
                Self::of(&pair)
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn of(pair: &KeyPair) -> Result<Self, KeyError> {
        let params = CertificateParams::new(vec!["ampora-node".to_owned()]);
        let made = params.and_then(|params| params.self_signed(pair));
        let certificate = CertificateDer::from(made.map_err(KeyError::Make)?);
        let hash = hash_of(&certificate)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(vec![certificate], key, &provider)?;
        Ok(Self {
            certified: Arc::new(certified),
            hash,
        })
    }

    /// What other nodes know this one by.
    pub fn key_hash(&self) -> KeyHash {
        self.hash
    }

    /// What is shown in a handshake.
    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        self.certified.clone()
    }
}

/// What a node that shows this certificate is known by.
pub(super) fn hash_of(certificate: &CertificateDer<'_>) -> Result<KeyHash, rustls::Error> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|_| rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding))?;
    Ok(Sha256::digest(parsed.public_key().raw).into())
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    io::Read::read_to_string(&mut io::Read::take(file, FILE_BYTES_MAX), &mut text)?;
    Ok(text)
}

/// Writes beside the file and renames, so that a crash leaves all or nothing; readable by its owner alone.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = path.with_added_extension("new");
    // an older one may have been made with another mode
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    match path.parent() {
        Some(directory) => std::fs::File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rcgen::PublicKeyData;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_readable_by_its_owner_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let made = NodeKey::load_or_make(dir.path()).expect("made");
        let again = NodeKey::load_or_make(dir.path()).expect("kept");
        assert_eq!(made.key_hash(), again.key_hash());
        let path = dir.path().join(KEY_FILE);
        let mode = std::fs::metadata(&path)
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let names: Vec<_> = std::fs::read_dir(dir.path())
            .expect("a directory")
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
        let pair = KeyPair::from_pem(&read(&path).expect("a file")).expect("a key");
        let expected: KeyHash = Sha256::digest(pair.subject_public_key_info()).into();
        assert_eq!(made.key_hash(), expected);
    }

    #[test]
    fn a_damaged_key_is_named_and_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(KEY_FILE);
        for damaged in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n"] {
            std::fs::write(&path, damaged).expect("written");
            let refused = NodeKey::load_or_make(dir.path()).expect_err("no key");
            assert!(refused.to_string().contains(KEY_FILE), "{refused}");
            assert_eq!(std::fs::read_to_string(&path).expect("a file"), damaged);
        }
    }
}
