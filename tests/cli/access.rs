//! Who may do what, by the command line: tokens of people and of agents, and the file of the first one.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Node, eventually, start, start_in};
use crate::{has, json, line, run};

const SOON: Duration = Duration::from_secs(30);

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().expect("a text")
}

/// What the node says to a question with this token.
fn asked_with(node: &Node, token: &str) -> Option<i32> {
    run(node, &["agents", "list", "--token", token]).code
}

#[test]
fn a_token_is_made_used_and_revoked() {
    let node = start(&[]);
    let made = json(&node, "tokens create ci --role viewer");
    let token = text(&made, "token");
    assert_eq!(asked_with(&node, token), Some(0));
    let denied = run(&node, &["groups", "delete", "g", "--token", token]).failed(1);
    has(
        &denied,
        &["code: forbidden", "use a token of a higher role"],
    );
    let denied = run(&node, &["tokens", "list", "--token", token]).failed(1);
    has(&denied, &["code: forbidden"]);
    let list = line(&node, "tokens list -o wide").ok();
    has(&list, &["ci", "viewer", "never", "admin"]);
    assert!(!list.contains("amp_"), "{list}");
    let id = text(&made, "id");
    let revoked = line(&node, &format!("tokens revoke {id}")).ok();
    assert_eq!(revoked, format!("{id} revoked\n"));
    assert_eq!(asked_with(&node, token), Some(1));
    let again = line(&node, &format!("tokens revoke {id}")).failed(1);
    has(&again, &["code: token_not_found"]);
    let bad = line(&node, "tokens create ci --role root").failed(2);
    has(&bad, &["viewer"]);
}

#[test]
fn an_expired_token_stops_and_leaves_by_itself() {
    let node = start(&[]);
    let made = json(&node, "tokens create short --role operator --ttl 1");
    let token = text(&made, "token");
    eventually("the end of the token", SOON, || {
        (asked_with(&node, token) == Some(1)).then_some(())
    });
    // any change of tokens wakes the sweep
    eventually("its leaving", SOON, || {
        json(&node, "tokens create other --role viewer --ttl 1");
        let list = line(&node, "tokens list -o name").ok();
        (!list.contains(text(&made, "id"))).then_some(())
    });
}

#[test]
fn enrollment_tokens_are_made_listed_and_revoked() {
    let node = start(&["--set", "opamp.auth=token"]);
    let words = "enrollment create edge --uses 3 --ttl 3600 --label env=prod --label site=b";
    let made = line(&node, words).ok();
    has(
        &made,
        &[
            "uses     0 of 3\n",
            "labels   env=prod,site=b\n",
            "token    amp_",
        ],
    );
    let list = line(&node, "enrollment list").ok();
    has(&list, &["edge", "active", "0 of 3", "env=prod,site=b"]);
    assert!(!list.contains("amp_"), "{list}");
    let id = line(&node, "enrollment list -o name").ok();
    let revoke = format!("enrollment revoke {id}");
    has(&line(&node, &revoke).ok(), &["revoked"]);
    assert_eq!(line(&node, "enrollment list -o name").ok(), "");
    has(&line(&node, &revoke).failed(1), &["code: token_not_found"]);
    has(
        &line(&node, "enrollment create a --label x").failed(2),
        &["KEY=VALUE"],
    );
}

#[test]
fn the_token_of_the_file_is_replaced_and_never_comes_back() {
    let home = tempfile::tempdir().expect("a directory");
    let node = start_in(home.path(), &[]);
    let file = node.data_dir().join("admin.token");
    let first = node.token.clone();
    let admins = line(&node, "tokens list -o name").ok();
    let last = line(&node, &format!("tokens revoke {admins}")).failed(1);
    has(&last, &["code: last_admin_token"]);
    // the file is lost: a new one is made, and the old one is over
    fs::remove_file(&file).expect("a file");
    assert!(node.stop().success());
    let node = start_in(home.path(), &[]);
    let second = node.token.clone();
    assert_ne!(first, second);
    assert_eq!(asked_with(&node, &first), Some(1));
    assert_eq!(asked_with(&node, &second), Some(0));
    // it is revoked: the file gets another one, and nobody brings the old one back
    let other = json(&node, "tokens create boss --role admin");
    let boss = text(&other, "token").to_owned();
    line(&node, &format!("tokens revoke {admins}")).ok();
    assert_eq!(asked_with(&node, &second), Some(1));
    assert!(node.stop().success());
    let node = start_in(home.path(), &[]);
    assert_ne!(node.token, second);
    for (token, code) in [(&second, 1), (&node.token, 0), (&boss, 0)] {
        assert_eq!(asked_with(&node, token), Some(code));
    }
}
