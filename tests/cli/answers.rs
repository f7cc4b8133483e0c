//! Configurations, groups and dispatches through the command line, in every format.

use crate::support::start;
use crate::{has, json, line, run, run_with};

const UNKNOWN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[test]
fn configurations_are_put_listed_and_shown() {
    let node = start(&[]);
    let first = "receivers:\r\n  otlp: {}\n";
    let put = ["configs", "put", "edge", "-"];
    let made = run_with(&node, &put, first).ok();
    has(&made, &["edge@1 created, hash "]);
    let again = run_with(&node, &put, first).ok();
    has(&again, &["edge@1 has these bytes already"]);
    let file = node.data_dir().join("second.yaml");
    std::fs::write(&file, "a: 1\n").unwrap();
    let file = file.display().to_string();
    let put = ["configs", "put", "edge", &file, "--comment", "the second"];
    let named = run(&node, &[&put[..], &["-o", "name"]].concat()).ok();
    assert_eq!(named, "edge@2\n");

    has(
        &line(&node, "configs list").ok(),
        &["\nedge  2       2         "],
    );
    has(&line(&node, "configs versions edge").ok(), &["the second"]);
    let versions = line(&node, "configs versions edge -o name").ok();
    assert_eq!(versions, "edge@2\nedge@1\n");
    let newest = line(&node, "configs versions edge --limit 1 -o name").ok();
    assert_eq!(newest, "edge@2\n");
    let shown = line(&node, "configs show edge").ok();
    has(&shown, &["version  edge@2\n", "text/yaml\na: 1\n"]);
    assert_eq!(line(&node, "configs show edge@1 --raw").ok(), first);
    let shown = json(&node, "configs show edge@1");
    assert_eq!(shown["files"][0]["body"], first);
}

#[test]
fn refused_configurations_say_where_and_what_to_do() {
    let node = start(&[]);
    let put = ["configs", "put", "edge", "-"];
    let broken = run_with(&node, &put, "a: [\n").failed(1);
    has(&broken, &["code: invalid_yaml", "line 1, column 4"]);
    let empty = run_with(&node, &put, "").failed(1);
    has(&empty, &["code: empty_configuration", "--allow-empty"]);
    has(
        &line(&node, "configs show edge").failed(1),
        &["code: configuration_not_found"],
    );
    run_with(&node, &[&put[..], &["--allow-empty"]].concat(), "").ok();
    has(
        &line(&node, "configs show edge@9").failed(1),
        &["code: version_not_found"],
    );
    has(
        &line(&node, "configs put edge absent.yaml").failed(1),
        &["cannot read absent.yaml: No such file"],
    );
}

#[test]
fn groups_are_put_listed_shown_and_deleted() {
    let node = start(&[]);
    run_with(&node, &["configs", "put", "edge", "-"], "a: 1\n").ok();
    let put = "groups put prod --selector env=prod --config edge@1 --priority 10 --max-affected 0";
    let trial = line(&node, &format!("{put} --dry-run")).ok();
    has(&trial, &["nothing was changed", "0 agents would change"]);
    assert_eq!(line(&node, "groups list -o name").ok(), "");
    let made = line(&node, put).ok();
    has(
        &made,
        &["prod created: env=prod\nconfiguration  edge@1, on its way\n"],
    );
    has(&made, &["0 agents, 0 confirmed, 0 to change"]);
    let changed = line(&node, "groups put prod --no-config").ok();
    has(&changed, &["prod changed: env=prod", "nothing is assigned"]);

    let list = line(&node, "groups list").ok();
    has(&list, &["\nprod  10        env=prod  -"]);
    let group = json(&node, "groups show prod");
    assert_eq!(group["priority"], 10);
    assert!(group["configuration"].is_null(), "{group}");
    let yaml = line(&node, "groups show prod -o yaml").ok();
    has(&yaml, &["\npriority: 10\n", "\nselector: env=prod\n"]);
    let shown = line(&node, "groups show prod").ok();
    has(&shown, &["pace           slow-start\n"]);

    let deleted = line(&node, "groups delete prod").ok();
    assert_eq!(deleted, "prod deleted\n");
    for gone in ["groups delete prod", "groups show prod"] {
        has(&line(&node, gone).failed(1), &["code: group_not_found"]);
    }
}

#[test]
fn refused_groups_say_where_and_why() {
    let node = start(&[]);
    line(&node, "groups put prod --selector *").ok();
    let selector = ["groups", "put", "x", "--selector", "env in (a"];
    let refused = run(&node, &selector).failed(1);
    has(
        &refused,
        &["code: invalid_selector", "at /selector, line 1"],
    );
    for (words, code) in [
        ("groups lift prod", "nothing_quarantined"),
        ("groups revert prod", "nothing_to_revert"),
        ("groups put prod --config other", "configuration_not_found"),
        ("groups put x --priority 1", "validation_failed"),
    ] {
        has(&line(&node, words).failed(1), &["code: ", code]);
    }
}

#[test]
fn lists_are_empty_and_merged_over_pages() {
    let node = start(&[]);
    assert_eq!(line(&node, "agents list").ok(), "no agents\n");
    let agents = json(&node, "agents list");
    assert_eq!(agents["items"].as_array().map(Vec::len), Some(0));
    assert_eq!(agents["total"], 0);
    for n in 1..=3 {
        line(&node, &format!("groups put g{n} --selector *")).ok();
    }
    let two = line(&node, "groups list --limit 2");
    assert!(two.err.contains("there are more"), "{two:?}");
    let two = line(&node, "groups list --limit 2 -o name").ok();
    assert_eq!(two, "g1\ng2\n");
    let all = json(&node, "groups list");
    assert_eq!(all["items"].as_array().map(Vec::len), Some(3));
    assert!(all["continue"].is_null(), "{all}");
    assert!(all["applied_index"].is_u64(), "{all}");
}

#[test]
fn dispatches_are_refused_listed_and_cancelled() {
    let node = start(&[]);
    for words in ["agents restart", "agents push", "agents show"] {
        let unknown = line(&node, &format!("{words} {UNKNOWN}")).failed(1);
        has(&unknown, &["code: agent_not_found", "`ampora agents list`"]);
    }
    let none = line(&node, "dispatch list").ok();
    assert_eq!(none, "there are no dispatches\n");
    let nobody = line(&node, "agents restart --selector *").ok();
    has(&nobody, &["no agent matched"]);
    assert_eq!(line(&node, "dispatch list -o name").ok(), "1\n");
    has(
        &line(&node, "dispatch show 1").ok(),
        &["state       done\n"],
    );
    assert_eq!(json(&node, "dispatch cancel 1")["state"], "done");
    let absent = line(&node, "dispatch show 9").failed(1);
    has(&absent, &["code: dispatch_not_found"]);
}
