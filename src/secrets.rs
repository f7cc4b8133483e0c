//! Secrets of tokens: how their text is made, what is kept of it, and how it is compared.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Every token starts with this, so that scanners of leaked secrets know it.
pub const PREFIX: &str = "amp_";

/// The text of a token made from fresh random bytes.
#[must_use]
pub fn text(random: [u8; 32]) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
}

/// What the fleet keeps of a token's text. A secret of 256 random bits needs no slow hash.
#[must_use]
pub fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Compares without stopping at the first difference, so that time says nothing about how much matched.
#[must_use]
pub fn equal(left: &[u8; 32], right: &[u8; 32]) -> bool {
    let difference = left
        .iter()
        .zip(right)
        .fold(0, |seen, (left, right)| seen | (left ^ right));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_recognised_and_no_two_are_alike() {
        assert_eq!(text([0; 32]).len(), 47);
        assert!(text([1; 32]).starts_with(PREFIX));
        let (one, two) = (hash(&text([1; 32])), hash(&text([2; 32])));
        assert!(equal(&one, &one) && !equal(&one, &two));
    }
}
