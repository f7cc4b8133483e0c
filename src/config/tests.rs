//! The loader as its users meet it: sources in, a configuration or sentences with places out.

use std::{collections::BTreeMap, path::PathBuf};

use super::*;

/// Loads a file (in a directory of its own), variables and `--set` flags; places are shown without the directory.
fn try_load(file: &str, variables: &[(&str, &str)], set: &[&str]) -> Result<Loaded, Vec<String>> {
    let (dir, path) = written(file);
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let sources = Sources {
        file: Some(path),
        environment: variables.collect(),
        set: set.iter().map(ToString::to_string).collect(),
        host_name: Some("host".to_owned()),
        ..Sources::default()
    };
    let prefix = format!("{}/", dir.path().display());
    load(&sources).map_err(|error| {
        error
            .to_string()
            .lines()
            .map(|line| line.replace(&prefix, ""))
            .collect()
    })
}

fn written(file: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ampora.yaml");
    std::fs::write(&path, file).unwrap();
    (dir, path)
}

fn loaded(file: &str, variables: &[(&str, &str)], set: &[&str]) -> Config {
    try_load(file, variables, set)
        .expect("a configuration without problems")
        .config
}

fn problems(file: &str, variables: &[(&str, &str)], set: &[&str]) -> Vec<String> {
    try_load(file, variables, set).expect_err("a configuration with problems")
}

fn notes(file: &str, variables: &[(&str, &str)]) -> String {
    try_load(file, variables, &[])
        .expect("a configuration without problems")
        .notes
        .join("\n")
}

#[test]
fn nothing_at_all_is_a_complete_configuration() {
    let loaded = load(&Sources::default()).unwrap();
    assert_eq!((loaded.config, loaded.file), (Config::default(), None));
    assert!(loaded.notes.is_empty(), "{:?}", loaded.notes);
}

#[test]
fn documented_defaults_are_the_real_ones() {
    let config = Config::default();
    for key in keys() {
        let shown = match key.shown(&config) {
            Shown::Unset => continue,
            Shown::Number(number) => number.to_string(),
            Shown::Flag(flag) => flag.to_string(),
            Shown::Text(text) => text,
            Shown::List(items) => items.join(","),
            Shown::Redacted => REDACTED.to_owned(),
        };
        assert_eq!(shown, key.default, "{}", key.name);
    }
}

#[test]
fn later_source_wins() {
    let file = "opamp: {max_connections: 1}\nnode: {id: 1}\nlog: {level: warn}\n";
    let variables = [
        ("AMPORA_OPAMP__MAX_CONNECTIONS", "2"),
        ("AMPORA_LOG__LEVEL", "error,ampora=debug"),
    ];
    let config = loaded(file, &variables, &["opamp.max_connections=3"]);
    assert_eq!(config.opamp.max_connections, 3);
    assert_eq!(config.log.level, "error,ampora=debug");
    assert_eq!(config.node.id, Some(1));
    assert_eq!(config.node.name.as_deref(), Some("host"));
}

#[test]
fn empty_value_takes_a_key_back_to_its_default() {
    let config = loaded(
        "opamp: {max_connections: 1}\nadmin:\n",
        &[],
        &["opamp.max_connections="],
    );
    assert_eq!(config, loaded("", &[], &[]));
}

#[test]
fn every_problem_of_every_source_is_told_with_its_place() {
    let file = "opamp:\n  lisen: 127.0.0.1:1\n  max_message_bytes: many\nopmap: {}\nnode: 3\n";
    let variables = [
        ("AMPORA_DISPATCH__OWNERSHIP_TTL", "9"),
        ("AMPORA_NODE__ID", "0"),
        ("AMPORA_UNKNOWN", "ignored"),
        ("OTHER__THING", "ignored"),
    ];
    let found = problems(file, &variables, &["log.format=xml", "log.level"]);
    assert_eq!(
        found,
        [
            "ampora.yaml:2:3: unknown key `opamp.lisen`; the nearest known key is `opamp.listen`",
            "ampora.yaml:3:3: `opamp.max_message_bytes`: expected a whole number from 1024 to 1073741824, found \
             `many`",
            "ampora.yaml:4:1: unknown key `opmap`; the nearest section is `opamp`",
            "ampora.yaml:5:1: `node` is a section; set a key below it",
            "environment variable AMPORA_DISPATCH__OWNERSHIP_TTL: unknown key `dispatch.ownership_ttl`; the nearest \
             known key is `dispatch.ownership_ttl_seconds`",
            "environment variable AMPORA_NODE__ID: `node.id`: expected a whole number of 1 or more, found `0`",
            "--set log.level: expected key=value such as opamp.listen=127.0.0.1:0",
            "--set log.format: `log.format`: expected one of text, json, found `xml`",
        ]
    );
}

#[test]
fn wrong_value_is_found_even_where_a_later_source_wins() {
    let found = problems("node: {id: x}\n", &[("AMPORA_NODE__ID", "1")], &[]);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn predecessors_spelling_is_understood_everywhere() {
    let nested = "OpAmp:\n  MaxMessageBytes: 2048\nDispatch:\n  OwnershipTtlSeconds: 60\n";
    let flat = "OpAmp:MaxMessageBytes: 2048\nDispatch:OwnershipTtlSeconds: 60\n";
    let variables = [
        ("OpAmp__MaxMessageBytes", "2048"),
        ("Dispatch__OwnershipTtlSeconds", "60"),
    ];
    let flags = [
        "OpAmp:MaxMessageBytes=2048",
        "dispatch.ownership_ttl_seconds=60",
    ];
    let config = loaded(nested, &[], &[]);
    assert_eq!(config.opamp.max_message_bytes, 2048);
    assert_eq!(config.dispatch.ownership_ttl.as_secs(), 60);
    assert_eq!(config, loaded(flat, &[], &[]));
    assert_eq!(config, loaded("", &variables, &[]));
    assert_eq!(config, loaded("", &[], &flags));
}

#[test]
fn predecessors_connection_strings_become_postgres_keys() {
    let file = "ConnectionStrings:\n  Ampora: Host=db;Username=u;Password=p;MaxPoolSize=7;Timeout=3\n  \
                AmporaRead: Host=replica;MaxPoolSize=9\n";
    let config = loaded(file, &[], &[]);
    let shown = |url: &Option<Secret<String>>| url.as_ref().map(|url| url.expose().clone());
    assert_eq!(
        shown(&config.postgres.url).as_deref(),
        Some("postgres://u:p@db")
    );
    assert_eq!(
        shown(&config.postgres.read_url).as_deref(),
        Some("postgres://replica")
    );
    assert_eq!(config.postgres.max_pool_size, 7);
    let notes = notes(file, &[]);
    assert!(
        notes.contains("`ConnectionStrings:Ampora` without meaning here: Timeout"),
        "{notes}"
    );
    let variables = [("ConnectionStrings__Ampora", "Host=db;Password='secret")];
    assert_eq!(
        problems("", &variables, &[]),
        [
            "environment variable ConnectionStrings__Ampora: `ConnectionStrings__Ampora`: a quote of the connection \
          string does not end"
        ]
    );
}

#[test]
fn predecessors_leftovers_are_ignored_and_said_so() {
    let file = "Dispatch: {Backplane: Redis}\nRedis:\n  Configuration: x\nLogging: {LogLevel: {Default: Debug}}\n";
    let notes = notes(file, &[("Dispatch__Backplane", "Postgres")]);
    for part in [
        "ampora.yaml:1:12: `Dispatch:Backplane` is ignored: the replicated log is the backplane",
        "`Redis` is ignored",
        "`Logging` is ignored",
        "environment variable Dispatch__Backplane: `Dispatch__Backplane` is ignored",
    ] {
        assert!(notes.contains(part), "{part} in {notes}");
    }
}

#[test]
fn two_spellings_of_one_key_in_one_source_are_refused() {
    let twice = |file: &str, variables: &[(&str, &str)], set: &[&str]| {
        let found = problems(file, variables, set);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("is set twice, also by"), "{found:?}");
    };
    twice(
        "opamp: {max_connections: 1}\nOpAmp: {MaxConnections: 1}\n",
        &[],
        &[],
    );
    twice(
        "opamp: {max_connections: 1}\nopamp.max_connections: 1\n",
        &[],
        &[],
    );
    twice(
        "",
        &[("AMPORA_NODE__ID", "1"), ("AMPORA_Node__Id", "1")],
        &[],
    );
    twice(
        "",
        &[
            ("AMPORA_OPAMP__MAX_MESSAGE_BYTES", "2048"),
            ("OpAmp__MaxMessageBytes", "2048"),
        ],
        &[],
    );
    twice("", &[], &["node.id=1", "Node:Id=1"]);
    twice(
        "ConnectionStrings: {Ampora: Host=a}\npostgres: {url: 'postgres://a'}\n",
        &[],
        &[],
    );
    assert_eq!(
        loaded("", &[], &["node.id=1", "node.id=2"]).node.id,
        Some(2)
    );
    assert_eq!(
        loaded("node: {id: 1}\n", &[("AMPORA_NODE__ID", "2")], &[])
            .node
            .id,
        Some(2)
    );
}

#[test]
fn data_dir_flag_is_a_spelling_of_its_key() {
    let sources = |set: &[&str]| Sources {
        set: set.iter().map(ToString::to_string).collect(),
        data_dir: Some("/flag".into()),
        ..Sources::default()
    };
    assert_eq!(
        load(&sources(&[])).unwrap().config.node.data_dir,
        PathBuf::from("/flag")
    );
    assert!(load(&sources(&["node.data_dir=/set"])).is_err());
}

#[test]
fn named_file_must_exist_and_a_default_file_need_not() {
    let named = Sources {
        file: Some("/nowhere/ampora.yaml".into()),
        ..Sources::default()
    };
    let error = load(&named).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot read /nowhere/ampora.yaml: "),
        "{error}"
    );
    let variable = BTreeMap::from([("AMPORA_CONFIG".to_owned(), "/nowhere/a.yaml".to_owned())]);
    assert!(
        load(&Sources {
            environment: variable,
            ..Sources::default()
        })
        .is_err()
    );
    let default = Sources {
        default_files: vec!["/nowhere/b.yaml".into()],
        ..Sources::default()
    };
    assert_eq!(load(&default).unwrap().file, None);
}

#[test]
fn first_default_file_is_read_and_paths_start_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (
        dir.path().join("a/ampora.yaml"),
        dir.path().join("b/ampora.yaml"),
    );
    for path in [&first, &second] {
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        std::fs::write(path, "node: {data_dir: data}\n").unwrap();
    }
    let default_files = vec![dir.path().join("none.yaml"), first.clone(), second];
    let loaded = load(&Sources {
        default_files,
        ..Sources::default()
    })
    .unwrap();
    assert_eq!(loaded.file, Some(first));
    assert_eq!(loaded.config.node.data_dir, dir.path().join("a/data"));
}

#[test]
fn later_keys_say_that_they_have_no_effect_yet() {
    let notes = notes(
        "live: {coalesce_ms: 300}\nopamp: {max_connections: 5}\n",
        &[],
    );
    assert!(
        notes.ends_with("`live.coalesce_ms` takes effect with a later version"),
        "{notes}"
    );
    assert_eq!(notes.lines().count(), 1);
}

#[test]
fn joining_needs_a_token_and_says_where_it_belongs() {
    let refused = |set: &[&str], says: &str| {
        let found = problems("", &[], set).join("\n");
        assert!(found.contains(says), "{found}");
    };
    refused(&["cluster.join=h:1"], "with `cluster.join_token_file`");
    refused(&["cluster.join_token_file=t"], "needs `cluster.join`");
    refused(&["cluster.join=h"], "expected a host and a port");
    let both = ["cluster.join=ampj_x", "cluster.join_token_file=t"];
    refused(&both, "is a join token already");
    let by_file = ["cluster.join=h:1", "cluster.join_token_file=t"];
    for good in [&by_file[..], &["cluster.join=ampj_x"]] {
        assert!(loaded("", &[], good).cluster.join.is_some());
    }
}

#[test]
fn join_token_is_a_secret() {
    let config = loaded("", &[], &["cluster.join=ampj_hunter2"]);
    let shown = format!("{config:?}{}", effective(&config));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn door_to_the_network_needs_its_protection_stated() {
    let refused = |set: &[&str], names: &str| {
        let found = problems("", &[], set).join("\n");
        assert!(found.contains(names), "{found}");
    };
    refused(&["opamp.listen=0.0.0.0:4320"], "`opamp.auth`");
    refused(&["opamp.listen=[::]:4320"], "`opamp.auth`");
    refused(&["opamp.listen=192.0.2.1:0"], "`opamp.auth`");
    let tls = ["opamp.tls.cert_file=c", "opamp.tls.key_file=k"];
    refused(
        &["opamp.listen=192.0.2.1:0", tls[0], tls[1]],
        "`opamp.auth`",
    );
    refused(&["admin.listen=0.0.0.0:4321"], "`admin.insecure: true`");
    refused(&["metrics.listen=0.0.0.0:9090"], "`metrics.insecure: true`");
    for auth in ["opamp.auth=open", "opamp.auth=token"] {
        loaded("", &[], &["opamp.listen=0.0.0.0:4320", auth]);
    }
    loaded(
        "",
        &[],
        &["admin.listen=0.0.0.0:4321", "admin.insecure=true"],
    );
    let tls = ["admin.tls.cert_file=c", "admin.tls.key_file=k"];
    loaded("", &[], &["admin.listen=0.0.0.0:4321", tls[0], tls[1]]);
    loaded(
        "",
        &[],
        &["metrics.listen=0.0.0.0:9090", "metrics.insecure=true"],
    );
    loaded(
        "",
        &[],
        &["opamp.listen=127.8.9.1:4320", "admin.listen=[::1]:4321"],
    );
}

#[test]
fn half_a_certificate_is_refused_with_what_is_missing() {
    for door in ["opamp", "admin"] {
        for (given, missing) in [
            ("cert_file", "key_file"),
            ("key_file", "cert_file"),
            ("client_ca_file", "cert_file"),
        ] {
            let set = format!("{door}.tls.{given}=f");
            let found = problems("", &[], &[&set]);
            let wanted = format!(
                "--set {door}.tls.{given}: `{door}.tls.{given}` needs `{door}.tls.{missing}` as well"
            );
            assert_eq!(found, [wanted]);
        }
    }
}

#[test]
fn two_listeners_cannot_share_an_address() {
    let found = problems("", &[], &["opamp.listen=127.0.0.1:4321"]);
    assert_eq!(
        found,
        ["--set opamp.listen: `admin.listen` and `opamp.listen` are both 127.0.0.1:4321"]
    );
    loaded(
        "",
        &[],
        &["opamp.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0"],
    );
    loaded("", &[], &["opamp.listen=127.0.0.2:4321"]);
}

#[test]
fn secret_comes_from_a_file_or_from_the_source_but_not_from_both() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("url");
    std::fs::write(&file, "postgres://u:hunter2@h/d\n").unwrap();
    let url_file = format!("postgres.url_file={}", file.display());
    let config = loaded("", &[], &[&url_file]);
    assert_eq!(
        config.postgres.url.as_ref().unwrap().expose(),
        "postgres://u:hunter2@h/d"
    );
    let printed = format!("{}{config:?}", effective(&config));
    assert!(!printed.contains("hunter2"), "{printed}");
    let found = problems("", &[], &[&url_file, "postgres.url=postgres://h"]);
    assert!(
        found[0].contains("`postgres.url` is set twice"),
        "{found:?}"
    );
    let variables = [("AMPORA_POSTGRES__URL", "postgres://later")];
    let set = format!("postgres: {{url_file: {}}}\n", file.display());
    let config = loaded(&set, &variables, &[]);
    assert_eq!(config.postgres.url.unwrap().expose(), "postgres://later");
}

#[test]
fn secrets_reach_neither_print_nor_error() {
    let set = [
        "postgres.url=postgres://u:hunter2@h/d",
        "postgres.read_url=hunter2://x",
    ];
    let found = problems("", &[], &set).join("\n");
    assert!(
        found.contains("postgres.read_url") && !found.contains("hunter2"),
        "{found}"
    );
    let config = loaded("", &[], &set[..1]);
    let printed = effective(&config);
    assert!(
        printed.contains("url: \"[REDACTED]\"") && !printed.contains("hunter2"),
        "{printed}"
    );
    let again = problems(&printed, &[], &[]).join("\n");
    assert!(
        again.contains("`postgres.url`: [REDACTED] stands for a secret"),
        "{again}"
    );
}

#[test]
fn effective_configuration_reads_back_as_itself() {
    let set = [
        "node.id=7",
        "node.name=a \"b\": #c",
        "node.data_dir=/srv/am pora",
        "opamp.listen=[::1]:0",
        "opamp.trusted_proxies=10.0.0.0/8,2001:db8::/32",
        "opamp.heartbeat_window_seconds=31",
        "agents.forget_after_seconds=0",
        "log.level=info,ampora::api=debug",
        "log.format=json",
        "postgres.tls=verify-ca",
        "live.coalesce_ms=10",
    ];
    for set in [&set[..], &[]] {
        let config = loaded("", &[], set);
        let printed = effective(&config);
        let data_dir = &["node.data_dir=./ampora-data"];
        let overrides = if set.is_empty() { &data_dir[..] } else { &[] };
        assert_eq!(loaded(&printed, &[], overrides), config, "{printed}");
    }
}

#[test]
fn list_where_one_value_belongs_is_refused() {
    let found = problems(
        "node: {id: [1]}\nopamp: {listen: {a: 1}, trusted_proxies: [[1]]}\n",
        &[],
        &[],
    );
    assert_eq!(found.len(), 3, "{found:?}");
}
