//! Asks a node: one request with its limits, its key, and at most two repetitions when the node says that they help.
//! Knows nothing of what is asked.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::redirect;
use serde_json::Value;
use url::Url;

use super::connect::{Reach, Token};
use super::error::ClientError;
use super::problem::Problem;
use crate::{entropy, trust};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Over the 10 s that a node waits for its log, with a long body on a slow line before it.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest download; one that stands still ends much earlier.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// An answer at most: a page of 1000 agents is 8 MiB, a reported body of 10 MiB may triple as JSON.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Repetitions of one call.
const REPEATS_MAX: u32 = 2;
/// What `Retry-After` may make us wait.
const REPEAT_WAIT_MAX: Duration = Duration::from_secs(5);
/// What is asked of one page when everything is wanted: the most that REST gives.
const PAGE_ITEMS: u32 = 1000;

/// The body of a request.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// None.
    Empty,
    /// JSON.
    Json(Value),
    /// The bytes of a YAML file as they are.
    Yaml(Bytes),
}

/// A request without its key.
#[derive(Debug, Clone)]
pub(super) struct Call<'a> {
    method: Method,
    path: Vec<&'a str>,
    query: Vec<(&'static str, String)>,
    body: Body,
}

impl<'a> Call<'a> {
    /// A request; the segments of the path are encoded.
    pub(super) fn new(method: Method, path: &[&'a str]) -> Self {
        Self {
            method,
            path: path.to_vec(),
            query: Vec::new(),
            body: Body::Empty,
        }
    }

    /// A question.
    pub(super) fn get(path: &[&'a str]) -> Self {
        Self::new(Method::GET, path)
    }

    /// The same with a parameter, when there is one.
    pub(super) fn with(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query
            .extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// The same with a body.
    pub(super) fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }
}

/// What a node answered to a call that it did not refuse.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Null when there was no content.
    pub(super) body: Value,
}

/// How one attempt ended.
struct Attempt {
    ended: Result<Answer, ClientError>,
    retry_after: Option<Duration>,
}

/// A node that can be asked.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    reach: Reach,
}

impl Client {
    /// Prepares to ask a node; nothing is sent yet.
    pub(super) fn new(reach: Reach) -> Result<Self, ClientError> {
        let mut headers = HeaderMap::new();
        if let Token::Found { text, .. } = &reach.token {
            let value = HeaderValue::from_str(&format!("Bearer {}", text.expose()));
            let mut value =
                value.map_err(|_| ClientError::Usage("the token cannot be sent".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        // A redirect or a proxy of the environment would carry the token to somebody who was not named.
        let mut http = reqwest::Client::builder();
        if reach.url.scheme() == "https" {
            let settings = trust::client_settings(&reach.trust, reach.identity.as_deref())?;
            http = http.tls_backend_preconfigured(settings);
        }
        let http = http
            .default_headers(headers)
            .user_agent(concat!("ampora/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .build()
            .map_err(|error| unreachable(&reach.url, &error))?;
        Ok(Self { http, reach })
    }

    /// The base of the address, as it was given.
    pub(super) fn base(&self) -> &str {
        self.reach.url.as_str().trim_end_matches('/')
    }

    /// Does a call of the API. A change carries a key, the same in each repetition, so that it happens once.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Answer, ClientError> {
        let path = [&["api", "v1"], call.path.as_slice()].concat();
        let key = (call.method != Method::GET)
            .then(|| format!("cli-{}", hex::encode(entropy::bytes::<16>())));
        let mut repeats = 0;
        loop {
            let attempt = self.attempt(&call, &path, key.as_deref()).await;
            let refused = match attempt.ended {
                Err(ClientError::Refused(problem)) => problem,
                ended => return ended,
            };
            if repeats == REPEATS_MAX || !refused.may_repeat() {
                return Err(ClientError::Refused(refused));
            }
            repeats += 1;
            let wait = attempt.retry_after.unwrap_or(Duration::from_secs(1));
            tokio::time::sleep(wait.min(REPEAT_WAIT_MAX)).await;
        }
    }

    /// Asks a question and returns what was answered.
    pub(super) async fn get(&self, call: Call<'_>) -> Result<Value, ClientError> {
        Ok(self.call(call).await?.body)
    }

    /// What a probe says, whatever its status: probes are below the root and ask for no token. `None` when this
    /// address has no probes.
    pub(super) async fn probe(&self, path: &[&str]) -> Result<Option<Answer>, ClientError> {
        let call = Call::get(&[]);
        let response = self.send(&call, path, None).await?;
        let status = response.status();
        let body = self.read(response, false).await?;
        let body = serde_json::from_slice::<Value>(&body).ok();
        let is_report = |body: &Value| body.get("parts").is_some();
        Ok(body.filter(is_report).map(|body| Answer { status, body }))
    }

    /// A list with the pages merged: the last answer, with the items of all in `field`. What is beyond `limit` stays
    /// behind the `continue` of the answer.
    pub(super) async fn pages(
        &self,
        call: Call<'_>,
        field: &str,
        limit: Option<u32>,
    ) -> Result<Value, ClientError> {
        let mut items: Vec<Value> = Vec::new();
        let mut token: Option<String> = None;
        let mut is_complete = true;
        loop {
            let had = u32::try_from(items.len()).unwrap_or(u32::MAX);
            let wanted = limit.map_or(PAGE_ITEMS, |limit| {
                limit.saturating_sub(had).min(PAGE_ITEMS)
            });
            let page = call
                .clone()
                .with("limit", Some(wanted))
                .with("continue", token.as_ref());
            let mut answer = self.get(page).await?;
            let Some(Value::Array(page)) = answer.get_mut(field).map(Value::take) else {
                return Err(ClientError::Foreign {
                    url: self.base().to_owned(),
                    status: StatusCode::OK.as_u16(),
                    reason: format!("the list has no `{field}`"),
                });
            };
            let is_empty = page.is_empty();
            items.extend(page);
            is_complete &= answer["complete"] != false;
            let next = answer.get("continue").and_then(Value::as_str);
            let is_enough = limit.is_some_and(|limit| items.len() >= limit as usize);
            match next {
                // a page may be empty that looked at as much as it may
                Some(next) if !is_enough && (!is_empty || token.as_deref() != Some(next)) => {
                    token = Some(next.to_owned());
                }
                Some(_) | None => {
                    answer[field] = Value::Array(items);
                    if !is_complete {
                        answer["complete"] = Value::Bool(false);
                    }
                    return Ok(answer);
                }
            }
        }
    }

    async fn attempt(&self, call: &Call<'_>, path: &[&str], key: Option<&str>) -> Attempt {
        let ended = async {
            let response = self.send(call, path, key).await?;
            let retry_after = retry_after(response.headers());
            let (status, url) = (response.status(), response.url().to_string());
            let media = response.headers().get(header::CONTENT_TYPE);
            let is_json = media.is_some_and(|media| media.as_bytes().ends_with(b"json"));
            let body = self.read(response, key.is_some()).await?;
            Ok((retry_after, self.understand(status, url, is_json, &body)))
        };
        match ended.await {
            Ok((retry_after, ended)) => Attempt { ended, retry_after },
            Err(error) => Attempt {
                ended: Err(error),
                retry_after: None,
            },
        }
    }

    /// Reads an answer that is not JSON, piece by piece however long it is; a piece may take as long as a call.
    pub(super) async fn download(
        &self,
        call: Call<'_>,
        mut each: impl FnMut(&[u8]) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        let path = [&["api", "v1"], call.path.as_slice()].concat();
        let request = self.request(&call, &path, None).timeout(DOWNLOAD_TIMEOUT);
        let mut response = self.sent(request, false).await?;
        let (status, url) = (response.status(), response.url().to_string());
        if !status.is_success() {
            let media = response.headers().get(header::CONTENT_TYPE);
            let is_json = media.is_some_and(|media| media.as_bytes().ends_with(b"json"));
            let body = self.read(response, false).await?;
            self.understand(status, url, is_json, &body)?;
            return Ok(());
        }
        loop {
            let Ok(chunk) = tokio::time::timeout(CALL_TIMEOUT, response.chunk()).await else {
                return Err(ClientError::Lost {
                    url: self.base().to_owned(),
                    reason: format!("nothing came for {} s", CALL_TIMEOUT.as_secs()),
                    is_change: false,
                });
            };
            match chunk.map_err(|error| self.lost(&error, false))? {
                Some(chunk) => each(&chunk)?,
                None => return Ok(()),
            }
        }
    }

    async fn send(
        &self,
        call: &Call<'_>,
        path: &[&str],
        key: Option<&str>,
    ) -> Result<reqwest::Response, ClientError> {
        self.sent(self.request(call, path, key), key.is_some())
            .await
    }

    fn request(
        &self,
        call: &Call<'_>,
        path: &[&str],
        key: Option<&str>,
    ) -> reqwest::RequestBuilder {
        let mut request = self.http.request(call.method.clone(), self.address(path));
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        if let Some(key) = key {
            request = request.header(crate::api::idempotency::HEADER, key);
        }
        match &call.body {
            Body::Empty => request,
            Body::Json(value) => request.json(value),
            Body::Yaml(bytes) => request
                .header(header::CONTENT_TYPE, "text/yaml")
                .body(bytes.clone()),
        }
    }

    async fn sent(
        &self,
        request: reqwest::RequestBuilder,
        is_change: bool,
    ) -> Result<reqwest::Response, ClientError> {
        request.send().await.map_err(|error| {
            if error.is_connect() {
                unreachable(&self.reach.url, &error)
            } else {
                self.lost(&error, is_change)
            }
        })
    }

    /// Reads an answer whole, within its limit.
    async fn read(
        &self,
        mut response: reqwest::Response,
        is_change: bool,
    ) -> Result<Bytes, ClientError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.lost(&error, is_change))?
        {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(ClientError::Foreign {
                    url: response.url().to_string(),
                    status: response.status().as_u16(),
                    reason: format!("it has more than {ANSWER_BYTES_MAX} bytes"),
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    fn understand(
        &self,
        status: StatusCode,
        url: String,
        is_json: bool,
        body: &[u8],
    ) -> Result<Answer, ClientError> {
        let foreign = |reason: &str| ClientError::Foreign {
            url: url.clone(),
            status: status.as_u16(),
            reason: reason.to_owned(),
        };
        if status.is_success() {
            if body.is_empty() {
                let body = Value::Null;
                return Ok(Answer { status, body });
            }
            let body = serde_json::from_slice(body).map_err(|_| foreign("it is not JSON"))?;
            return Ok(Answer { status, body });
        }
        if !is_json {
            return Err(foreign("it is not a problem in JSON"));
        }
        let mut problem: Problem =
            serde_json::from_slice(body).map_err(|_| foreign("it is not a problem in JSON"))?;
        if problem.code.is_empty() {
            return Err(foreign("it is a problem without a code"));
        }
        match &self.reach.token {
            Token::Missing { looked } if problem.code == "unauthenticated" => {
                Err(ClientError::NoToken {
                    url: self.base().to_owned(),
                    looked: looked.clone(),
                })
            }
            Token::Missing { .. } => Err(ClientError::Refused(Box::new(problem))),
            Token::Found { from, .. } => {
                problem.token_from = Some(from.clone());
                Err(ClientError::Refused(Box::new(problem)))
            }
        }
    }

    fn address(&self, path: &[&str]) -> Url {
        let mut url = self.reach.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    fn lost(&self, error: &reqwest::Error, is_change: bool) -> ClientError {
        let reason = if error.is_timeout() {
            format!("it took longer than {} s", CALL_TIMEOUT.as_secs())
        } else {
            innermost(error)
        };
        ClientError::Lost {
            url: self.base().to_owned(),
            reason,
            is_change,
        }
    }
}

fn unreachable(url: &Url, error: &reqwest::Error) -> ClientError {
    let url = url.as_str().trim_end_matches('/').to_owned();
    let reason = if error.is_timeout() {
        format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())
    } else {
        innermost(error)
    };
    match untrusted(error) {
        Some(reason) => ClientError::Untrusted { url, reason },
        None => ClientError::Unreachable { url, reason },
    }
}

/// Why the certificate of the other side, which was reached, is not accepted.
fn untrusted(error: &reqwest::Error) -> Option<String> {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(tls @ rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
            return Some(if let rustls::CertificateError::Other(ours) = why {
                ours.0.to_string()
            } else {
                tls.to_string()
            });
        }
        // an error of input and output hands out what is below the error that it carries
        let carried = error.downcast_ref().and_then(std::io::Error::get_ref);
        cause = match carried {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    None
}

/// The last cause: those above it only say that sending did not work.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Whole seconds, as nodes send it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
