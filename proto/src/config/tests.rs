//! Limits, canonical form and hash of configuration files.

use proptest::prelude::*;

use super::*;

fn file(name: &str, content_type: &str, body: &[u8]) -> File {
    File {
        name: name.to_owned(),
        content_type: content_type.to_owned(),
        body: Bytes::copy_from_slice(body),
    }
}

fn files(list: &[(&str, &str, &[u8])]) -> Files {
    Files::new(
        list.iter()
            .map(|(name, kind, body)| file(name, kind, body))
            .collect(),
    )
    .unwrap()
}

/// C-120: the number that agents echo, fixed for ever.
#[test]
fn the_hash_of_known_files_never_changes() {
    let hash = hash(&files(&[("", "text/yaml", b"receivers: {}\n")]));
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, EXPECTED_HASH);
}

/// Computed apart, with `sha256` over the lengths and parts as the doc of [`hash`] states them.
const EXPECTED_HASH: &str = "953e239a6eea924f6c57b36fcc5dcc31735078bdc960cecc4f96eed5a3a5d744";

/// C-120.
#[test]
fn every_part_of_a_file_counts_in_the_hash() {
    let base = hash(&files(&[("a", "x", b"1"), ("b", "x", b"2")]));
    let same = hash(&files(&[("b", "x", b"2"), ("a", "x", b"1")]));
    assert_eq!(base, same);
    for other in [
        files(&[("a", "x", b"2"), ("b", "x", b"1")]),
        files(&[("a", "x", b"1"), ("c", "x", b"2")]),
        files(&[("a", "y", b"1"), ("b", "x", b"2")]),
        files(&[("ax", "", b"1"), ("b", "x", b"2")]),
        files(&[("a", "x", b"1")]),
        Files::default(),
    ] {
        assert_ne!(base, hash(&other));
    }
}

#[test]
fn limits_are_exact() {
    let names = |count: usize| (0..count).map(|n| file(&n.to_string(), "", b"")).collect();
    assert!(Files::new(names(FILES_MAX)).is_ok());
    assert_eq!(Files::new(names(FILES_MAX + 1)), Err(FilesError::TooMany));

    let body =
        |bytes: usize| Files::new(vec![file("a", "", &vec![b'x'; bytes]), file("b", "", b"y")]);
    assert!(body(BODY_BYTES_MAX - 1).is_ok());
    assert_eq!(body(BODY_BYTES_MAX), Err(FilesError::TooLarge));

    let name = |bytes: usize| Files::new(vec![file(&"n".repeat(bytes), "", b"")]);
    assert!(name(NAME_BYTES_MAX).is_ok());
    assert_eq!(name(NAME_BYTES_MAX + 1), Err(FilesError::NameTooLong));

    let kind = |bytes: usize| Files::new(vec![file("", &"n".repeat(bytes), b"")]);
    assert!(kind(CONTENT_TYPE_BYTES_MAX).is_ok());
    assert_eq!(
        kind(CONTENT_TYPE_BYTES_MAX + 1),
        Err(FilesError::ContentTypeTooLong)
    );
}

#[test]
fn a_name_may_be_empty_but_not_come_twice() {
    assert_eq!(files(&[("", "", b"")]).len(), 1);
    assert_eq!(
        Files::new(vec![file("a", "", b"1"), file("a", "", b"2")]),
        Err(FilesError::Duplicate("a".to_owned()))
    );
}

#[test]
fn what_is_cut_extended_or_unsorted_is_not_canonical() {
    let bytes = encode_files(&files(&[("a", "x", b"1"), ("b", "x", b"2")]));
    for cut in 0..bytes.len() {
        assert!(decode_files(bytes.slice(..cut)).is_err(), "cut at {cut}");
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    assert_eq!(
        decode_files(Bytes::from(longer)),
        Err(FilesError::NotCanonical)
    );
    let swapped = [&bytes[..8], &bytes[23..], &bytes[8..23]].concat();
    assert_eq!(
        decode_files(Bytes::from(swapped)),
        Err(FilesError::NotCanonical)
    );
}

proptest! {
    #[test]
    fn files_survive_storage(list in prop::collection::btree_map(".{0,9}", (".{0,9}", prop::collection::vec(any::<u8>(), 0..40)), 0..6)) {
        let files = Files::new(list.into_iter().map(|(name, (kind, body))| file(&name, &kind, &body)).collect()).unwrap();
        let bytes = encode_files(&files);
        prop_assert!(bytes.len() <= ENCODED_BYTES_MAX);
        prop_assert_eq!(decode_files(bytes).unwrap(), files);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), marked in any::<bool>()) {
        let bytes = if marked { [MAGIC.as_slice(), &bytes].concat() } else { bytes };
        if let Ok(files) = decode_files(Bytes::from(bytes.clone())) {
            prop_assert_eq!(encode_files(&files), bytes);
        }
    }
}
