//! A fleet as a backup. Rows in memory cannot change under a copy; those beside memory can leave meanwhile, so they go
//! first, and what the copy cannot do without is missed loudly.

use std::io;
use std::sync::Arc;

use ampora_raft::fleet::Fleet;
use ampora_raft::records::AuditHead;
use ampora_raft::rows::{Row, RowKey};

use super::{Header, Writer};

/// A body left the store while the copy was written: another copy is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fleet went on and dropped a body that the snapshot needs: take another snapshot")]
pub struct Moved;

/// Hands `out` the bytes of a backup of `fleet`, chunk by chunk. `read` finds rows that are not in memory.
///
/// Uploads that no version refers to stay behind: whoever makes the version uploads them again.
///
/// # Errors
/// Fails when a row cannot be read, with [`Moved`] when one is gone, and when `out` fails.
pub fn export(
    fleet: &Fleet,
    header: &Header,
    mut read: impl FnMut(&RowKey) -> io::Result<Option<Row>>,
    mut out: impl FnMut(Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    let (mut writer, first) = Writer::begin(header)?;
    out(first)?;
    let mut put = |key: &RowKey, row: &Row| match writer.row(key, row)? {
        Some(chunk) => out(chunk),
        None => Ok(()),
    };
    for key in fleet.row_keys() {
        let (RowKey::BodyMeta(hash), Some(Row::BodyMeta(meta))) = (&key, fleet.row(&key)) else {
            continue;
        };
        if meta.references == 0 {
            continue;
        }
        for part in 0..meta.parts {
            let key = RowKey::BodyPart(*hash, part);
            let row = read(&key)?.ok_or_else(|| io::Error::other(Moved))?;
            put(&key, &row)?;
        }
    }
    let audit = audit(fleet.audit(), &mut read, &mut put)?;
    for key in fleet.row_keys() {
        match fleet.row(&key) {
            Some(Row::BodyMeta(meta)) if meta.references == 0 => {}
            Some(Row::AuditHead(_)) => put(&key, &Row::AuditHead(Arc::new(audit.clone())))?,
            Some(row) => put(&key, &row)?,
            None => {}
        }
    }
    out(writer.end()?)
}

/// Puts the records of the chain; answers its head with the oldest record that was still there.
fn audit(
    head: &AuditHead,
    mut read: impl FnMut(&RowKey) -> io::Result<Option<Row>>,
    mut put: impl FnMut(&RowKey, &Row) -> io::Result<()>,
) -> io::Result<AuditHead> {
    let mut first = None;
    for seq in head.first.max(1)..=head.last {
        let key = RowKey::Audit(seq);
        match read(&key) {
            Ok(Some(row)) => {
                first.get_or_insert(seq);
                put(&key, &row)?;
            }
            // the oldest leave meanwhile; one that is damaged is missed by whoever verifies the chain, there as here
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(audit.seq = seq, %error, "an audit record is not in the snapshot");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(AuditHead {
        first: first.unwrap_or(head.last + 1),
        ..head.clone()
    })
}
