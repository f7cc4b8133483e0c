//! Authorities and certificates made for a test, and the files that a node reads them from.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

/// An authority of its own.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// A certificate of this machine, until the first day of a year.
    pub(crate) fn sign(&self, until: i32) -> Pair {
        self.signed(&["localhost", "127.0.0.1"], until)
    }

    /// A certificate for other names.
    pub(crate) fn sign_for(&self, names: &[&str]) -> Pair {
        self.signed(names, 2040)
    }

    fn signed(&self, names: &[&str], until: i32) -> Pair {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// The directory of a node with the files of its doors.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    pub(crate) authority: Authority,
}

/// Settings for a door whose files are in the directory of the node.
pub(crate) fn tls_of(door: &str) -> [String; 4] {
    let set = |key| format!("{door}.tls.{key}_file={key}.pem");
    [
        "--set".to_owned(),
        set("cert"),
        "--set".to_owned(),
        set("key"),
    ]
}

impl Home {
    /// One with a good pair in it.
    pub(crate) fn new() -> Self {
        let home = Self {
            dir: tempfile::tempdir().unwrap(),
            authority: Authority::new(),
        };
        home.put(&home.authority.sign(2040));
        home.write("ca.pem", &home.authority.pem);
        home
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn put(&self, pair: &Pair) {
        self.write("cert.pem", &pair.certificate);
        self.write("key.pem", &pair.key);
    }

    /// Starts a node here, with more arguments.
    pub(crate) fn start(&self, doors: &[&str], more: &[&str]) -> crate::support::Node {
        let tls: Vec<String> = doors.iter().flat_map(|door| tls_of(door)).collect();
        let args: Vec<&str> = tls
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
            .collect();
        crate::support::start_in(self.dir(), &args)
    }
}
