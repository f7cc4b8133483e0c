//! A node that runs alone moves into a cluster while it runs.

use serde_json::json;

use crate::cluster::{Cluster, roles};

#[test]
fn a_running_node_joins_and_keeps_its_process_and_its_token() {
    let mut all = Cluster::of_one();
    all.put(1, "shared");
    let token = all.token(1, &json!({}));
    // alone, with a cluster of its own, and something in it
    all.start(2, &[]);
    all.put(2, "own");
    let pid = all.node(2).pid();
    let file = all.node(2).data_dir().join("join.token");
    std::fs::write(&file, &token).expect("written");
    let file = file.to_str().expect("a text").to_owned();
    let refused = all.fails(2, &["cluster", "join", "--token-file", &file]);
    assert!(refused.contains("holds groups"), "{refused}");
    let wrong = json!({"token": token, "peer_address": "127.0.0.1:1", "discard": true});
    assert_eq!(
        all.get(2, "/groups/own")["name"],
        "own",
        "nothing has changed"
    );
    let (status, answer) = all.post(2, "/cluster/join", &wrong);
    // the address is tried first, then those of the token
    assert_eq!(
        (status, &answer["state"]),
        (202, &json!("joining")),
        "{answer}"
    );
    all.until(1, "/cluster", "it is a member", |shown| {
        roles(shown).get(&2)?.1.then_some(())
    });
    all.until(
        2,
        "/groups/shared",
        "it has what the cluster has",
        |group| group["name"].as_str().map(drop),
    );
    assert_eq!(all.node(2).pid(), pid, "the same process");
    let (status, _) = all.try_ask(2, reqwest::Method::GET, "/groups/own", None);
    assert_eq!(status, 404);
    let aside = std::fs::read_dir(all.node(2).data_dir()).expect("a directory");
    let is_aside = |name: &str| name.starts_with("set-aside-");
    let kept = aside.filter(|entry| {
        let name = entry.as_ref().expect("an entry").file_name();
        is_aside(&name.to_string_lossy())
    });
    assert_eq!(kept.count(), 1, "what it had is still there");
    let (status, answer) = all.post(2, "/cluster/join", &wrong);
    assert_eq!((status, &answer["code"]), (409, &json!("already_member")));
}
