//! What files are taken, and what is said about others.

use super::*;
use crate::doors::testing::{Authority, Shelf};

fn made(tls: &Tls) -> Result<Validity, TlsError> {
    let files = Files::of("opamp", tls).expect("TLS is stated");
    let (settings, validity) = files.settings(&files.read()?)?;
    assert_eq!(settings.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
    Ok(validity)
}

fn refused(shelf: &Shelf, tls: &Tls) -> String {
    let error = made(tls).expect_err("it cannot be used").to_string();
    error.replace(&shelf.dir().display().to_string(), "D")
}

#[test]
fn a_pair_is_taken_with_and_without_authorities_of_clients() {
    let authority = Authority::new();
    let shelf = Shelf::new(&authority.sign("a.example"));
    let validity = made(&shelf.tls()).expect("a good pair");
    assert!(validity.from_s < validity.until_s);
    shelf.write("ca.pem", authority.pem.repeat(3));
    let tls = Tls {
        client_ca_file: Some(shelf.path("ca.pem")),
        ..shelf.tls()
    };
    made(&tls).expect("a good pair with authorities");
    assert!(Files::of("opamp", &Tls::default()).is_none());
}

#[test]
fn what_cannot_be_used_is_named_with_its_key_and_file() {
    let authority = Authority::new();
    let (pair, other) = (authority.sign("a.example"), authority.sign("b.example"));
    let shelf = Shelf::new(&pair);
    let tls = shelf.tls();
    shelf.write("key.pem", &other.key);
    assert_eq!(
        refused(&shelf, &tls),
        "`opamp.tls.cert_file` (D/cert.pem) does not match `opamp.tls.key_file` (D/key.pem): the certificate is of \
         another key"
    );
    shelf.write("key.pem", "not a key");
    let no_key = "`opamp.tls.key_file` (D/key.pem) holds no private key in PEM that can be read without a password";
    assert_eq!(refused(&shelf, &tls), no_key);
    let locked = pair.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    shelf.write("key.pem", locked);
    assert_eq!(refused(&shelf, &tls), no_key);
    shelf.write("key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n");
    let broken = refused(&shelf, &tls);
    assert_eq!(broken, "`opamp.tls.key_file` (D/key.pem) is not PEM");
    shelf.write("key.pem", &pair.key);
    shelf.write("cert.pem", &pair.key);
    let none = "`opamp.tls.cert_file` (D/cert.pem) holds no certificate in PEM";
    assert_eq!(refused(&shelf, &tls), none);
    shelf.write("cert.pem", "");
    assert_eq!(refused(&shelf, &tls), none);
    shelf.write(
        "cert.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let not_one = refused(&shelf, &tls);
    assert!(not_one.ends_with("holds something that is no certificate"));
    shelf.write("cert.pem", pair.certificate.repeat(CERTIFICATES_MAX + 1));
    assert!(refused(&shelf, &tls).ends_with("holds more than 1000 certificates"));
    shelf.write("cert.pem", vec![b'x'; 1024 * 1024 + 1]);
    assert!(refused(&shelf, &tls).contains("has more than 1048576 bytes"));
    std::fs::remove_file(shelf.path("cert.pem")).unwrap();
    assert_eq!(
        refused(&shelf, &tls),
        "`opamp.tls.cert_file` (D/cert.pem) cannot be read"
    );
}

#[test]
fn authorities_of_clients_have_to_be_there() {
    let shelf = Shelf::new(&Authority::new().sign("a.example"));
    shelf.write("ca.pem", "");
    let tls = Tls {
        client_ca_file: Some(shelf.path("ca.pem")),
        ..shelf.tls()
    };
    assert_eq!(
        refused(&shelf, &tls),
        "`opamp.tls.client_ca_file` (D/ca.pem) holds no certificate in PEM"
    );
}
