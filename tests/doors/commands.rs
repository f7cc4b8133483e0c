//! The command line through the TLS of the admin door.

use std::path::Path;

use crate::certificates::{Authority, Home};
use crate::support::{Node, ampora};

/// The exit code of a command, and all that it said.
fn output(dir: &Path, words: &[&str]) -> (Option<i32>, String) {
    let output = ampora(dir).args(words).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// What a command said, when it went well or when it failed.
fn run(dir: &Path, words: &[&str]) -> Result<String, String> {
    match output(dir, words) {
        (Some(0), said) => Ok(said),
        (code, said) => {
            assert_eq!(code, Some(1), "{said}");
            Err(said)
        }
    }
}

fn elsewhere<'a>(node: &'a Node, more: &[&'a str]) -> Vec<&'a str> {
    let to = ["agents", "list", "--url", &node.admin_url];
    [&to[..], &["--token", &node.token], more].concat()
}

#[test]
fn the_node_of_this_machine_is_found_and_others_by_their_authority() {
    let home = Home::new();
    let node = home.start(&["admin"], &[]);
    let here = ["agents", "list", "--data-dir", "data"];
    assert_eq!(run(home.dir(), &here).unwrap(), "no agents\n");
    let status = run(home.dir(), &["status", "--data-dir", "data"]).unwrap();
    assert!(status.contains("status   ok\n"), "{status}");

    let away = tempfile::tempdir().unwrap();
    let untrusted = run(away.path(), &elsewhere(&node, &[])).unwrap_err();
    assert!(
        untrusted.contains("shows a certificate that is not trusted")
            && untrusted.contains("--ca-file"),
        "{untrusted}"
    );
    let file = home.path("ca.pem").display().to_string();
    let trusted = elsewhere(&node, &["--ca-file", &file]);
    assert_eq!(run(away.path(), &trusted).unwrap(), "no agents\n");
    let mut by_variable = ampora(away.path());
    by_variable
        .args(elsewhere(&node, &[]))
        .env("AMPORA_CA_FILE", &file);
    assert!(by_variable.output().unwrap().status.success());
    std::fs::write(away.path().join("other.pem"), Authority::new().pem).unwrap();
    let wrong = elsewhere(&node, &["--ca-file", "other.pem"]);
    assert!(
        run(away.path(), &wrong)
            .unwrap_err()
            .contains("not trusted")
    );
    let missing = elsewhere(&node, &["--ca-file", "none.pem"]);
    let said = run(away.path(), &missing).unwrap_err();
    assert!(
        said.contains("cannot read none.pem: No such file"),
        "{said}"
    );

    // somebody else took the port, or the file is not the one that is served
    home.write("cert.pem", &Authority::new().sign(2040).certificate);
    let changed = run(home.dir(), &here).unwrap_err();
    assert!(
        changed.contains("does not show the certificate of"),
        "{changed}"
    );
}

#[test]
fn a_certificate_is_shown_where_one_is_asked_for() {
    let home = Home::new();
    let node = home.start(&["admin"], &["--set", "admin.tls.client_ca_file=ca.pem"]);
    let here = ["agents", "list", "--data-dir", "data"];
    assert!(run(home.dir(), &here).is_err());
    let pair = home.authority.sign(2040);
    home.write("me.pem", &format!("{}{}", pair.certificate, pair.key));
    let with = [&here[..], &["--client-cert", "me.pem"]].concat();
    assert_eq!(run(home.dir(), &with).unwrap(), "no agents\n");
    drop(node);
}

#[test]
fn simulated_agents_come_by_wss() {
    let home = Home::new();
    let node = home.start(&["opamp"], &[]);
    let url = format!("wss://localhost:{}/v1/opamp", node.opamp_addr.port());
    let words = ["simulate", "agents", "--count", "20", "--seconds", "3"];
    let words = [&words[..], &["--opamp-url", &url, "--ca-file", "ca.pem"]].concat();
    let summary = run(home.dir(), &words).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["sockets_connected"], 20, "{summary:#}");
    assert_eq!(summary["connects_failed"], 0, "{summary:#}");
}
