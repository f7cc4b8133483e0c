//! A whole backup: files that operators keep are read by every later program.

use std::sync::Arc;

use ampora_raft::fleet::FEATURE_LEVEL;
use ampora_raft::ids::NodeId;
use ampora_raft::records::{FleetMeta, MemberNote};
use ampora_raft::rows::{Row, RowKey};
use ampora_storage::backup::{Header, Reader, Writer};

use super::{check_bytes, check_names, lines, proposals};

const FILE: &str = "backup.txt";

#[test]
fn a_backup_is_read_and_written_as_it_was() {
    assert_eq!(FEATURE_LEVEL, 3, "add a line of the new level");
    let names = ["whole", "level_2", "level_3"];
    for (name, level) in names.into_iter().zip(1..) {
        check_backup(name, level);
    }
    check_names(FILE, &names, &names.map(str::to_owned));
}

fn check_backup(name: &str, feature_level: u16) {
    let header = Header {
        id: "5eb1".to_owned(),
        lineage: 7,
        applied_index: 300,
        fleet_time_ms: 70_000,
        created_ms: 1_700_000_000_000,
        node: NodeId(1),
        version: "0.1.0".to_owned(),
        feature_level,
    };
    let meta = FleetMeta {
        lineage: 7,
        ..FleetMeta::default()
    };
    let part = RowKey::BodyPart(proposals::hash(3), 1);
    let mut rows = vec![
        (RowKey::Meta, Row::Meta(Arc::new(meta))),
        (part, Row::BodyPart(vec![1, 2, 3].into())),
    ];
    if feature_level > 1 {
        let peer = proposals::cluster::peer(2);
        rows.push((RowKey::Peer(peer.id), Row::Peer(Arc::new(peer))));
    }
    if feature_level > 2 {
        let held = Row::MemberNote(Arc::new(MemberNote::Held));
        rows.push((RowKey::MemberNote(NodeId(2)), held));
    }
    let (mut writer, mut bytes) = Writer::begin(&header).expect("small");
    for (key, row) in &rows {
        assert_eq!(writer.row(key, row).expect("small"), None);
    }
    bytes.extend(writer.end().expect("small"));
    check_bytes(FILE, name, &bytes);

    let kept = hex::decode(&lines(FILE)[name]).expect("hex");
    let mut reader = Reader::open(kept.as_slice()).expect("an old program wrote it");
    assert_eq!(*reader.header(), header);
    assert_eq!(reader.rows().expect("whole"), Some(rows));
    assert_eq!(reader.rows().expect("whole"), None);
}
