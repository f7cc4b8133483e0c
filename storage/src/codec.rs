//! How typed values become bytes on the disk: bincode inside a versioned envelope with a checksum. The only
//! file that names bincode. Always with a limit, and every byte must be consumed.

use std::io;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// First byte of every envelope.
const MAGIC: u8 = 0xA5;

/// The format of bodies; a body that is encoded otherwise has another number.
const FORMAT: u16 = 1;

/// `[magic u8][format u16][kind u16][length u32]`, big-endian.
const HEAD_BYTES: usize = 9;

/// crc32c of everything before it.
const TAIL_BYTES: usize = 4;

/// Nothing that is stored is larger: an entry is under 512 KiB, a part of a body under 300.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Nothing that nodes say to each other is larger: a body of 8 MiB and what stands around it.
const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024 + 32 * 1024;

type Bincode<const MAX: usize> = Configuration<LittleEndian, Varint, Limit<MAX>>;

const fn bincode<const MAX: usize>() -> Bincode<MAX> {
    bincode::config::standard().with_limit::<MAX>()
}

/// What an envelope holds. Numbers are persistent: append, never reuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// An entry of the log, with its id.
    LogEntry = 1,
    /// The vote.
    Vote = 2,
    /// A log id, such as how far the log was purged.
    LogId = 3,
    /// How far the rows have got.
    Applied = 4,
    /// A row of the fleet.
    Row = 5,
    /// The header of a backup.
    BackupHead = 6,
    /// Rows of a backup.
    BackupRows = 7,
    /// The end of a backup.
    BackupEnd = 8,
    /// The head of a stream of history.
    HistoryStream = 9,
    /// An event of history in a spool.
    SpooledEvent = 10,
    /// What a node asks of another one; never stored.
    PeerCall = 32,
    /// What the other one answers; never stored.
    PeerAnswer = 33,
}

/// Encodes a value that is stored.
///
/// # Errors
/// Fails on a value larger than anything stored may be.
pub fn encode<T: Serialize>(kind: Kind, value: &T) -> io::Result<Vec<u8>> {
    seal::<T, BODY_BYTES_MAX>(kind, value)
}

/// Encodes what is sent to another node and stored nowhere.
///
/// # Errors
/// Fails on a value larger than 8 MiB and what stands around it.
pub fn encode_message<T: Serialize>(kind: Kind, value: &T) -> io::Result<Vec<u8>> {
    seal::<T, MESSAGE_BYTES_MAX>(kind, value)
}

fn seal<T: Serialize, const MAX: usize>(kind: Kind, value: &T) -> io::Result<Vec<u8>> {
    let body = bincode::serde::encode_to_vec(value, bincode::<MAX>()).map_err(io::Error::other)?;
    if body.len() > MAX {
        return Err(io::Error::other(format!(
            "a value of {} bytes is larger than {MAX}",
            body.len()
        )));
    }
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut out = Vec::with_capacity(HEAD_BYTES + body.len() + TAIL_BYTES);
    out.push(MAGIC);
    out.extend_from_slice(&FORMAT.to_be_bytes());
    out.extend_from_slice(&(kind as u16).to_be_bytes());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&body);
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    Ok(out)
}

/// Decodes a value that [`encode`] wrote.
///
/// # Errors
/// Fails on another kind or format, a wrong checksum, and bytes that are left over.
pub fn decode<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> io::Result<T> {
    unseal::<T, BODY_BYTES_MAX>(kind, bytes)
}

/// Decodes what another node sent by [`encode_message`].
///
/// # Errors
/// Like [`decode`].
pub fn decode_message<T: DeserializeOwned>(kind: Kind, bytes: &[u8]) -> io::Result<T> {
    unseal::<T, MESSAGE_BYTES_MAX>(kind, bytes)
}

fn unseal<T: DeserializeOwned, const MAX: usize>(kind: Kind, bytes: &[u8]) -> io::Result<T> {
    let body = open(kind, bytes)?;
    let (value, used) = bincode::serde::decode_from_slice(body, bincode::<MAX>())
        .map_err(|error| invalid(kind, &error))?;
    if used != body.len() {
        return Err(invalid(kind, &"bytes are left over"));
    }
    Ok(value)
}

fn open(kind: Kind, bytes: &[u8]) -> io::Result<&[u8]> {
    let tail = bytes.len().checked_sub(TAIL_BYTES);
    let (head, body, crc) = tail
        .and_then(|tail| {
            let (rest, crc) = bytes.split_at(tail);
            let (head, body) = rest.split_at_checked(HEAD_BYTES)?;
            Some((head, body, crc))
        })
        .ok_or_else(|| invalid(kind, &"the envelope is not whole"))?;
    let sum = crc32c::crc32c(&bytes[..bytes.len() - TAIL_BYTES]).to_be_bytes();
    if sum != crc {
        return Err(invalid(kind, &"the checksum does not match"));
    }
    let mut expected = vec![MAGIC];
    expected.extend_from_slice(&FORMAT.to_be_bytes());
    expected.extend_from_slice(&(kind as u16).to_be_bytes());
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    expected.extend_from_slice(&length.to_be_bytes());
    if head != expected {
        return Err(invalid(
            kind,
            &"another kind, or written by a newer version of this program",
        ));
    }
    Ok(body)
}

fn invalid(kind: Kind, what: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a {kind:?} cannot be read: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded() {
        let value = (7_u64, "text".to_owned(), vec![1_u8, 2, 3]);
        let bytes = encode(Kind::Row, &value).expect("small");
        assert_eq!(
            decode::<(u64, String, Vec<u8>)>(Kind::Row, &bytes).expect("ours"),
            value
        );
        assert!(decode::<(u64, String, Vec<u8>)>(Kind::Vote, &bytes).is_err());
    }

    #[test]
    fn any_changed_byte_is_found() {
        let bytes = encode(Kind::Row, &(7_u64, "text")).expect("small");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(
                decode::<(u64, String)>(Kind::Row, &changed).is_err(),
                "byte {at}"
            );
        }
        for end in 0..bytes.len() {
            assert!(decode::<(u64, String)>(Kind::Row, &bytes[..end]).is_err());
        }
    }

    #[test]
    fn hostile_lengths_are_errors_and_allocate_nothing() {
        let hostile = encode(Kind::Row, &(1_u64 << 40)).expect("small");
        assert!(decode::<Vec<u64>>(Kind::Row, &hostile).is_err());
        assert!(decode::<String>(Kind::Row, &hostile).is_err());
        let left_over = encode(Kind::Row, &(1_u8, 2_u8)).expect("small");
        assert!(decode::<u8>(Kind::Row, &left_over).is_err());
    }

    #[test]
    fn messages_may_be_larger_than_what_is_stored() {
        let large = vec!["x".repeat(BODY_BYTES_MAX); 8];
        let bytes = encode_message(Kind::PeerAnswer, &large).expect("8 MiB");
        let again: Vec<String> = decode_message(Kind::PeerAnswer, &bytes).expect("ours");
        assert!(again == large);
        assert!(decode::<Vec<String>>(Kind::PeerAnswer, &bytes).is_err());
        assert!(encode(Kind::PeerAnswer, &large).is_err());
        let larger = "x".repeat(MESSAGE_BYTES_MAX + 1);
        assert!(encode_message(Kind::PeerAnswer, &larger).is_err());
    }
}
