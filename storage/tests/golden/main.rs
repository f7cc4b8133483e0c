//! Bytes that were released: everything that was ever written to a disk is decoded by every later program,
//! and written again as the same bytes.
//!
//! The files beside this one hold a line for each sample, its name and its bytes in hex. Lines are never
//! changed or removed. A new kind needs a sample here and its line: run this test once with
//! `AMPORA_WRITE_GOLDEN=1`, which appends what is missing and changes nothing that is there.

mod backup;
mod history;
mod log;
mod proposals;
mod rows;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::Write;
use std::path::PathBuf;

use ampora_storage::codec::{Kind, decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

fn path(file: &str) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    dir.join("tests/golden").join(file)
}

fn lines(file: &str) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path(file)).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines
        .map(|(name, hex)| (name.to_owned(), hex.to_owned()))
        .collect()
}

/// Compares bytes with the line of their name.
fn check_bytes(file: &str, name: &str, bytes: &[u8]) {
    let hex = hex::encode(bytes);
    match lines(file).get(name) {
        Some(kept) => assert_eq!(
            *kept, hex,
            "{name} of {file} is written otherwise than it was"
        ),
        None if std::env::var_os("AMPORA_WRITE_GOLDEN").is_some() => {
            let mut out = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path(file))
                .expect("opens");
            writeln!(out, "{name} {hex}").expect("written");
        }
        None => panic!("{file} has no line {name}: see the head of this test"),
    }
}

/// Compares a value with its line, both ways.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    file: &str,
    name: &str,
    kind: Kind,
    value: &T,
) {
    check_bytes(file, name, &encode(kind, value).expect("within the limits"));
    let kept = hex::decode(&lines(file)[name]).expect("hex");
    let decoded: T = decode(kind, &kept).expect("an old program wrote it");
    assert_eq!(decoded, *value, "{name} of {file} means something else");
}

/// Every kind has a sample, and every line of the file is of a sample.
fn check_names(file: &str, kinds: &[&str], samples: &[String]) {
    for kind in kinds {
        assert!(
            samples
                .iter()
                .any(|name| name.split('.').next() == Some(kind)),
            "{kind} has no sample in {file}"
        );
    }
    for name in lines(file).keys() {
        assert!(
            samples.contains(name),
            "the sample of line {name} of {file} is gone"
        );
    }
}
