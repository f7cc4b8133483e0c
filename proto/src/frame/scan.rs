//! Looks for the uid in bytes that do not decode as a whole, so that the refusal reaches the right agent on a
//! shared socket (C-294). It must be safe on any bytes and never guesses.

use bytes::Bytes;

/// Field 1, length-delimited.
const UID_KEY: u64 = 0x0A;

/// The last field 1 that can be read before the bytes stop making sense, else nothing.
pub(super) fn uid(body: &Bytes) -> Bytes {
    let mut found = Bytes::new();
    let mut at = 0;
    // Each turn consumes at least the key's byte, so the body's length bounds the loop.
    while let Some((key, key_length)) = body.get(at..).and_then(varint) {
        at += key_length;
        let Some((start, end)) = field(body, at, key) else {
            break;
        };
        if key == UID_KEY {
            found = body.slice(start..end);
        }
        at = end;
    }
    found
}

/// Where the value behind `key` starts and ends.
fn field(body: &Bytes, at: usize, key: u64) -> Option<(usize, usize)> {
    let rest = body.get(at..)?;
    let (start, length) = match key & 7 {
        0 => (at, varint(rest)?.1),
        1 => (at, 8),
        2 => {
            let (length, prefix) = varint(rest)?;
            (at + prefix, usize::try_from(length).ok()?)
        }
        5 => (at, 4),
        _ => return None,
    };
    let end = start.checked_add(length)?;
    (end <= body.len()).then_some((start, end))
}

/// The value of the leading varint and its length; `None` when it is cut off or exceeds 64 bits.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        let bits = u64::from(byte & 0x7F);
        if index == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}
