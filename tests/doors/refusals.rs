//! What a node says that does not start because of its certificates.

use crate::certificates::{Authority, Home, tls_of};
use crate::support::ampora;

fn refused(home: &Home, more: &[&str]) -> String {
    let mut command = ampora(home.dir());
    command.args(["serve", "--data-dir", "data"]);
    command.args(tls_of("opamp")).args(more);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let data = home.path("data").try_exists().unwrap();
    assert!(!data, "nothing is begun");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn bad_certificates_are_named_and_nothing_is_served() {
    let home = Home::new();
    let good = home.authority.sign(2040);
    let other = Authority::new().sign(2040);
    for (name, content, words) in [
        (
            "key.pem",
            other.key.as_str(),
            "does not match `opamp.tls.key_file`",
        ),
        (
            "key.pem",
            "nonsense",
            "`opamp.tls.key_file` (key.pem) holds no private key",
        ),
        (
            "cert.pem",
            "nonsense",
            "`opamp.tls.cert_file` (cert.pem) holds no certificate",
        ),
        (
            "cert.pem",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            "`opamp.tls.cert_file` (cert.pem) is not PEM",
        ),
    ] {
        home.put(&good);
        home.write(name, content);
        let said = refused(&home, &[]);
        assert!(said.contains("cannot serve TLS: "), "{said}");
        assert!(said.contains(words), "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    home.put(&good);
    let said = refused(&home, &["--set", "opamp.tls.client_ca_file=none.pem"]);
    assert!(
        said.contains("`opamp.tls.client_ca_file` (none.pem) cannot be read: No such file"),
        "{said}"
    );
}
