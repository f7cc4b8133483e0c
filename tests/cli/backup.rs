//! Backups of a running node, and clusters that begin anew from them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::agent::{Agent, CAPABLE};
use crate::support::{Node, ampora, eventually, start, start_in};
use crate::{Did, has, json, line, run, run_with};

const SOON: Duration = Duration::from_secs(30);

/// What is added to fences and epochs.
const JUMP: u64 = 1 << 32;

/// The flag of a server that wants to hear everything again.
const REPORT_FULL_STATE: u64 = 1;

fn arrived(node: &Node, number: u8) -> Agent {
    let agent = Agent::connect(node.opamp_addr, number, CAPABLE);
    eventually("the report of the agent", SOON, || {
        let list = json(node, &format!("agents list -q host-{number}"));
        (!list["items"].as_array()?.is_empty()).then_some(())
    });
    agent
}

fn save(node: &Node, file: &Path) -> Value {
    let file = file.to_str().expect("text");
    let text = run(node, &["backup", "save", file, "-o", "json"]).ok();
    serde_json::from_str(&text).expect("JSON")
}

fn offline(home: &Path, words: &[&str], file: &Path) -> Did {
    let mut command = ampora(home);
    command.arg("backup").args(words).arg(file);
    Did::run(command)
}

/// Restores into the directory of a node that is started with `start_in(home)`.
fn restore(home: &Path, file: &Path) -> Value {
    let words = ["restore", "--data-dir", "data", "-o", "json"];
    serde_json::from_str(&offline(home, &words, file).ok()).expect("JSON")
}

/// Everything below a directory, with the bytes of each file.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let bytes = fs::read(&path).expect("a file");
                all.insert(path, bytes);
            }
        }
    }
    all
}

fn fence(node: &Node, agent: &Agent) -> u64 {
    let shown = json(node, &format!("agents show {}", agent.uid()));
    shown["fence"].as_u64().unwrap_or_default()
}

/// What must be the same of each agent before and after.
fn known(node: &Node) -> Vec<Value> {
    let list = json(node, "agents list");
    let items = list["items"].as_array().expect("a list").iter();
    let fields = [
        "instance_uid",
        "name",
        "labels",
        "server_labels",
        "capabilities",
        "group",
        "first_seen",
    ];
    items
        .map(|item| {
            fields
                .map(|field| item[field].clone())
                .into_iter()
                .collect()
        })
        .collect()
}

/// Versions that were acknowledged, with their bytes.
type Acked = Mutex<BTreeMap<String, String>>;

/// Puts versions until told to stop.
fn write(node: &Node, writer: usize, acked: &Acked, stop: &AtomicBool) {
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let body = format!("writer: {writer}\nturn: {turn}\n");
        let name = format!("load-{writer}");
        let put = run_with(node, &["configs", "put", &name, "-", "-o", "name"], &body).ok();
        acked
            .lock()
            .expect("whole")
            .insert(put.trim_end().to_owned(), body);
    }
}

fn acked_more(acked: &Acked, than: usize) -> BTreeMap<String, String> {
    eventually("acknowledged versions", SOON, || {
        let acked = acked.lock().expect("whole");
        (acked.len() > than).then(|| acked.clone())
    })
}

/// Bodies of three parts.
fn large() -> String {
    format!("a: {}\n", "x".repeat(700_000))
}

/// What was acknowledged before a backup that was saved while others wrote, and what `save` answered.
fn save_under_load(source: &Node, file: &Path) -> (BTreeMap<String, String>, Value) {
    let (acked, stop) = (Acked::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (acked, stop) = (&acked, &stop);
            scope.spawn(move || write(source, writer, acked, stop));
        }
        let before = acked_more(&acked, 6);
        let saved = save(source, file);
        // they went on meanwhile
        let during = acked.lock().expect("whole").len();
        acked_more(&acked, during + 3);
        stop.store(true, Ordering::Relaxed);
        (before, saved)
    })
}

#[test]
fn what_was_acknowledged_before_is_there_again_and_what_follows_is_beyond_it() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("fleet.backup");
    let source = start(&[]);
    run_with(&source, &["configs", "put", "edge", "-"], &large()).ok();
    line(&source, "groups put prod --selector env=prod --config edge").ok();
    let mut agents: Vec<Agent> = (1..=3).map(|number| arrived(&source, number)).collect();
    let last_fence = agents.iter().map(|agent| fence(&source, agent)).max();
    let (before, saved) = save_under_load(&source, &file);
    let agents_before = known(&source);
    let groups_before = json(&source, "groups show prod");
    let (token, cluster) = (source.token.clone(), json(&source, "cluster status"));
    source.kill();

    assert_eq!(saved["lineage"], cluster["cluster_id"]);
    let inspected = offline(home.path(), &["inspect", "-o", "json"], &file).ok();
    let inspected: Value = serde_json::from_str(&inspected).expect("JSON");
    assert_eq!(inspected, saved);
    assert_eq!(inspected["rows"]["agents"], 3);
    let lineages: Vec<String> = ["one", "two"]
        .map(|name| {
            let other = home.path().join(name);
            fs::create_dir(&other).expect("made");
            let restored = restore(&other, &file);
            assert_eq!(restored["previous_lineage"], cluster["cluster_id"]);
            restored["lineage"].as_str().expect("text").to_owned()
        })
        .into();
    assert_ne!(lineages[0], lineages[1]);

    let home = home.path().join("one");
    fs::write(home.join("data/admin.token"), format!("{token}\n")).expect("written");
    let node = start_in(&home, &[]);
    assert_eq!(node.token, token, "a token that the backup knows stays");
    assert_eq!(
        json(&node, "cluster status")["cluster_id"],
        lineages[0].as_str()
    );
    assert_eq!(known(&node), agents_before);
    for (version, body) in &before {
        let raw = line(&node, &format!("configs show {version} --raw")).ok();
        assert_eq!(raw, *body, "{version}");
    }
    assert_eq!(line(&node, "configs show edge@1 --raw").ok(), large());
    let group = json(&node, "groups show prod");
    assert_eq!(group["settled"], groups_before["settled"]);
    has(&line(&node, "audit verify").ok(), &["chain    whole\n"]);
    has(
        &line(&node, "audit list --action cluster.restore -o wide").ok(),
        &[&lineages[0], cluster["cluster_id"].as_str().expect("text")],
    );

    for agent in &mut agents {
        agent.moves_to(node.opamp_addr);
        let answer = agent.poll();
        assert_eq!(answer.flags & REPORT_FULL_STATE, REPORT_FULL_STATE);
        // it is answered before its session is in the log
        eventually("its session", SOON, || {
            (fence(&node, agent) > last_fence.unwrap_or_default() + JUMP).then_some(())
        });
    }
    // it goes on as any cluster, over a kill and a restart
    run_with(&node, &["configs", "put", "edge", "-"], "after: 1\n").ok();
    node.kill();
    let node = start_in(&home, &[]);
    assert_eq!(line(&node, "configs show edge --raw").ok(), "after: 1\n");
    assert_eq!(known(&node), agents_before);
    has(&line(&node, "audit verify").ok(), &["chain    whole\n"]);
    assert!(node.stop().success());
}

#[test]
fn without_its_file_the_admin_token_of_before_is_over() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("fleet.backup");
    let source = start(&[]);
    let made = json(&source, "tokens create watcher --role viewer");
    let watcher = made["token"].as_str().expect("text");
    save(&source, &file);
    let token = source.token.clone();
    assert!(source.stop().success());
    restore(home.path(), &file);
    let node = start_in(home.path(), &["--set", "node.id=1"]);
    assert_ne!(node.token, token);
    line(&node, "status").ok();
    let refused = run(&node, &["agents", "list", "--token", &token]).failed(1);
    has(&refused, &["unauthenticated"]);
    run(&node, &["agents", "list", "--token", watcher]).ok();
}

#[test]
fn a_restored_cluster_has_one_node_with_the_configured_id() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("fleet.backup");
    let source = start(&[]);
    save(&source, &file);
    assert!(source.stop().success());
    let words = ["restore", "--data-dir", "data", "--set", "node.id=7"];
    offline(home.path(), &words, &file).ok();
    let node = start_in(home.path(), &[]);
    let cluster = json(&node, "cluster status");
    assert_eq!(
        (&cluster["node_id"], &cluster["leader_id"]),
        (&json!(7), &json!(7))
    );
    let live = cluster["nodes"].as_array().expect("a list").iter();
    let live: Vec<_> = live
        .filter(|node| node["live"] == true)
        .map(|node| (node["id"].clone(), node["role"].clone()))
        .collect();
    assert_eq!(live, [(json!(7), json!("voter"))]);
}

#[test]
fn a_restart_that_was_queued_reaches_its_agent_at_most_once() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("fleet.backup");
    let source = start(&[]);
    let mut agent = arrived(&source, 1);
    let words = format!("agents restart {} --no-wait -o json", agent.uid());
    let ordered: Value = serde_json::from_str(&line(&source, &words).ok()).expect("JSON");
    save(&source, &file);
    assert!(agent.poll().command.is_some(), "the source gives it");
    source.kill();
    restore(home.path(), &file);
    let node = start_in(home.path(), &[]);
    agent.moves_to(node.opamp_addr);
    for _ in 0..3 {
        assert!(agent.poll().command.is_none(), "nobody gives it again");
    }
    let id = ordered["id"].to_string();
    let dispatch = json(&node, &format!("dispatch show {}", id.trim_matches('"')));
    assert_eq!(dispatch["state"], "done");
    assert_eq!(dispatch["deliveries"][0]["state"], "failed");
    has(
        &dispatch["deliveries"][0]["error"].to_string(),
        &["outcome_unknown"],
    );
}

/// What an agent said to the cluster before, after the backup, is asked for even where its numbers seem to go on.
#[test]
fn a_sequence_that_seems_to_go_on_is_not_believed() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("fleet.backup");
    let source = start(&[]);
    let mut agent = arrived(&source, 1);
    agent.leaves();
    eventually("the goodbye", SOON, || {
        let shown = json(&source, &format!("agents show {}", agent.uid()));
        (shown["state"] == "disconnected").then_some(())
    });
    save(&source, &file);
    source.kill();
    restore(home.path(), &file);
    let node = start_in(home.path(), &[]);
    agent.moves_to(node.opamp_addr);
    let answer = agent.poll();
    assert_eq!(answer.flags & REPORT_FULL_STATE, REPORT_FULL_STATE);
}

#[test]
fn files_that_are_not_whole_are_refused_and_nothing_is_begun() {
    let home = tempfile::tempdir().expect("a directory");
    let whole = home.path().join("fleet.backup");
    let source = start(&[]);
    run_with(&source, &["configs", "put", "edge", "-"], &large()).ok();
    save(&source, &whole);
    assert!(source.stop().success());
    let bytes = fs::read(&whole).expect("a file");
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        bytes
    };
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
    };
    let cases: [(Vec<u8>, &str); 6] = [
        (changed(flip), "is damaged at byte"),
        (
            changed(|bytes| bytes.truncate(bytes.len() - 1)),
            "it is not whole",
        ),
        (
            changed(|bytes| bytes.truncate(100_000)),
            "it ends at byte 100000, before its end",
        ),
        (
            changed(|bytes| bytes.push(b'\n')),
            "something stands behind its end",
        ),
        (b"receivers: {}\n".to_vec(), "it is not a backup of ampora"),
        (
            changed(|bytes| bytes[19] = 9),
            "it has backup format 9, this program reads up to 1",
        ),
    ];
    let file = home.path().join("bad.backup");
    for (bytes, sentence) in cases {
        fs::write(&file, bytes).expect("written");
        has(
            &offline(home.path(), &["inspect"], &file).failed(1),
            &["cannot use ", sentence],
        );
        let words = ["restore", "--data-dir", "data"];
        has(
            &offline(home.path(), &words, &file).failed(1),
            &["cannot restore ", sentence],
        );
        let data = home.path().join("data").try_exists();
        assert!(!data.expect("readable"), "{sentence}");
    }
    let missing = home.path().join("none.backup");
    has(
        &offline(home.path(), &["inspect"], &missing).failed(1),
        &["cannot read "],
    );
}

#[test]
fn a_directory_that_is_used_is_refused_and_stays_as_it_is() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("fleet.backup");
    let node = start_in(home.path(), &[]);
    save(&node, &file);
    let words = ["restore", "--data-dir", "data"];
    let refused = || offline(home.path(), &words, &file).failed(1);
    has(
        &refused(),
        &["is in use by another process", &node.pid().to_string()],
    );
    assert!(node.stop().success());
    let before = content(&home.path().join("data"));
    has(
        &refused(),
        &["is not empty: a backup is restored into an empty directory only"],
    );
    assert_eq!(content(&home.path().join("data")), before);

    let other = home.path().join("other");
    fs::create_dir(&other).expect("made");
    fs::write(other.join("thesis.txt"), "years of work").expect("written");
    let words = ["restore", "--data-dir", "other"];
    has(
        &offline(home.path(), &words, &file).failed(1),
        &["other is not empty"],
    );
    assert_eq!(content(&other).len(), 1);
}

/// As a kill in the middle leaves it: nobody takes half a fleet for a whole one.
#[test]
fn a_restore_that_did_not_end_is_opened_by_nobody() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("fleet.backup");
    let source = start(&[]);
    save(&source, &file);
    assert!(source.stop().success());
    restore(home.path(), &file);
    fs::write(home.path().join("data/restoring"), "").expect("written");
    let sentence = "did not come to its end: empty the directory and restore the backup again";
    let mut serve = ampora(home.path());
    serve.args(["serve", "--data-dir", "data"]);
    serve.args([
        "--set",
        "opamp.listen=127.0.0.1:0",
        "--set",
        "admin.listen=127.0.0.1:0",
    ]);
    has(&Did::run(serve).failed(1), &[sentence]);
    let words = ["restore", "--data-dir", "data"];
    has(&offline(home.path(), &words, &file).failed(1), &[sentence]);
}

#[test]
fn a_saved_file_is_private_and_never_replaced_unasked() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("fleet.backup");
    let node = start(&[]);
    let first = save(&node, &file);
    let mode = fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let name = file.to_str().expect("text");
    let refused = run(&node, &["backup", "save", name]).failed(1);
    has(&refused, &["fleet.backup exists: --force replaces it"]);
    let text = run(&node, &["backup", "save", name, "--force", "-o", "json"]).ok();
    let second: Value = serde_json::from_str(&text).expect("JSON");
    assert_ne!(first["id"], second["id"]);
    let shown = run(&node, &["backup", "inspect", name]).ok();
    has(
        &shown,
        &["1 tokens", second["sha256"].as_str().expect("text")],
    );
    assert!(!String::from_utf8_lossy(&fs::read(&file).expect("a file")).contains(&node.token));
    let token = ["--token", "amp_nobody"];
    let refused = [&["backup", "save", "other.backup"][..], &token].concat();
    has(&run(&node, &refused).failed(1), &["unauthenticated"]);
    let gone = home.path().join("gone/fleet.backup");
    let refused = run(&node, &["backup", "save", gone.to_str().expect("text")]).failed(1);
    has(&refused, &["cannot write ", "gone/fleet.backup"]);
    let files = content(home.path());
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        [&file],
        "nothing half done"
    );
}
