//! Any rows come back; any other byte is found.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "an error that a test does not name fails it"
)]

use std::sync::Arc;

use ampora_raft::ids::ConfigHash;
use ampora_raft::records::{AuditHead, FleetMeta};
use proptest::prelude::*;

use super::*;
use ampora_raft::rows::Row;

fn header() -> Header {
    Header {
        id: "5eb1".to_owned(),
        lineage: 7,
        applied_index: 300,
        fleet_time_ms: 5,
        created_ms: 1_700_000_000_000,
        node: NodeId(1),
        version: "0.1.0".to_owned(),
        feature_level: FEATURE_LEVEL,
    }
}

fn written(header: &Header, rows: &[(RowKey, Row)]) -> Vec<u8> {
    let (mut writer, mut bytes) = Writer::begin(header).expect("small");
    for (key, row) in rows {
        bytes.extend(writer.row(key, row).expect("small").unwrap_or_default());
    }
    bytes.extend(writer.end().expect("small"));
    bytes
}

fn read(bytes: &[u8]) -> Result<(Vec<(RowKey, Row)>, Summary), BackupError> {
    let mut reader = Reader::open(bytes)?;
    let mut rows = Vec::new();
    while let Some(chunk) = reader.rows()? {
        rows.extend(chunk);
    }
    Ok((rows, reader.summary()?))
}

fn row() -> impl Strategy<Value = (RowKey, Row)> {
    let part = (any::<u8>(), any::<u16>(), 0..300_000_usize).prop_map(|(hash, part, bytes)| {
        let key = RowKey::BodyPart(ConfigHash([hash; 32]), part);
        (key, Row::BodyPart(vec![hash; bytes].into()))
    });
    let meta = any::<u64>().prop_map(|time_ms| {
        let meta = FleetMeta {
            time_ms,
            ..FleetMeta::default()
        };
        (RowKey::Meta, Row::Meta(Arc::new(meta)))
    });
    let head = any::<u64>().prop_map(|last| {
        let head = AuditHead {
            last,
            ..AuditHead::default()
        };
        (RowKey::AuditHead, Row::AuditHead(Arc::new(head)))
    });
    prop_oneof![1 => part, 4 => meta, 4 => head]
}

fn few() -> Vec<(RowKey, Row)> {
    let meta = Row::Meta(Arc::new(FleetMeta::default()));
    let part = RowKey::BodyPart(ConfigHash([1; 32]), 0);
    vec![
        (RowKey::Meta, meta),
        (part, Row::BodyPart(vec![9; 40].into())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_come_back_and_no_chunk_is_large(rows in prop::collection::vec(row(), 0..20)) {
        let bytes = written(&header(), &rows);
        let (back, summary) = read(&bytes).expect("ours");
        prop_assert_eq!(&back, &rows);
        let counted: u64 = summary.rows.iter().map(|(_, count)| count).sum();
        prop_assert_eq!(counted, rows.len() as u64);
        prop_assert_eq!(summary.bytes, bytes.len() as u64);
    }

    /// Whatever stands in a file, reading it ends, with an error unless it was written so.
    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), whole in any::<bool>()) {
        let mut file = if whole { written(&header(), &few()) } else { Vec::new() };
        file.truncate(file.len() / 2);
        file.extend(bytes);
        prop_assert!(read(&file).is_err());
    }
}

#[test]
fn every_flipped_bit_and_every_end_is_found_with_its_place() {
    let bytes = written(&header(), &few());
    assert_eq!(read(&bytes).expect("ours").0, few());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            let Err(error) = read(&flipped) else {
                panic!("bit {bit} of byte {at}")
            };
            let place = match &error {
                BackupError::Damaged { offset, .. } | BackupError::Truncated { offset } => *offset,
                BackupError::Foreign => 0,
                BackupError::Newer { .. } => 16,
                other => panic!("{other}"),
            };
            assert!(place <= bytes.len() as u64, "{error}");
        }
        let cut = read(&bytes[..at]).expect_err("not whole");
        match cut {
            BackupError::Foreign => assert_eq!(at, 0),
            BackupError::Truncated { offset } => assert_eq!(offset, at as u64),
            other => panic!("cut at {at}: {other}"),
        }
    }
    let more = [bytes.as_slice(), b"\n"].concat();
    let refused = read(&more).expect_err("more").to_string();
    assert!(
        refused.contains("something stands behind its end"),
        "{refused}"
    );
}

#[test]
fn what_is_newer_or_no_backup_is_said_to_be_so() {
    let refused = |bytes: &[u8]| read(bytes).expect_err("refused").to_string();
    assert_eq!(
        refused(b"PK\x03\x04 something else"),
        "it is not a backup of ampora"
    );
    let mut newer = written(&header(), &few());
    newer[19] = 2;
    assert_eq!(
        refused(&newer),
        "it has backup format 2, this program reads up to 1: use a newer ampora"
    );
    let later = Header {
        version: "9.0.0".to_owned(),
        feature_level: FEATURE_LEVEL + 1,
        ..header()
    };
    let refused = refused(&written(&later, &few()));
    let wanted = format!("by ampora 9.0.0 at feature level {}", FEATURE_LEVEL + 1);
    assert!(refused.contains(&wanted), "{refused}");
}

/// Whole chunks in another order have every checksum of their own right.
#[test]
fn chunks_that_changed_places_are_found() {
    let part = |part| {
        let key = RowKey::BodyPart(ConfigHash([1; 32]), part);
        (key, Row::BodyPart(vec![9; 200_000].into()))
    };
    let (mut writer, mut swapped) = Writer::begin(&header()).expect("small");
    let mut chunks = Vec::new();
    for (key, row) in [part(0), part(1), part(2)] {
        chunks.extend(writer.row(&key, &row).expect("small"));
    }
    let last = writer.end().expect("small");
    assert_eq!(chunks.len(), 2, "one row each, the third with the end");
    let straight = [&swapped[..], &chunks.concat(), &last].concat();
    assert_eq!(read(&straight).expect("ours").0.len(), 3);
    chunks.reverse();
    swapped.extend([chunks.concat(), last].concat());
    let refused = read(&swapped).map(drop).expect_err("refused").to_string();
    assert!(refused.contains("SHA-256"), "{refused}");
}

/// A length that says four gigabytes costs nothing.
#[test]
fn hostile_lengths_are_refused_before_anything_is_read() {
    let mut bytes = written(&header(), &few());
    bytes.truncate(20);
    bytes.extend([b'H', 0xff, 0xff, 0xff, 0xff, 0]);
    let refused = read(&bytes).expect_err("refused").to_string();
    assert_eq!(
        refused,
        "it is damaged at byte 20: a chunk is longer than any may be"
    );
}
