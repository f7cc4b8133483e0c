//! The key that makes a retry safe: given by the caller or made here, with a digest of the request.

use std::sync::Arc;

use ampora_raft::proposal::Idempotency;
use http::HeaderMap;
use sha2::{Digest, Sha256};

use super::problem::{Code, Problem};

/// The header's name.
pub const HEADER: &str = "idempotency-key";
/// Bytes of a key at most: the limit of the fleet's rows.
pub(crate) const KEY_BYTES_MAX: usize = 128;

/// What a key stands for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The query, empty when there is none.
    pub query: &'a str,
    /// Who asks.
    pub actor: &'a str,
    /// The whole body.
    pub body: &'a [u8],
}

/// The key of a request; without a header one is made of `random`.
///
/// # Errors
/// 400 when the header is empty, longer than 128 bytes, repeated, or not printable ASCII.
pub fn idempotency(
    headers: &HeaderMap,
    request: Request<'_>,
    random: [u8; 16],
) -> Result<Idempotency, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let key: Arc<str> = match (values.next(), values.next()) {
        (None, _) => Arc::from(format!("made-{}", hex::encode(random))),
        (Some(value), None) => Arc::from(
            value
                .to_str()
                .ok()
                .filter(|key| valid(key))
                .ok_or_else(refuse)?,
        ),
        (Some(_), Some(_)) => return Err(refuse()),
    };
    Ok(Idempotency {
        key,
        digest: digest(request),
    })
}

fn valid(key: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

fn refuse() -> Problem {
    Problem::at(
        Code::IdempotencyKeyInvalid,
        "/headers/idempotency-key",
        format_args!(
            "the key must be one header of 1 to {KEY_BYTES_MAX} printable ASCII characters"
        ),
    )
}

/// Every field with its length, so that no two requests run together.
fn digest(request: Request<'_>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for field in [
        request.method.as_bytes(),
        request.path.as_bytes(),
        request.query.as_bytes(),
        request.actor.as_bytes(),
        request.body,
    ] {
        hasher.update((field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const REQUEST: Request<'static> = Request {
        method: "POST",
        path: "/a",
        query: "",
        actor: "admin",
        body: b"x",
    };

    fn with(key: &str) -> Result<Idempotency, Problem> {
        let mut headers = HeaderMap::new();
        if let Ok(key) = HeaderValue::from_str(key) {
            headers.insert(HEADER, key);
        }
        idempotency(&headers, REQUEST, [7; 16])
    }

    #[test]
    fn a_given_key_is_kept_and_a_missing_one_is_made() {
        assert_eq!(&*with("k 1").unwrap().key, "k 1");
        let made = idempotency(&HeaderMap::new(), REQUEST, [7; 16]).unwrap();
        assert_eq!(&*made.key, "made-07070707070707070707070707070707");
    }

    #[test]
    fn empty_long_and_repeated_keys_are_refused() {
        assert!(with(&"k".repeat(128)).is_ok());
        for bad in ["", &"k".repeat(129)] {
            assert_eq!(with(bad).unwrap_err().code(), Code::IdempotencyKeyInvalid);
        }
        let mut headers = HeaderMap::new();
        headers.append(HEADER, HeaderValue::from_static("a"));
        headers.append(HEADER, HeaderValue::from_static("a"));
        assert!(idempotency(&headers, REQUEST, [0; 16]).is_err());
    }

    #[test]
    fn each_field_of_the_request_changes_the_digest() {
        let base = digest(REQUEST);
        for other in [
            Request {
                method: "PUT",
                ..REQUEST
            },
            Request {
                path: "/b",
                ..REQUEST
            },
            Request {
                query: "q",
                ..REQUEST
            },
            Request {
                actor: "other",
                ..REQUEST
            },
            Request {
                body: b"y",
                ..REQUEST
            },
            Request {
                path: "/",
                query: "a",
                ..REQUEST
            },
        ] {
            assert_ne!(digest(other), base, "{other:?}");
        }
    }
}
