//! `If-Match` and `If-None-Match` of versioned resources: the revision that a change is allowed to meet.

use http::{HeaderMap, HeaderValue, header};

use super::problem::{Code, Problem};

/// The revision that a proposal must find; `Some(0)` means that there is none yet, `None` that any will do.
/// `current` is the revision of the resource, if it is there.
///
/// # Errors
/// 400 for a tag that is not ours, 412 for `If-Match: *` where there is nothing.
pub(super) fn revision(headers: &HeaderMap, current: Option<u64>) -> Result<Option<u64>, Problem> {
    let tag = single(headers, &header::IF_MATCH)?;
    let none = single(headers, &header::IF_NONE_MATCH)?;
    match (tag, none) {
        (None, None) => Ok(None),
        (Some("*"), None) if current.is_some() => Ok(current),
        (Some("*"), None) => Err(Problem::at(
            Code::PreconditionFailed,
            "/headers/if-match",
            "there is nothing of this name",
        )),
        (Some(tag), None) => tag
            .strip_prefix('"')
            .and_then(|tag| tag.strip_suffix('"'))
            .and_then(|tag| tag.parse::<u64>().ok())
            .filter(|revision| *revision != 0)
            .map(Some)
            .ok_or_else(|| {
                refuse(
                    "/headers/if-match",
                    "If-Match is the ETag of the resource, one, with its quotes",
                )
            }),
        (None, Some("*")) => Ok(Some(0)),
        (None, Some(_)) => Err(refuse(
            "/headers/if-none-match",
            "If-None-Match is * here: the resource must not exist",
        )),
        (Some(_), Some(_)) => Err(refuse(
            "/headers/if-match",
            "send either If-Match or If-None-Match",
        )),
    }
}

fn refuse(pointer: &str, detail: &str) -> Problem {
    Problem::at(Code::InvalidParameter, pointer, detail)
}

fn single<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let value = value.to_str().ok().filter(|_| values.next().is_none());
    value.map(|value| Some(value.trim())).ok_or_else(|| {
        refuse(
            &format!("/headers/{name}"),
            "the header comes once and is printable",
        )
    })
}

/// The entity tag of a revision.
pub(super) fn tag(revision: u64) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{revision}\"")).ok()
}
