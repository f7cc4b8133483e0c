//! What is found where, and what is refused before anything is sent.

use std::collections::BTreeMap;

use super::*;
use crate::cli::args::{ClientArgs, SourceArgs};
use crate::telemetry::logs::Outlet;

fn surroundings(environment: &[(&str, &str)]) -> Surroundings {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Surroundings {
        environment: environment.iter().map(owned).collect::<BTreeMap<_, _>>(),
        host_name: None,
        outlet: Outlet {
            is_terminal: false,
            allows_color: false,
        },
        is_output_terminal: false,
    }
}

fn reach(url: Option<&str>, token: Option<&str>, data_dir: &Path, set: &[&str]) -> ReachArgs {
    ReachArgs {
        client: ClientArgs {
            url: url.map(str::to_owned),
            token: token.map(str::to_owned),
            ..ClientArgs::default()
        },
        source: SourceArgs {
            config: None,
            data_dir: Some(data_dir.to_owned()),
            set: set.iter().map(|set| (*set).to_owned()).collect(),
        },
    }
}

fn found(reach: &Reach) -> (&str, &str) {
    match &reach.token {
        Token::Found { text, from } => (text.expose(), from),
        Token::Missing { looked } => panic!("{looked:?}"),
    }
}

fn missing(reach: &Reach) -> &[String] {
    match &reach.token {
        Token::Missing { looked } => looked,
        Token::Found { from, .. } => panic!("a token from {from}"),
    }
}

fn data_dir_with_token() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("admin.token"), "amp_file\n").unwrap();
    dir
}

#[test]
fn what_is_typed_wins_over_the_environment_and_that_over_the_file() {
    let dir = data_dir_with_token();
    let environment = surroundings(&[
        ("AMPORA_URL", "http://localhost:2"),
        ("AMPORA_TOKEN", "amp_env"),
    ]);
    let typed = reach(
        Some("http://127.0.0.1:1"),
        Some("amp_typed"),
        dir.path(),
        &[],
    );
    let node = find(typed, &environment).unwrap();
    assert_eq!(node.url.as_str(), "http://127.0.0.1:1/");
    assert_eq!(found(&node), ("amp_typed", "--token"));

    let node = find(reach(None, None, dir.path(), &[]), &environment).unwrap();
    assert_eq!(node.url.as_str(), "http://localhost:2/");
    assert_eq!(found(&node), ("amp_env", "AMPORA_TOKEN"));

    let empty = surroundings(&[("AMPORA_URL", ""), ("AMPORA_TOKEN", "")]);
    let node = find(reach(None, None, dir.path(), &[]), &empty).unwrap();
    assert_eq!(node.url.as_str(), "http://127.0.0.1:4321/");
    let file = dir.path().join("admin.token").display().to_string();
    assert_eq!(found(&node), ("amp_file", file.as_str()));
}

#[test]
fn token_of_this_machine_is_not_sent_elsewhere() {
    let dir = data_dir_with_token();
    let elsewhere = reach(Some("http://10.0.0.1:4321"), None, dir.path(), &[]);
    let node = find(elsewhere, &surroundings(&[])).unwrap();
    assert!(missing(&node)[2].contains("only sent to loopback addresses"));
}

#[test]
fn node_elsewhere_needs_nothing_of_this_machines_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let broken = surroundings(&[("AMPORA_NONSENSE__KEY", "1")]);
    let elsewhere = reach(Some("http://10.0.0.1:1"), None, dir.path(), &[]);
    assert!(find(elsewhere, &broken).is_ok());
    let both = reach(Some("http://127.0.0.1:1"), Some("amp_x"), dir.path(), &[]);
    assert!(find(both, &broken).is_ok());
    let here = reach(Some("http://127.0.0.1:1"), None, dir.path(), &[]);
    let error = find(here, &broken).expect_err("the data directory is not known");
    assert!(matches!(error, CliError::Config(_)), "{error}");
}

#[test]
fn chosen_port_comes_from_the_running_node() {
    let dir = data_dir_with_token();
    let any_port = || reach(None, None, dir.path(), &["admin.listen=127.0.0.1:0"]);
    let error = find(any_port(), &surroundings(&[])).expect_err("no node runs");
    assert!(error.to_string().contains("node.json"), "{error}");
    assert!(error.to_string().contains("ampora serve"), "{error}");
    let written = r#"{"admin_address": "127.0.0.1:39001"}"#;
    std::fs::write(dir.path().join("node.json"), written).unwrap();
    let node = find(any_port(), &surroundings(&[])).unwrap();
    assert_eq!(node.url.as_str(), "http://127.0.0.1:39001/");
}

#[test]
fn certificate_is_that_of_the_file_given_or_of_this_machines_node() {
    let dir = data_dir_with_token();
    let written = r#"{"admin_address": "127.0.0.1:39001", "admin_certificate": "/c.pem"}"#;
    std::fs::write(dir.path().join("node.json"), written).unwrap();
    let own = Trust::Exactly("/c.pem".into());
    let none = surroundings(&[]);
    let node = find(reach(None, None, dir.path(), &[]), &none).unwrap();
    assert_eq!(node.url.as_str(), "https://127.0.0.1:39001/");
    assert_eq!((node.trust, node.identity), (own.clone(), None));
    let typed = |url| reach(Some(url), Some("amp_x"), dir.path(), &[]);
    let trust_of = |reach| find(reach, &none).unwrap().trust;
    assert_eq!(trust_of(typed("https://localhost:39001")), own);
    assert_eq!(trust_of(typed("https://localhost:1")), Trust::System);
    assert_eq!(trust_of(typed("https://node.example:39001")), Trust::System);

    let files = surroundings(&[
        ("AMPORA_CA_FILE", "env.pem"),
        ("AMPORA_CLIENT_CERT", "me.pem"),
    ]);
    let node = find(typed("https://localhost:39001"), &files).unwrap();
    assert_eq!(node.trust, Trust::Authorities("env.pem".into()));
    assert_eq!(node.identity, Some("me.pem".into()));
    let mut both = typed("https://node.example");
    both.client.ca_file = Some("typed.pem".into());
    let node = find(both, &files).unwrap();
    assert_eq!(node.trust, Trust::Authorities("typed.pem".into()));
}

#[test]
fn missing_and_senseless_token_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let node = find(reach(None, None, dir.path(), &[]), &surroundings(&[])).unwrap();
    assert!(
        missing(&node)[2].contains("admin.token: No such file"),
        "{node:?}"
    );
    std::fs::write(dir.path().join("admin.token"), "two words\n").unwrap();
    let node = find(reach(None, None, dir.path(), &[]), &surroundings(&[])).unwrap();
    assert!(
        missing(&node)[2].ends_with("does not hold a token"),
        "{node:?}"
    );
}

#[test]
fn addresses_that_cannot_be_meant_are_refused() {
    for bad in [
        "127.0.0.1:4321",
        "localhost:4321",
        "",
        "ftp://localhost",
        "http://user@localhost",
        "http://:secret@localhost",
        "http://localhost?x=1",
        "http://localhost#x",
        "http://",
    ] {
        let error = checked(bad, "--url").expect_err(bad);
        assert!(
            error.is_usage() && error.to_string().starts_with("--url: "),
            "{error}"
        );
    }
    assert!(
        !checked("http://:secret@h", "--url")
            .unwrap_err()
            .to_string()
            .contains("secret")
    );
    assert!(checked("http://h:1/behind/a/proxy/", "--url").is_ok());
    for bad in ["", "a b", "a\nb", "tokén"] {
        assert!(
            token(bad, "--token").is_err_and(|error| error.is_usage()),
            "{bad:?}"
        );
    }
}
