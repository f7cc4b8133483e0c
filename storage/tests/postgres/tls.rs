//! The modes of TLS against a server that speaks it, one that insists on it, and one that does not know it.

use std::fs;
use std::path::Path;

use ampora_storage::postgres::{Error, Postgres, Tls};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};

use tokio_postgres::SimpleQueryMessage;

use crate::postgres::{Listen, Server, Version};
use crate::watcher::options;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate for a name, and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// A server that speaks TLS, and insists on it for the database `strict`.
fn speaking(version: Version, authority: &Authority, name: &str) -> Server {
    let server = Server::start(version, Listen::Loopback, &[]);
    let (certificate, key) = authority.issue(name);
    server.sql("postgres", "CREATE DATABASE strict");
    server.write("server.crt", &certificate);
    server.write("server.key", &key);
    server.write(
        "pg_hba.conf",
        "local all all trust\nhostnossl strict all all reject\nhost all all all scram-sha-256\n",
    );
    server.stop();
    server.configure("ssl = on");
    server.start_again();
    server
}

async fn connect(url: &str, tls: Option<Tls>) -> Result<bool, Error> {
    let mut asked = options(url);
    asked.tls = tls;
    let connection = Postgres::new(&asked)?.primary().await?;
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let purpose = ampora_storage::postgres::Purpose::Read;
    let said = connection.alone("ssl", purpose, sql).await?;
    let is_on =
        |message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("t"));
    Ok(said.into_iter().any(is_on))
}

fn root(dir: &Path, name: &str, pem: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, pem).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn each_mode_checks_what_it_says() {
    let ours = Authority::new("ours.example");
    let theirs = Authority::new("theirs.example");
    let dir = tempfile::tempdir().unwrap();
    let ours_file = root(dir.path(), "ours.pem", &ours.pem);
    let theirs_file = root(dir.path(), "theirs.pem", &theirs.pem);
    for version in Version::ALL {
        let server = speaking(version, &ours, "db.example");
        let url = |host: &str, database: &str, root: &str| {
            let url = server.tcp_url(database).replace("127.0.0.1", host);
            let root = if root.is_empty() {
                String::new()
            } else {
                format!("&sslrootcert={root}")
            };
            format!("{url}?hostaddr=127.0.0.1{root}")
        };
        let named = |root: &str| url("db.example", "strict", root);
        let misnamed = |root: &str| url("other.example", "strict", root);
        let (full, ca, require) = (
            Some(Tls::VerifyFull),
            Some(Tls::VerifyCa),
            Some(Tls::Require),
        );
        for (url, tls) in [
            (named(&ours_file), full),
            (named(&ours_file), ca),
            (misnamed(&ours_file), ca),
            (named(""), require),
            (misnamed(&ours_file), require),
            (named(&ours_file) + "&sslmode=verify-full", None),
        ] {
            let is_encrypted = connect(&url, tls).await;
            assert!(is_encrypted.unwrap_or_else(|error| panic!("{tls:?}: {}", error.reason())));
        }
        for (url, tls, says) in [
            (misnamed(&ours_file), full, "not valid for name"),
            (named(&theirs_file), full, "UnknownIssuer"),
            (named(&theirs_file), ca, "UnknownIssuer"),
            (named(&theirs_file), require, "UnknownIssuer"),
            (named(""), full, "UnknownIssuer"),
            (named(""), ca, "UnknownIssuer"),
            (
                misnamed(&ours_file) + "&sslmode=verify-full",
                None,
                "not valid for name",
            ),
        ] {
            let error = connect(&url, tls).await.expect_err("it must be refused");
            let told = format!("{} {error:?}", error.reason());
            assert!(matches!(error, Error::Tls { .. }), "{told}");
            assert!(
                told.contains(says) && !told.contains("hunter2"),
                "{tls:?}: {told}"
            );
            assert!(!error.is_away());
        }
        // the server insists, and we do not speak it
        let error = connect(&named(""), Some(Tls::Disable)).await.unwrap_err();
        assert!(
            matches!(&error, Error::Refused { says, .. } if says.contains("no encryption")),
            "{error}"
        );
        // loopback is left in peace unless somebody asks
        assert!(
            !connect(&url("db.example", "postgres", ""), None)
                .await
                .unwrap()
        );
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_wanted() {
    let server = Server::start(Version::Newest, Listen::Loopback, &[]);
    let url = server.tcp_url("postgres");
    for tls in [Tls::Require, Tls::VerifyFull] {
        let error = connect(&url, Some(tls)).await.unwrap_err();
        assert!(
            error.reason().contains("server does not support TLS"),
            "{}",
            error.reason()
        );
        assert!(matches!(error, Error::Tls { .. }));
    }
    assert!(!connect(&url, None).await.unwrap());
    assert!(connect(&(url + "?sslmode=require"), None).await.is_err());
    // over its Unix socket no server speaks it, and nothing leaves the machine
    let socket = server.url("postgres");
    assert!(!connect(&socket, Some(Tls::VerifyFull)).await.unwrap());
}
