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
    let set = vec!["agents.max=5".to_owned(), "node.data_dir=/d".to_owned()];
    let loaded = config::load(&Sources {
        set,
        ..Sources::default()
    })
    .expect("a configuration");
    let text = checked(&loaded);
    assert!(
        text.contains("# note: --set agents.max: `agents.max` takes effect with a later version\n"),
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
