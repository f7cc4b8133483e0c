//! How the command line finds a node and its token, and what it says when it does not.

use crate::support::{ampora, start};
use crate::{Did, run};

#[test]
fn wrong_words_end_with_two() {
    let home = tempfile::tempdir().unwrap();
    for words in [
        &["agents"][..],
        &["agents", "nonsense"],
        &["agents", "list", "--nonsense"],
        &["agents", "list", "--state", "asleep"],
        &["agents", "list", "--limit", "0"],
        &["agents", "show", "not-a-uid"],
        &["agents", "restart"],
        &["agents", "list", "-o", "xml"],
        &["configs", "put", "Upper", "-"],
        &["configs", "show", "edge@x"],
        &["groups", "put", "g"],
        &["groups", "delete", ".."],
        &["dispatch", "show", "x"],
        &["status", "--url", "ftp://127.0.0.1:4321"],
        &["status", "--url", "127.0.0.1:4321"],
        &["agents", "list", "--token", "two words"],
        &["agents", "list", "--set", "nonsense=1"],
        &["agents", "list", "--config", "absent.yaml"],
        &["--url", "http://127.0.0.1:1", "serve"],
    ] {
        let mut command = ampora(home.path());
        command.args(words);
        let did = Did::run(command);
        assert_eq!(
            (did.code, did.out.as_str()),
            (Some(2), ""),
            "{words:?} {}",
            did.err
        );
        assert!(!did.err.is_empty(), "{words:?}");
    }
    let left = std::fs::read_dir(home.path()).unwrap().count();
    assert_eq!(left, 0, "a refused command leaves nothing behind");
}

#[test]
fn absent_node_is_named_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let words: &[&[&str]] = &[
        &["status", "--url", "http://127.0.0.1:1"],
        &["agents", "list", "--url", "http://127.0.0.1:1"],
        &["agents", "watch", "--set", "admin.listen=127.0.0.1:1"],
        &["cluster", "status", "--set", "admin.listen=127.0.0.1:0"],
    ];
    for words in words {
        let mut command = ampora(home.path());
        command.args(*words);
        let said = Did::run(command).failed(1);
        assert!(said.contains("cannot reach http://127.0.0.1:"), "{said}");
        assert!(said.contains("`ampora serve`"), "{said}");
    }
}

#[test]
fn node_and_token_are_found_from_flags_environment_and_file() {
    let node = start(&[]);
    assert_eq!(run(&node, &["agents", "list"]).ok(), "no agents\n");
    let elsewhere = tempfile::tempdir().unwrap();
    let command = |words: &[&str], environment: &[(&str, &str)]| {
        let mut command = ampora(elsewhere.path());
        command.args(words).envs(environment.iter().copied());
        Did::run(command)
    };
    let url = node.admin_url.as_str();
    let token = node.token.as_str();
    let list = ["agents", "list"];
    let without = command(&list, &[("AMPORA_URL", url)]).failed(1);
    assert!(
        without.contains("wants a token") && without.contains("admin.token: No such file"),
        "{without}"
    );
    let environment = [("AMPORA_URL", url), ("AMPORA_TOKEN", token)];
    assert_eq!(command(&list, &environment).ok(), "no agents\n");
    let typed = ["--url", url, "agents", "list", "--token", token];
    assert_eq!(command(&typed, &[]).ok(), "no agents\n");
    let proxy = "http://127.0.0.1:1";
    let proxied = [
        ("http_proxy", proxy),
        ("HTTP_PROXY", proxy),
        ("ALL_PROXY", proxy),
    ];
    assert_eq!(command(&typed, &proxied).ok(), "no agents\n");
    let wrong = ["--url", url, "--token", "amp_wrong", "agents", "list"];
    let refused = command(&wrong, &environment).failed(1);
    assert!(
        refused.contains("code: unauthenticated") && refused.contains("the token from --token"),
        "{refused}"
    );
    assert!(!refused.contains("amp_wrong"), "{refused}");

    let file = elsewhere.path().join("node.yaml");
    let data = node.data_dir().display().to_string();
    std::fs::write(
        &file,
        format!("node:\n  data_dir: {data}\nadmin:\n  listen: 127.0.0.1:0\n"),
    )
    .unwrap();
    let by_file = ["agents", "list", "--config", "node.yaml"];
    assert_eq!(command(&by_file, &[]).ok(), "no agents\n");
    assert_eq!(
        command(&list, &[("AMPORA_CONFIG", "node.yaml")]).ok(),
        "no agents\n"
    );
    let by_dir = ["agents", "list", "--data-dir", &data];
    assert_eq!(command(&by_dir, &[]).ok(), "no agents\n");
}

#[test]
fn status_and_cluster_tell_about_the_node() {
    let node = start(&[]);
    let status = run(&node, &["status"]).ok();
    assert!(
        status.contains("status   ok\n") && status.contains("nodes    1 of 1 live\n"),
        "{status}"
    );
    let mut without = ampora(node.data_dir().join("bodies").as_path());
    without.args(["status", "--url", &node.admin_url]);
    let half = Did::run(without).ok();
    assert!(
        half.contains("status   ok\n") && half.contains("not known: "),
        "{half}"
    );
    let cluster = run(&node, &["cluster", "status", "-o", "wide"]).ok();
    assert!(
        cluster.contains("voter, leader") && cluster.contains(&node.opamp_addr.to_string()),
        "{cluster}"
    );
    assert_eq!(run(&node, &["cluster", "status", "-o", "name"]).ok(), "1\n");
}

#[test]
fn closed_output_is_no_failure() {
    let node = start(&[]);
    let mut command = crate::typed(&node, &["cluster", "status", "-o", "json"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer);
    assert_eq!(Did::run(command).code, Some(0));
}
