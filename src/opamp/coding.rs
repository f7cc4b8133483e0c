//! HTTP content codings: what a request's body is packed in, whether the reply may be packed, and the packing
//! itself, always within a bound (RFC 9110 §8.4 and §12.5.3; C-039 to C-043, C-056).

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};

/// What a body is packed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Nothing.
    Identity,
    /// gzip.
    Gzip,
}

/// The coding of a request's body; `None` for one that is not understood here.
pub(super) fn of_request(headers: &HeaderMap) -> Option<Coding> {
    let mut coding = Coding::Identity;
    for value in headers.get_all(CONTENT_ENCODING) {
        for token in value.to_str().ok()?.split(',').map(str::trim) {
            if token.is_empty() || token.eq_ignore_ascii_case("identity") {
                continue;
            }
            // packed twice is legal and nobody does it
            if !is_gzip(token) || coding == Coding::Gzip {
                return None;
            }
            coding = Coding::Gzip;
        }
    }
    Some(coding)
}

/// Whether the peer takes a reply in gzip, and likes it at least as much as an unpacked one.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    for value in headers.get_all(ACCEPT_ENCODING) {
        let Ok(value) = value.to_str() else { continue };
        for item in value.split(',') {
            let (token, quality) = weighted(item);
            if is_gzip(token) {
                gzip = Some(quality);
            } else if token == "*" {
                any = Some(quality);
            } else if token.eq_ignore_ascii_case("identity") {
                identity = Some(quality);
            }
        }
    }
    let quality = gzip.or(any).unwrap_or(0);
    quality > 0 && quality >= identity.unwrap_or(0)
}

/// A token and its weight in thousandths; a weight that is not one counts as 0.
fn weighted(item: &str) -> (&str, u16) {
    let mut parts = item.split(';').map(str::trim);
    let token = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    (token, weight.map_or(1000, thousandths))
}

fn thousandths(weight: &str) -> u16 {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|b| b.is_ascii_digit());
    match (whole, digits) {
        ("1", true) if fraction.bytes().all(|b| b == b'0') => 1000,
        ("0", true) => format!("{fraction:0<3}").parse().unwrap_or(0),
        (_, _) => 0,
    }
}

fn is_gzip(token: &str) -> bool {
    token.eq_ignore_ascii_case("gzip") || token.eq_ignore_ascii_case("x-gzip")
}

/// Why a packed body was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unpacked {
    /// It is not whole gzip.
    Broken,
    /// It unpacks to more than the limit.
    TooLarge,
}

/// Unpacks gzip, and stops reading where it passes `limit` bytes.
///
/// # Errors
/// When it is broken or too large; no more than `limit` bytes and one buffer were held.
pub(super) fn gunzip(packed: &[u8], limit: usize) -> Result<Bytes, Unpacked> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut body = Vec::with_capacity(packed.len().saturating_mul(2).min(limit));
    MultiGzDecoder::new(packed)
        .take(most)
        .read_to_end(&mut body)
        .map_err(|_| Unpacked::Broken)?;
    if body.len() > limit {
        return Err(Unpacked::TooLarge);
    }
    Ok(Bytes::from(body))
}

/// Packs a reply; `None` when memory would not do, which a reply survives.
pub(super) fn gzip(body: &[u8]) -> Option<Bytes> {
    let mut packed = GzEncoder::new(Vec::with_capacity(body.len() / 2 + 32), Compression::fast());
    packed.write_all(body).ok()?;
    packed.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: http::HeaderName, values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn content_codings_are_read_in_any_spelling() {
        let coding = |values: &[&'static str]| of_request(&headers(CONTENT_ENCODING, values));
        assert_eq!(coding(&[]), Some(Coding::Identity));
        assert_eq!(coding(&["identity"]), Some(Coding::Identity));
        assert_eq!(coding(&["GZIP"]), Some(Coding::Gzip));
        assert_eq!(coding(&["x-gzip"]), Some(Coding::Gzip));
        assert_eq!(coding(&["identity, gzip"]), Some(Coding::Gzip));
        for unknown in ["br", "deflate", "zstd", "gzip, br", "gzip, gzip"] {
            assert_eq!(coding(&[unknown]), None, "{unknown}");
        }
    }

    #[test]
    fn accept_encoding_is_weighed() {
        for (values, expected) in [
            (&[][..], false),
            (&["gzip"], true),
            (&["GZip"], true),
            (&["x-gzip"], true),
            (&["gzip;q=0"], false),
            (&["gzip;q=0.000"], false),
            (&["gzip; q=0.5"], true),
            (&["gzip;Q=1.0"], true),
            (&["*"], true),
            (&["*;q=0"], false),
            (&["*, gzip;q=0"], false),
            (&["br", "deflate, gzip"], true),
            (&["br, deflate"], false),
            (&["identity"], false),
            (&["identity;q=0.5, gzip;q=0.4"], false),
            (&["identity;q=0.5, gzip;q=0.5"], true),
            (&["gzip;q=high"], false),
            (&[""], false),
        ] {
            assert_eq!(
                accepts_gzip(&headers(ACCEPT_ENCODING, values)),
                expected,
                "{values:?}"
            );
        }
    }

    #[test]
    fn packing_is_undone_and_bounded() {
        let body = vec![42; 100_000];
        let packed = gzip(&body).expect("packs");
        assert!(packed.len() < 1000);
        assert_eq!(gunzip(&packed, 100_000).expect("unpacks"), body);
        assert_eq!(gunzip(&packed, 99_999), Err(Unpacked::TooLarge));
        assert_eq!(
            gunzip(&packed[..packed.len() - 1], 100_000),
            Err(Unpacked::Broken)
        );
        assert_eq!(gunzip(b"junk", 100_000), Err(Unpacked::Broken));
        assert_eq!(gunzip(b"", 100_000), Err(Unpacked::Broken));
    }
}
