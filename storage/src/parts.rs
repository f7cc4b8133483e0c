//! Values of any size over a store whose values are small: split into numbered parts, joined with a check.
//! A key's parts stand side by side; the first begins with how many there are and what they sum to.

use std::io;

use crate::kv::{Kv, Op, VALUE_BYTES_MAX};

/// Payload of a part: the first one has its header within the limit as well.
const PART_BYTES: usize = VALUE_BYTES_MAX - HEADER_BYTES;

/// `[parts u16][length u32][crc32c u32]`, big-endian.
const HEADER_BYTES: usize = 10;

/// 1.3 MB, above the 1 MiB that anything stored may have, and far from where part numbers would disturb
/// the order of keys.
const PARTS_MAX: usize = 320;

/// A part's number at the end of its key.
const NUMBER_BYTES: usize = 2;

/// The key of a part.
pub(crate) fn part_key(key: &[u8], part: usize) -> io::Result<Vec<u8>> {
    let number = u16::try_from(part).map_err(io::Error::other)?;
    let mut out = Vec::with_capacity(key.len() + NUMBER_BYTES);
    out.extend_from_slice(key);
    out.extend_from_slice(&number.to_be_bytes());
    Ok(out)
}

fn header(value: &[u8]) -> Option<(usize, usize, u32)> {
    let parts = u16::from_be_bytes(value.get(..2)?.try_into().ok()?);
    let length = u32::from_be_bytes(value.get(2..6)?.try_into().ok()?);
    let crc = u32::from_be_bytes(value.get(6..HEADER_BYTES)?.try_into().ok()?);
    Some((usize::from(parts), usize::try_from(length).ok()?, crc))
}

/// How many changes [`put`] makes for a value of this size.
pub fn count(bytes: usize) -> usize {
    bytes.div_ceil(PART_BYTES).max(1)
}

/// Adds the changes that set a key which has no value yet.
///
/// # Errors
/// Fails on a value that nothing stored may have.
pub fn put_new(ops: &mut Vec<Op>, key: &[u8], value: &[u8]) -> io::Result<()> {
    let parts = count(value.len());
    if parts > PARTS_MAX {
        return Err(io::Error::other(format!(
            "a value of {} bytes is larger than a store may hold",
            value.len()
        )));
    }
    let length = u32::try_from(value.len()).map_err(io::Error::other)?;
    let number = u16::try_from(parts).map_err(io::Error::other)?;
    for part in 0..parts {
        let from = part * PART_BYTES;
        let bytes = &value[from..value.len().min(from + PART_BYTES)];
        let mut stored = Vec::with_capacity(HEADER_BYTES + bytes.len());
        if part == 0 {
            stored.extend_from_slice(&number.to_be_bytes());
            stored.extend_from_slice(&length.to_be_bytes());
            stored.extend_from_slice(&crc32c::crc32c(value).to_be_bytes());
        }
        stored.extend_from_slice(bytes);
        ops.push(Op::Put(part_key(key, part)?, stored));
    }
    Ok(())
}

/// Adds the changes that set a key, and remove what a longer value left behind.
///
/// # Errors
/// Fails when the store cannot be read, or on a value that nothing stored may have.
pub fn put(kv: &dyn Kv, ops: &mut Vec<Op>, key: &[u8], value: &[u8]) -> io::Result<()> {
    let before = stored_parts(kv, key)?;
    put_new(ops, key, value)?;
    for part in count(value.len())..before {
        ops.push(Op::Remove(part_key(key, part)?));
    }
    Ok(())
}

/// Adds the changes that remove a key.
///
/// # Errors
/// Fails when the store cannot be read.
pub fn remove(kv: &dyn Kv, ops: &mut Vec<Op>, key: &[u8]) -> io::Result<()> {
    for part in 0..stored_parts(kv, key)? {
        ops.push(Op::Remove(part_key(key, part)?));
    }
    Ok(())
}

fn stored_parts(kv: &dyn Kv, key: &[u8]) -> io::Result<usize> {
    let first = kv.get(&part_key(key, 0)?)?;
    Ok(first
        .and_then(|first| header(&first))
        .map_or(0, |(parts, ..)| parts))
}

/// The whole value of a key.
///
/// # Errors
/// Fails when the store cannot be read, and on a value that is not whole: never a part of one.
pub fn get(kv: &dyn Kv, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let Some(first) = kv.get(&part_key(key, 0)?)? else {
        return Ok(None);
    };
    let mut joining = Joining::begin(key, first)?;
    while joining.wants_more() {
        let next = kv.get(&part_key(key, joining.parts_seen)?)?;
        joining.add(next.ok_or_else(|| damaged(key, "a part is missing"))?);
    }
    joining.finish().map(Some)
}

/// Puts parts together that come in key order, as from a walk over a range.
#[derive(Debug)]
pub struct Joining {
    key: Vec<u8>,
    parts: usize,
    parts_seen: usize,
    length: usize,
    crc: u32,
    value: Vec<u8>,
}

impl Joining {
    /// Begins with the first part of `key`.
    ///
    /// # Errors
    /// Fails on a part that has no header.
    pub fn begin(key: &[u8], first: Vec<u8>) -> io::Result<Self> {
        let (parts, length, crc) =
            header(&first).ok_or_else(|| damaged(key, "the header is not whole"))?;
        let mut value = Vec::with_capacity(length.min(PARTS_MAX * VALUE_BYTES_MAX));
        value.extend_from_slice(first.get(HEADER_BYTES..).unwrap_or_default());
        Ok(Self {
            key: key.to_vec(),
            parts,
            parts_seen: 1,
            length,
            crc,
            value,
        })
    }

    /// Whether parts are missing.
    pub fn wants_more(&self) -> bool {
        self.parts_seen < self.parts
    }

    /// Adds the next part.
    pub fn add(&mut self, part: Vec<u8>) {
        self.parts_seen += 1;
        self.value.extend_from_slice(&part);
    }

    /// The value.
    ///
    /// # Errors
    /// Fails when length or sum are not those of the header.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        if self.wants_more() || self.value.len() != self.length {
            return Err(damaged(&self.key, "its length is not that of its header"));
        }
        if crc32c::crc32c(&self.value) != self.crc {
            return Err(damaged(&self.key, "its checksum does not match"));
        }
        Ok(self.value)
    }
}

fn damaged(key: &[u8], what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the stored value {} is damaged: {what}", hex::encode(key)),
    )
}

/// How many pairs a walk reads at a time.
const PAGE: usize = 256;

/// All whole values from `from` on and before `to`, in key order, until `each` says false.
///
/// # Errors
/// Fails when the store cannot be read, on a value that is not whole, and when `each` fails.
pub fn walk(
    kv: &dyn Kv,
    from: &[u8],
    to: &[u8],
    mut each: impl FnMut(&[u8], Vec<u8>) -> io::Result<bool>,
) -> io::Result<()> {
    let mut from = from.to_vec();
    let mut joining: Option<Joining> = None;
    loop {
        let page = kv.range(&from, to, PAGE)?;
        let Some((last, _)) = page.last() else {
            return match joining {
                Some(joining) => Err(damaged(&joining.key, "a part is missing")),
                None => Ok(()),
            };
        };
        from.clone_from(last);
        from.push(0);
        for (key, value) in page {
            let at = key.len().saturating_sub(NUMBER_BYTES);
            let current = match joining.take() {
                None => Joining::begin(&key[..at], value)?,
                Some(mut current) if current.key == key[..at] => {
                    current.add(value);
                    current
                }
                Some(current) => return Err(damaged(&current.key, "a part is missing")),
            };
            if current.wants_more() {
                joining = Some(current);
                continue;
            }
            let key = current.key.clone();
            if !each(&key, current.finish()?)? {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::CrashKv;

    fn set(kv: &CrashKv, key: &[u8], value: &[u8]) {
        let mut ops = Vec::new();
        put(kv, &mut ops, key, value).expect("fits");
        kv.batch(ops).expect("written");
    }

    #[test]
    fn values_of_all_sizes_come_back_and_leave_nothing_behind() {
        let kv = CrashKv::default();
        for bytes in [0, 1, PART_BYTES, PART_BYTES + 1, 262_144, 1_048_576, 5] {
            let value: Vec<u8> = (0..bytes)
                .map(|n| u8::try_from(n % 251).expect("small"))
                .collect();
            set(&kv, b"key", &value);
            assert_eq!(get(&kv, b"key").expect("whole"), Some(value));
            let stored = kv.range(b"a", b"z", 1000).expect("read").len();
            assert_eq!(stored, count(bytes), "{bytes} bytes");
        }
        let mut ops = Vec::new();
        remove(&kv, &mut ops, b"key").expect("read");
        kv.batch(ops).expect("removed");
        assert!(kv.range(b"a", b"z", 9).expect("read").is_empty());
    }

    #[test]
    fn a_walk_joins_values_in_key_order() {
        let kv = CrashKv::default();
        set(&kv, b"ab", &[2; 9000]);
        set(&kv, b"a", &[1; 5000]);
        set(&kv, b"b", &[3]);
        let mut seen = Vec::new();
        walk(&kv, b"a", b"z", |key, value| {
            seen.push((key.to_vec(), value.len()));
            Ok(true)
        })
        .expect("whole");
        assert_eq!(
            seen,
            [
                (b"a".to_vec(), 5000),
                (b"ab".to_vec(), 9000),
                (b"b".to_vec(), 1)
            ]
        );
    }

    #[test]
    fn a_value_that_is_not_whole_is_an_error() {
        let kv = CrashKv::default();
        set(&kv, b"key", &[7; 9000]);
        let second = part_key(b"key", 1).expect("small");
        kv.batch(vec![Op::Put(second.clone(), vec![8; PART_BYTES])])
            .expect("written");
        assert!(get(&kv, b"key").is_err(), "a part of another value");
        kv.batch(vec![Op::Remove(second)]).expect("removed");
        assert!(get(&kv, b"key").is_err(), "a missing part");
        assert!(walk(&kv, b"a", b"z", |_, _| Ok(true)).is_err());
    }
}
