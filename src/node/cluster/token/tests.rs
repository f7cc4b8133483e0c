//! Whatever is pasted where a join token belongs is read or refused, and never believed in part.

use proptest::prelude::*;

use super::*;

fn token() -> JoinToken {
    JoinToken {
        cluster: 0xa1,
        addresses: vec!["127.0.0.2:4322".into(), "node.example:4322".into()],
        keys: vec![[7; 32], [8; 32]],
        secret: Secret::new([9; 32]),
    }
}

/// A text whose checksum is right, whatever it says.
fn signed(said: &[u8]) -> String {
    let whole = [said, &sum(said)].concat();
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(whole))
}

fn said(token: &JoinToken) -> Vec<u8> {
    let text = token.encode();
    let mut bytes = URL_SAFE_NO_PAD.decode(&text[PREFIX.len()..]).unwrap();
    bytes.truncate(bytes.len() - SUM_BYTES);
    bytes
}

#[test]
fn a_token_reads_as_it_was_written_with_space_around_it() {
    let text = token().encode();
    assert_eq!(JoinToken::decode(&text), Ok(token()));
    assert_eq!(JoinToken::decode(&format!("  {text}\n")), Ok(token()));
    assert!(!format!("{:?}", token()).contains("9, 9"));
}

#[test]
fn the_largest_token_fits_and_more_is_left_out() {
    let mut large = token();
    large.addresses = vec![format!("{}:4322", "a".repeat(250)).into(); ADDRESSES_MAX + 1];
    large.keys = vec![[1; 32]; KEYS_MAX + 1];
    let text = large.encode();
    assert!(text.len() <= TEXT_BYTES_MAX, "{}", text.len());
    let read = JoinToken::decode(&text).unwrap();
    assert_eq!(
        (read.addresses.len(), read.keys.len()),
        (ADDRESSES_MAX, KEYS_MAX)
    );
}

#[test]
fn what_is_no_token_says_so() {
    for text in ["", "amp_x", "127.0.0.1:4322", "ampj", " "] {
        assert_eq!(JoinToken::decode(text), Err(TokenError::Foreign), "{text}");
    }
    for text in ["ampj_", "ampj_!!", "ampj_AQ", "ampj_AQIDBAUGBwg"] {
        assert_eq!(JoinToken::decode(text), Err(TokenError::Damaged), "{text}");
    }
    let long = format!("{PREFIX}{}", "A".repeat(TEXT_BYTES_MAX));
    assert_eq!(JoinToken::decode(&long), Err(TokenError::Damaged));
}

#[test]
fn every_cut_and_every_changed_character_is_noticed() {
    let text = token().encode();
    for end in PREFIX.len()..text.len() {
        assert_eq!(JoinToken::decode(&text[..end]), Err(TokenError::Damaged));
    }
    for at in PREFIX.len()..text.len() {
        let mut other = text.clone().into_bytes();
        other[at] = if other[at] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(other).unwrap();
        assert!(JoinToken::decode(&other).is_err(), "{at}");
    }
}

#[test]
fn a_form_of_another_version_is_named() {
    let mut bytes = said(&token());
    for (version, why) in [
        (0, TokenError::Older),
        (1, TokenError::Older),
        (3, TokenError::Newer(3)),
        (255, TokenError::Newer(255)),
    ] {
        bytes[0] = version;
        assert_eq!(JoinToken::decode(&signed(&bytes)), Err(why));
    }
}

#[test]
fn counts_lengths_and_texts_are_checked_where_the_sum_is_right() {
    let whole = said(&token());
    let addresses = 1 + 16 + 32;
    for (at, value) in [
        (addresses, 0),
        (addresses, 6),
        (addresses, 255),
        (addresses + 1, 255),
        (addresses + 2, 0xff),
        (addresses + 2, b' '),
    ] {
        let mut bytes = whole.clone();
        bytes[at] = value;
        assert_eq!(
            JoinToken::decode(&signed(&bytes)),
            Err(TokenError::Damaged),
            "{at} {value}"
        );
    }
    let longer = [whole.as_slice(), &[0]].concat();
    assert_eq!(
        JoinToken::decode(&signed(&longer)),
        Err(TokenError::Damaged)
    );
    let mut nobodys = token();
    nobodys.cluster = 0;
    assert_eq!(
        JoinToken::decode(&nobodys.encode()),
        Err(TokenError::Damaged)
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(token) = JoinToken::decode(&signed(&bytes)) {
            prop_assert_eq!(said(&token), bytes);
        }
    }

    #[test]
    fn arbitrary_texts_are_read_or_refused(text in "(ampj_)?[ -~]{0,200}") {
        prop_assert!(JoinToken::decode(&text).is_err());
    }
}
