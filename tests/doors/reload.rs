//! Certificates change while the node runs: new connections see the new one, open ones go on, a bad pair is refused.

use nix::sys::signal::Signal;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::certificates::{Home, Pair};
use crate::clients::{SOON, Socket, http, metric, shown, trusting};
use crate::support::{Node, eventually};

fn der(pair: &Pair) -> Vec<u8> {
    let der = CertificateDer::from_pem_slice(pair.certificate.as_bytes());
    der.unwrap().to_vec()
}

async fn until_shown(home: &Home, node: &Node, pair: &Pair) {
    let wanted = der(pair);
    let looking = async {
        while shown(node.opamp_addr, &home.authority.pem).await.as_ref() != Some(&wanted) {
            tokio::task::yield_now().await;
        }
    };
    let within = tokio::time::timeout(SOON, looking).await;
    within.expect("the new certificate is shown");
}

fn until_logged(node: &Node, words: &str) {
    eventually(words, SOON, || node.log().contains(words).then_some(()));
}

#[tokio::test]
async fn a_changed_pair_is_taken_up_without_closing_anything() {
    let home = Home::new();
    let node = home.start(&["opamp"], &[]);
    let settings = trusting(&home.authority.pem, rustls::ALL_VERSIONS);
    let mut socket = Socket::open(node.opamp_addr, settings).await.unwrap();
    socket.ask(1).await;

    let second = home.authority.sign(2041);
    home.put(&second);
    node.signal(Signal::SIGHUP);
    until_shown(&home, &node, &second).await;
    let third = home.authority.sign(2042);
    home.put(&third);
    until_shown(&home, &node, &third).await;

    socket.ask(1).await;
    let client = http(&home.authority.pem, |client| client);
    let expiry = "ampora_tls_certificate_expiry_seconds{door=\"opamp\"}";
    let taken_up = "ampora_tls_reloads_total{door=\"opamp\",result=\"taken_up\"}";
    // it is shown as soon as it is in use, and counted then; the first day of 2042
    for (sample, value) in [(expiry, 2_272_147_200.0), (taken_up, 2.0)] {
        let counted = async {
            while metric(&client, &node.admin_url, sample).await != Some(value) {
                tokio::task::yield_now().await;
            }
        };
        let counted = tokio::time::timeout(SOON, counted).await;
        assert!(counted.is_ok(), "{sample}");
    }
}

#[tokio::test]
async fn a_bad_pair_is_refused_and_the_old_one_stays() {
    let home = Home::new();
    let old = home.authority.sign(2040);
    home.put(&old);
    let node = home.start(&["opamp"], &[]);
    let client = http(&home.authority.pem, |client| client);
    let refused = "ampora_tls_reloads_total{door=\"opamp\",result=\"refused\"}";
    let other = home.authority.sign(2041);
    let mut count = 0.0;
    for (name, content, words) in [
        (
            "key.pem",
            other.key.as_str(),
            "the certificate is of another key",
        ),
        ("key.pem", "nonsense", "holds no private key in PEM"),
        ("cert.pem", "nonsense", "holds no certificate in PEM"),
    ] {
        home.put(&old);
        home.write(name, content);
        node.signal(Signal::SIGHUP);
        until_logged(&node, words);
        assert!(node.log().contains("the old ones stay in use"));
        let der_of_old = Some(der(&old));
        assert_eq!(
            shown(node.opamp_addr, &home.authority.pem).await,
            der_of_old
        );
        let now = metric(&client, &node.admin_url, refused).await.unwrap();
        assert!(now > count, "{now} {count}");
        count = now;
    }
    std::fs::remove_file(home.path("cert.pem")).unwrap();
    until_logged(&node, "cannot be read: No such file");
    home.put(&other);
    until_shown(&home, &node, &other).await;
}

#[tokio::test]
async fn an_expired_certificate_is_served_with_a_warning() {
    let home = Home::new();
    home.put(&home.authority.sign(2001));
    let node = home.start(&["admin"], &[]);
    until_logged(
        &node,
        "clients will refuse the certificate of this door: it has expired",
    );
    let client = http(&home.authority.pem, |client| client);
    let refused = client.get(format!("{}/health/live", node.admin_url)).send();
    assert!(refused.await.is_err());
}
