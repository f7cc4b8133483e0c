//! `If-Match` and `If-None-Match` of groups: the revision that a change is allowed to meet.

use http::{HeaderMap, header};

use crate::api::backend::View;
use crate::api::problem::{Code, Problem};

/// The revision that a proposal must find; `Some(0)` means that there is none yet, `None` that any will do.
///
/// # Errors
/// 400 for a tag that is not ours, 412 for `If-Match: *` where there is nothing.
pub(super) fn revision(
    headers: &HeaderMap,
    view: &View,
    name: &str,
) -> Result<Option<u64>, Problem> {
    let tag = single(headers, &header::IF_MATCH)?;
    let none = single(headers, &header::IF_NONE_MATCH)?;
    match (tag, none) {
        (None, None) => Ok(None),
        (Some("*"), None) => match view.fleet.group(name) {
            Some(group) => Ok(Some(group.revision)),
            None => Err(Problem::at(
                Code::PreconditionFailed,
                "/headers/if-match",
                format_args!("there is no group {name:?}"),
            )),
        },
        (Some(tag), None) => tag
            .strip_prefix('"')
            .and_then(|tag| tag.strip_suffix('"'))
            .and_then(|tag| tag.parse::<u64>().ok())
            .filter(|revision| *revision != 0)
            .map(Some)
            .ok_or_else(|| {
                refuse(
                    "/headers/if-match",
                    "If-Match is the ETag of the group, one, with its quotes",
                )
            }),
        (None, Some("*")) => Ok(Some(0)),
        (None, Some(_)) => Err(refuse(
            "/headers/if-none-match",
            "If-None-Match is * here: the group must not exist",
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
