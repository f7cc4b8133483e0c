//! The audit through the command line, over restarts, and over a disk that was tampered with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::records::AuditRecord;
use ampora_raft::rows::{Row, RowKey};
use ampora_storage::codec::{Kind, decode, encode};
use ampora_storage::kv::{Kv, Op, SledKv};
use ampora_storage::parts;
use serde_json::Value;

use crate::support::{Node, eventually, start, start_in};
use crate::{has, json, line, run_with};

/// Changes that leave these records: a version, and a group three times.
fn change(node: &Node) {
    run_with(node, &["configs", "put", "edge", "-"], "a: 1\n").ok();
    for priority in 1..=3 {
        let put = format!("groups put prod --selector env=prod --priority {priority}");
        line(node, &put).ok();
    }
}

#[test]
fn changes_are_listed_verified_and_exported() {
    let node = start(&[]);
    has(&line(&node, "audit list").ok(), &["no records\n"]);
    has(
        &line(&node, "audit verify").ok(),
        &["chain    whole\nrecords  0\n"],
    );
    assert_eq!(line(&node, "audit export").ok(), "");
    change(&node);
    let list = line(&node, "audit list").ok();
    assert_eq!(list.lines().count(), 5, "{list}");
    has(
        &list,
        &[
            "admin  127.0.0.1  group.put       prod\n",
            "version.create  edge@1\n",
        ],
    );
    let wide = line(&node, "audit list --target prod --limit 1 -o wide").out;
    has(&wide, &["\"priority\":2", "\"priority\":3"]);
    let names = |words: &str| line(&node, &format!("audit list {words} -o name")).ok();
    assert_eq!(names("--action version.create"), "1\n");
    assert_eq!(names("--actor nobody"), "");
    assert_eq!(names("--until 2020-01-01T00:00:00Z"), "");
    assert_eq!(
        names("--since 2020-01-01T00:00:00Z --target prod"),
        "4\n3\n2\n"
    );
    has(
        &line(&node, "audit list --since today").failed(2),
        &["RFC 3339"],
    );
    let exported = line(&node, "audit export").ok();
    let lines: Vec<Value> = exported
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let numbers: Vec<_> = lines.iter().map(|line| line["seq"].as_u64()).collect();
    assert_eq!(numbers, [Some(4), Some(3), Some(2), Some(1)]);
    assert!(!exported.contains(&node.token));
    let verified = json(&node, "audit verify");
    assert_eq!(
        (&verified["records"], &verified["hash"]),
        (&4.into(), &lines[0]["hash"])
    );
}

#[test]
fn the_chain_goes_on_over_a_stop_and_a_power_cut() {
    let home = tempfile::tempdir().expect("a directory");
    let node = start_in(home.path(), &[]);
    change(&node);
    let before = line(&node, "audit export").ok();
    node.kill();
    let node = start_in(home.path(), &[]);
    assert_eq!(line(&node, "audit export").ok(), before);
    line(&node, "groups delete prod").ok();
    let before = line(&node, "audit export").ok();
    assert!(node.stop().success());
    let node = start_in(home.path(), &[]);
    assert_eq!(line(&node, "audit export").ok(), before);
    has(&line(&node, "audit verify").ok(), &["whole\nrecords  5\n"]);
}

/// The stored key of a record without the number of its part, in the first generation.
fn key(seq: u64) -> Vec<u8> {
    [b"r".to_vec(), vec![0; 4], RowKey::Audit(seq).to_bytes()].concat()
}

fn open(home: &Path) -> SledKv {
    let path = home.join("data").join("store");
    SledKv::open(&path, Arc::new(|_| {})).expect("the store of a node that has stopped")
}

/// Changes a record as somebody would who knows how rows are stored, and keeps every checksum right.
fn forge(home: &Path, seq: u64, change: fn(&mut AuditRecord)) {
    let kv = open(home);
    let stored = parts::get(&kv, &key(seq)).expect("read").expect("there");
    let Row::Audit(record) = decode(Kind::Row, &stored).expect("a row") else {
        panic!("no record");
    };
    let mut record = (*record).clone();
    change(&mut record);
    let row = encode(Kind::Row, &Row::Audit(Arc::new(record))).expect("small");
    let mut ops = Vec::new();
    parts::put(&kv, &mut ops, &key(seq), &row).expect("fits");
    kv.batch(ops).expect("written");
    kv.flush().expect("flushed");
}

/// What `audit verify` complains about after this was done to the store of a stopped node with four records; and
/// what `audit export` does.
fn tampered(tamper: impl FnOnce(&Path)) -> (String, String) {
    let home = tempfile::tempdir().expect("a directory");
    let node = start_in(home.path(), &[]);
    change(&node);
    assert!(node.stop().success());
    tamper(home.path());
    // threads of a closed store let go of it a moment later
    let store = std::fs::File::open(home.path().join("data/store/db")).expect("opens");
    eventually("the lock of the store", Duration::from_secs(30), || {
        store.try_lock().ok()
    });
    drop(store);
    let node = start_in(home.path(), &[]);
    let verified = line(&node, "audit verify");
    has(&verified.out, &["chain    broken\n"]);
    let exported = line(&node, "audit export");
    assert_eq!(exported.out.lines().count(), 4, "{exported:?}");
    (verified.failed(1), exported.failed(1))
}

#[test]
fn a_flipped_bit_is_found_where_every_checksum_is_right() {
    let (verified, exported) = tampered(|home| {
        forge(home, 3, |record| {
            let mut actor = record.actor.as_bytes().to_vec();
            actor[0] ^= 1;
            record.actor = String::from_utf8(actor).expect("text").into();
        });
    });
    has(
        &verified,
        &["broken at record 3: what it says is not what its hash was made of"],
    );
    has(
        &exported,
        &["record 3: what it says is not what its hash was made of"],
    );
}

#[test]
fn a_record_with_a_hash_made_anew_breaks_the_next_one() {
    let (verified, exported) = tampered(|home| {
        forge(home, 2, |record| {
            record.target = "other".into();
            record.hash = record.digest();
        });
    });
    has(&verified, &["broken at record 3: it does not follow"]);
    has(
        &exported,
        &["record 3 does not follow the record before it"],
    );
}

#[test]
fn a_flipped_bit_that_breaks_a_checksum_is_found_and_the_node_starts() {
    let (verified, exported) = tampered(|home| {
        let kv = open(home);
        let part = [key(2), vec![0; 2]].concat();
        let mut value = kv.get(&part).expect("read").expect("there");
        let middle = value.len() / 2;
        value[middle] ^= 1;
        kv.batch(vec![Op::Put(part, value)]).expect("written");
        kv.flush().expect("flushed");
    });
    has(&verified, &["broken at record 2: "]);
    has(&exported, &["record 2 cannot be read"]);
}

#[test]
fn a_record_that_was_removed_is_missed() {
    let (verified, _) = tampered(|home| {
        let kv = open(home);
        let mut ops = Vec::new();
        parts::remove(&kv, &mut ops, &key(1)).expect("listed");
        kv.batch(ops).expect("written");
        kv.flush().expect("flushed");
    });
    has(&verified, &["broken at record 1: it is missing"]);
}
