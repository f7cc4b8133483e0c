//! Any bytes as something that is stored: an error, or a value that is written and read again the same. The first
//! byte chooses what they are meant to be; its highest bit says that the bytes are a body, which then gets a whole
//! envelope around it, because no mutation finds a checksum.
#![no_main]

use ampora_raft::rows::{Row, RowKey};
use ampora_storage::codec::{Kind, decode, encode};
use ampora_storage::log::{Entry, LogId, Vote};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else {
        return;
    };
    let enveloped = choice & 0x80 != 0;
    match choice & 0x07 {
        0..=2 => stored::<Entry>(Kind::LogEntry, rest, enveloped),
        3 => stored::<Vote>(Kind::Vote, rest, enveloped),
        4 => stored::<Option<LogId>>(Kind::LogId, rest, enveloped),
        5 | 6 => stored::<Row>(Kind::Row, rest, enveloped),
        _ => key(rest),
    }
});

fn stored<T: Serialize + DeserializeOwned>(kind: Kind, bytes: &[u8], enveloped: bool) {
    let envelope;
    let bytes = if enveloped {
        envelope = in_envelope(kind, bytes);
        &envelope
    } else {
        bytes
    };
    let Ok(value) = decode::<T>(kind, bytes) else {
        return;
    };
    let written = encode(kind, &value).expect("what fitted fits again");
    let again = decode::<T>(kind, &written).expect("what is written can be read");
    assert_eq!(encode(kind, &again).expect("the same size"), written);
}

fn in_envelope(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0xA5, 0, 1];
    out.extend_from_slice(&(kind as u16).to_be_bytes());
    let length = u32::try_from(body.len()).expect("inputs are small");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

fn key(bytes: &[u8]) {
    if let Some(key) = RowKey::from_bytes(bytes) {
        assert_eq!(key.to_bytes(), bytes);
    }
}
