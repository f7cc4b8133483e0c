//! One set of checks for every store behind the seam.

use std::sync::Arc;

use super::*;

fn each(check: impl Fn(&dyn Kv)) {
    let dir = tempfile::tempdir().expect("a directory");
    let sled = SledKv::open(dir.path(), Arc::new(|_| {})).expect("opens");
    check(&sled);
    assert_eq!(sled.blobs().expect("readable"), 0);
    check(&CrashKv::default());
}

fn put(key: &[u8], value: &[u8]) -> Op {
    Op::Put(key.to_vec(), value.to_vec())
}

#[test]
fn batches_are_visible_at_once_and_ordered() {
    each(|kv| {
        kv.batch(vec![put(b"l2", b"b"), put(b"l1", b"a"), put(b"m1", b"c")])
            .expect("written");
        kv.flush().expect("flushed");
        assert_eq!(kv.get(b"l1").expect("read"), Some(b"a".to_vec()));
        let keys = |pairs: Vec<Pair>| pairs.into_iter().map(|(k, _)| k).collect::<Vec<_>>();
        assert_eq!(
            keys(kv.range(b"l", b"m", 9).expect("read")),
            [b"l1".to_vec(), b"l2".to_vec()]
        );
        assert_eq!(kv.range(b"l", b"m", 1).expect("read").len(), 1);
        let last = kv.last(b"l", b"m").expect("read").expect("there");
        assert_eq!(last, (b"l2".to_vec(), b"b".to_vec()));
        kv.batch(vec![Op::Remove(b"l2".to_vec())]).expect("removed");
        assert_eq!(kv.get(b"l2").expect("read"), None);
        assert_eq!(kv.last(b"x", b"y").expect("read"), None);
    });
}

#[test]
fn what_would_harm_the_store_is_refused() {
    each(|kv| {
        let large = vec![0; VALUE_BYTES_MAX + 1];
        assert!(kv.batch(vec![put(b"k", &large)]).is_err());
        assert!(kv.batch(vec![put(b"k", b""); BATCH_OPS_MAX + 1]).is_err());
        assert_eq!(kv.get(b"k").expect("read"), None);
    });
}

#[test]
fn a_crash_keeps_what_was_flushed_and_a_prefix_of_the_rest() {
    let kv = CrashKv::default();
    kv.batch(vec![put(b"1", b"")]).expect("written");
    kv.flush().expect("flushed");
    for key in [b"2", b"3", b"4"] {
        kv.batch(vec![put(key, b"")]).expect("written");
    }
    for survivors in 0..=3 {
        let left = kv
            .after_crash(survivors)
            .range(b"0", b"9", 9)
            .expect("read");
        assert_eq!(left.len(), 1 + survivors);
    }
}

/// The threads of the store before may still have it for a moment.
fn open_when_closed(path: &std::path::Path) -> SledKv {
    loop {
        match SledKv::open(path, Arc::new(|_| {})) {
            Ok(kv) => return kv,
            Err(error) if error.to_string().contains("lock") => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_store_that_was_closed_opens_with_what_it_had() {
    let dir = tempfile::tempdir().expect("a directory");
    for start in 0..3_u8 {
        let kv = open_when_closed(dir.path());
        assert_eq!(
            kv.get(b"k").expect("read"),
            (start > 0).then(|| vec![start])
        );
        kv.batch(vec![put(b"k", &[start + 1])]).expect("written");
        kv.flush().expect("flushed");
    }
}
