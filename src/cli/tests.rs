//! The shape of the command line, and what its commands print.

use clap::{CommandFactory, Parser};

use super::*;

#[test]
fn arguments_are_declared_without_contradiction() {
    Cli::command().debug_assert();
}

#[test]
fn serve_takes_its_sources_from_flags() {
    let typed = [
        "ampora",
        "serve",
        "--config",
        "a.yaml",
        "--data-dir",
        "d",
        "--set",
        "node.id=1",
        "--set",
        "a=b",
    ];
    let Ok(Cli {
        command: Command::Serve(from),
        ..
    }) = Cli::try_parse_from(typed)
    else {
        panic!("serve");
    };
    let surroundings = Surroundings {
        environment: BTreeMap::from([("AMPORA_NODE__ID".to_owned(), "2".to_owned())]),
        host_name: Some("host".to_owned()),
        outlet: Outlet {
            is_terminal: false,
            allows_color: false,
        },
        is_output_terminal: false,
    };
    let sources = sources(from, &surroundings);
    assert_eq!(sources.file.as_deref(), Some("a.yaml".as_ref()));
    assert_eq!(sources.data_dir.as_deref(), Some("d".as_ref()));
    assert_eq!(sources.set, ["node.id=1", "a=b"]);
    assert_eq!(sources.environment, surroundings.environment);
}

#[test]
fn wrong_usage_ends_with_two() {
    for typed in [
        &["ampora"][..],
        &["ampora", "nonsense"],
        &["ampora", "serve", "--nonsense"],
    ] {
        let error = Cli::try_parse_from(typed).expect_err("wrong usage");
        assert_eq!(error.exit_code(), 2, "{typed:?}");
    }
}

#[test]
fn checked_configuration_carries_its_notes_and_reads_back() {
    let set = vec![
        "live.coalesce_ms=300".to_owned(),
        "node.data_dir=/d".to_owned(),
    ];
    let loaded = config::load(&Sources {
        set,
        ..Sources::default()
    })
    .expect("a configuration");
    let text = checked(&loaded);
    assert!(
        text.contains(
            "# note: --set live.coalesce_ms: `live.coalesce_ms` takes effect with a later version\n"
        ),
        "{text}"
    );
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.yaml");
    std::fs::write(&path, &text).expect("a file");
    let again = config::load(&Sources {
        file: Some(path),
        ..Sources::default()
    });
    assert_eq!(again.expect("a configuration").config, loaded.config);
}

fn exit_of(typed: &[&str]) -> String {
    let words = [&["ampora"], typed].concat();
    let cli = Cli::try_parse_from(words).expect("words that parse");
    let surroundings = Surroundings {
        environment: BTreeMap::new(),
        host_name: None,
        outlet: Outlet {
            is_terminal: false,
            allows_color: false,
        },
        is_output_terminal: false,
    };
    let error = run(cli, &surroundings).expect_err("a failure");
    format!("{:?} {error}", error.exit_code())
}

#[test]
fn options_of_reaching_a_node_stand_before_or_behind_the_command() {
    for typed in [
        &["--url", "x", "--set", "a=1", "agents", "list"][..],
        &["agents", "--url", "x", "--set", "a=1", "list"],
        &["agents", "list", "--url", "x", "--set", "a=1"],
        &["--url", "y", "agents", "list", "--url", "x"],
        &["status", "--url", "x"],
        &["--url", "x", "status"],
    ] {
        let text = exit_of(typed);
        assert!(
            text.starts_with(&format!("{:?} --url: ", ExitCode::from(2))),
            "{text}"
        );
        assert!(text.contains("`x`"), "{text}");
    }
}

#[test]
fn options_of_reaching_a_node_mean_nothing_to_other_commands() {
    for typed in [
        &["--url", "x", "check", "config"][..],
        &["-o", "json", "check", "config"],
    ] {
        let text = exit_of(typed);
        assert!(
            text.starts_with(&format!("{:?} ", ExitCode::from(2))),
            "{text}"
        );
    }
    for typed in [
        &["ampora", "check", "config", "--url", "x"][..],
        &["ampora", "serve", "-o", "json"],
    ] {
        assert_eq!(
            Cli::try_parse_from(typed).expect_err("usage").exit_code(),
            2
        );
    }
}

#[test]
fn config_is_a_file_except_behind_groups_put() {
    let missing = "/nowhere/ampora.yaml";
    for typed in [
        &["agents", "list", "--config", missing][..],
        &["groups", "list", "--config", missing],
        &["groups", "show", "g", "--config", missing],
        &["groups", "delete", "g", "--config", missing],
        &[
            "groups", "--config", missing, "put", "g", "--config", "edge@1",
        ],
        &[
            "--config", missing, "groups", "put", "g", "--config", "edge@1",
        ],
    ] {
        let text = exit_of(typed);
        assert!(
            text.starts_with(&format!("{:?} ", ExitCode::from(2))),
            "{typed:?} {text}"
        );
        assert!(text.contains(missing), "{typed:?} {text}");
    }
    let typed = ["ampora", "groups", "put", "g", "--config", missing];
    assert!(Cli::try_parse_from(typed).is_err());
}
