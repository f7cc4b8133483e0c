//! How fresh a read is. Reads are local by default and say in headers how far this node is; `?consistent=true`
//! waits until it has everything that was acknowledged anywhere before the call.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Uri};

use super::Api;
use super::problem::{Code, Problem};

/// The parameter of every read.
pub(crate) const CONSISTENT: &str = "consistent";

/// The last entry of the log that the answer has.
pub(crate) const APPLIED_INDEX: HeaderName = HeaderName::from_static("ampora-applied-index");
/// Milliseconds since this node heard of a leader with a quorum; absent when it never did.
pub(crate) const LEADER_CONTACT: HeaderName = HeaderName::from_static("ampora-leader-contact-ms");
/// There when no leader with a quorum is known: what is shown may be older than what others see.
pub(crate) const STALE: HeaderName = HeaderName::from_static("ampora-stale");

/// Answers a read, after waiting where that was asked for.
pub(crate) async fn read(api: &Api, mut request: Request, next: Next) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    match taken(request.uri()) {
        Ok((consistent, uri)) => {
            *request.uri_mut() = uri;
            if consistent && let Err(error) = api.backend.read_barrier().await {
                return Problem::from(error).into_response();
            }
        }
        Err(problem) => return problem.into_response(),
    }
    // read before the handler looks: what it shows is this fresh or fresher
    let status = api.backend.status();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(APPLIED_INDEX, HeaderValue::from(status.applied_index));
    if let Some(contact_ms) = status.leader_contact_ms {
        headers.insert(LEADER_CONTACT, HeaderValue::from(contact_ms));
    }
    if !status.quorum {
        headers.insert(STALE, HeaderValue::from_static("true"));
    }
    response
}

/// What was asked, and the address without it: handlers refuse parameters that they do not know.
fn taken(uri: &Uri) -> Result<(bool, Uri), Problem> {
    let query = uri.query().unwrap_or_default();
    let is_ours = |part: &&str| part.split('=').next() == Some(CONSISTENT);
    if !query.split('&').any(|part| is_ours(&part)) {
        return Ok((false, uri.clone()));
    }
    let mut consistent = false;
    for part in query.split('&').filter(is_ours) {
        consistent = match part.split_once('=') {
            Some((_, "true")) => true,
            Some((_, "false")) => false,
            Some(_) | None => {
                return Err(Problem::at(
                    Code::InvalidParameter,
                    "/query/consistent",
                    "consistent must be true or false",
                ));
            }
        };
    }
    let rest: Vec<&str> = query.split('&').filter(|part| !is_ours(part)).collect();
    let path = match rest.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{}", uri.path(), rest.join("&")),
    };
    let mut parts = uri.clone().into_parts();
    // parts of what was an address already
    parts.path_and_query = PathAndQuery::try_from(path).ok();
    let uri = Uri::from_parts(parts).unwrap_or_else(|_| uri.clone());
    Ok((consistent, uri))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str) -> Option<(bool, String)> {
        let taken = taken(&uri.parse().expect("an address")).ok()?;
        Some((taken.0, taken.1.to_string()))
    }

    #[test]
    fn the_parameter_is_taken_out_of_the_address() {
        let cases = [
            ("/a", Some((false, "/a"))),
            ("/a?limit=3", Some((false, "/a?limit=3"))),
            ("/a?consistent=true", Some((true, "/a"))),
            (
                "/a?q=x&consistent=true&limit=3",
                Some((true, "/a?q=x&limit=3")),
            ),
            ("/a?consistent=false", Some((false, "/a"))),
            (
                "/a?inconsistent=true",
                Some((false, "/a?inconsistent=true")),
            ),
            ("/a?consistent=yes", None),
            ("/a?consistent", None),
        ];
        for (uri, wanted) in cases {
            let wanted = wanted.map(|(consistent, uri)| (consistent, uri.to_owned()));
            assert_eq!(asked(uri), wanted, "{uri}");
        }
    }
}
