//! The dependency rule, read from the manifests: which crate may depend on which, versions once in the root, and
//! exact versions where an upgrade must be a decision.

use super::tree::Tree;

/// Crates of the fixed set whose next version may differ in what is on disk or on the wire between nodes.
const EXACT: [&str; 5] = [
    "bincode",
    "openraft",
    "openraft-rt",
    "openraft-rt-tokio",
    "sled",
];

/// What a crate must not depend on, with the reason.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    (
        "proto",
        &[
            "ampora",
            "ampora-raft",
            "ampora-storage",
            "tokio",
            "openraft",
        ],
        "the protocol is pure",
    ),
    (
        "raft",
        &["ampora", "ampora-proto", "ampora-storage", "sled", "prost"],
        "the fleet knows no other room",
    ),
    (
        "storage",
        &["ampora", "ampora-proto", "prost"],
        "storage knows the fleet's records alone",
    ),
];

/// One dependency as a manifest states it.
#[derive(Debug, PartialEq, Eq)]
struct Dependency<'a> {
    name: &'a str,
    stated: &'a str,
    is_of_workspace_table: bool,
}

fn dependencies(manifest: &str) -> Vec<Dependency<'_>> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(head) = line.strip_prefix('[') {
            section = head.trim_end_matches(']');
        } else if section.ends_with("dependencies")
            && !line.starts_with('#')
            && let Some((name, stated)) = line.split_once('=')
        {
            let (name, stated) = match name.trim().split_once('.') {
                Some((name, _)) => (name, "workspace = true"),
                None => (name.trim(), stated.trim()),
            };
            let is_of_workspace_table = section == "workspace.dependencies";
            found.push(Dependency {
                name,
                stated,
                is_of_workspace_table,
            });
        }
    }
    found
}

pub(crate) fn out_of_rule(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.texts(|path| path.ends_with("Cargo.toml")) {
        let room = path.trim_end_matches("Cargo.toml").trim_end_matches('/');
        for dependency in dependencies(text) {
            let name = dependency.name;
            for (of, names, why) in FORBIDDEN {
                if *of == room && names.contains(&name) {
                    found.push(format!("{path} names {name}: {why}"));
                }
            }
            let is_shared =
                dependency.is_of_workspace_table || dependency.stated.contains("workspace = true");
            if !is_shared && !is_workspace_of_its_own(path, text) {
                found.push(format!(
                    "{path}: {name} has a version of its own; versions stand in the root"
                ));
            }
        }
    }
    found
}

/// Such a crate cannot take versions from the root; its lock file is committed as well.
fn is_workspace_of_its_own(path: &str, text: &str) -> bool {
    path != "Cargo.toml" && text.lines().any(|line| line.trim() == "[workspace]")
}

/// `planted` may be switched on by another crate's feature `planted` and by nothing else.
pub(crate) fn planted(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.texts(|path| path.ends_with("Cargo.toml")) {
        let lines = text.lines().map(str::trim).enumerate();
        let named = lines.filter(|(_, line)| !line.starts_with('#') && line.contains("planted"));
        found.extend(
            named
                .filter(|(_, line)| !line.starts_with("planted = ["))
                .map(|(at, line)| format!("{path}:{}: `{line}` switches bugs on", at + 1)),
        );
    }
    found
}

pub(crate) fn floating(tree: &Tree) -> Vec<String> {
    let root = tree.texts(|path| path == "Cargo.toml").next();
    let stated = root.map(|(_, text)| dependencies(text)).unwrap_or_default();
    let is_exact = |name: &str| {
        let mut table = stated
            .iter()
            .filter(|dependency| dependency.is_of_workspace_table);
        table.any(|dependency| dependency.name == name && dependency.stated.contains("\"="))
    };
    let loose = EXACT.into_iter().filter(|name| !is_exact(name));
    loose
        .map(|name| format!("{name} needs an exact version (`=`) in the root manifest"))
        .collect()
}

#[test]
fn forbidden_edge_and_own_version_are_found() {
    let bad = "[package]\nname = \"x\"\n[dependencies]\nampora-proto.workspace = true\nserde = \"1\"\n\
               hex = { workspace = true }\n[dev-dependencies]\nprost = { workspace = true }\n";
    let found = out_of_rule(&Tree::of(&[("raft/Cargo.toml", bad)]));
    assert_eq!(
        found,
        [
            "raft/Cargo.toml names ampora-proto: the fleet knows no other room",
            "raft/Cargo.toml: serde has a version of its own; versions stand in the root",
            "raft/Cargo.toml names prost: the fleet knows no other room",
        ]
    );
}

#[test]
fn bug_that_is_switched_on_is_found() {
    let found = |text: &str| planted(&Tree::of(&[("chaos/Cargo.toml", text)])).len();
    assert_eq!(found("[features]\nplanted = [\"ampora/planted\"]\n"), 0);
    assert_eq!(found("[features]\ndefault = [\"planted\"]\n"), 1);
    assert_eq!(
        found("ampora = { workspace = true, features = [\"planted\"] }\n"),
        1
    );
}

#[test]
fn workspace_of_its_own_states_its_versions() {
    let own = "[workspace]\n[dependencies]\nserde = \"1\"\n";
    let found = |path: &str| out_of_rule(&Tree::of(&[(path, own)])).len();
    assert_eq!(found("tests/x/Cargo.toml"), 0);
    assert_eq!(found("Cargo.toml"), 1);
}

#[test]
fn floating_version_is_found() {
    let root = "[workspace.dependencies]\nbincode = { version = \"=2.0.1\" }\nopenraft = { version = \"0.10\" }\n\
                openraft-rt = \"=1\"\nopenraft-rt-tokio = \"=1\"\nsled = \"=0.34.7\"\n";
    let found = floating(&Tree::of(&[("Cargo.toml", root)]));
    assert_eq!(
        found,
        ["openraft needs an exact version (`=`) in the root manifest"]
    );
}
