//! Pages of lists: `limit` and the opaque `continue`, a key after which the next page begins.
//!
//! A token is bound to its list and to the filters of the call, so that a page of one question never
//! continues another. It is checksummed against accidents, not signed: it names nothing secret, and a forged
//! one only begins a page elsewhere.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::problem::{Code, Problem};

/// Items of a page when the caller does not say.
pub const LIMIT_DEFAULT: usize = 100;
/// Items of a page at most.
pub const LIMIT_MAX: usize = 1000;
/// Format of the token.
const VERSION: u8 = 1;
/// Version, kind, filter, checksum.
const OVERHEAD: usize = 1 + 1 + FILTER + CHECKSUM;
const FILTER: usize = 8;
const CHECKSUM: usize = 4;
/// Characters of a token: the longest key is a name of 63 bytes or a pair of id and uid.
const TOKEN_CHARS_MAX: usize = 256;

/// Which list a token belongs to. Numbers are part of the token and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum List {
    /// `GET /agents`.
    Agents = 1,
    /// `GET /configurations`.
    Configurations = 2,
    /// `GET /groups`.
    Groups = 3,
    /// `GET /dispatches`.
    Dispatches = 4,
    /// Deliveries of one dispatch.
    Deliveries = 5,
    /// Versions of one configuration.
    Versions = 6,
    /// `GET /audit`.
    Audit = 10,
    /// `GET /audit/verify`.
    AuditVerify = 11,
    /// `GET /groups/{name}/preview`.
    Preview = 16,
    /// `GET /tokens`.
    Tokens = 7,
    /// `GET /enrollment-tokens`.
    EnrollmentTokens = 8,
    /// `GET /cluster/sessions`.
    Sessions = 9,
    /// `GET /agents/{uid}/history`.
    History = 12,
    /// `GET /agents?at=TIME`.
    PastAgents = 13,
}

/// A question about a list: which list, and by what it was filtered.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    list: List,
    filter: [u8; FILTER],
    /// Items at most.
    pub limit: usize,
}

impl Page {
    /// Checks `limit` and remembers the filters that a token must have been made for.
    ///
    /// # Errors
    /// `limit` is not a number of 1 to 1000.
    pub fn new(list: List, limit: Option<&str>, filters: &[Option<&str>]) -> Result<Page, Problem> {
        let limit = match limit {
            None => LIMIT_DEFAULT,
            Some(text) => text
                .parse::<usize>()
                .ok()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit))
                .ok_or_else(|| {
                    Problem::at(
                        Code::InvalidParameter,
                        "/query/limit",
                        format_args!("limit must be a number from 1 to {LIMIT_MAX}"),
                    )
                })?,
        };
        let mut hasher = Sha256::new();
        for filter in filters {
            match filter {
                None => hasher.update([0]),
                Some(text) => {
                    hasher.update([1]);
                    hasher.update((text.len() as u64).to_be_bytes());
                    hasher.update(text.as_bytes());
                }
            }
        }
        Ok(Page {
            list,
            filter: first(&hasher.finalize()),
            limit,
        })
    }

    /// The token that continues after `key`.
    #[must_use]
    pub fn token(&self, key: &[u8]) -> String {
        let mut bytes = Vec::with_capacity(OVERHEAD + key.len());
        bytes.extend([VERSION, self.list as u8]);
        bytes.extend(self.filter);
        bytes.extend(key);
        let sum: [u8; CHECKSUM] = first(&Sha256::digest(&bytes));
        bytes.extend(sum);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The key in a token; `None` for the first page.
    ///
    /// # Errors
    /// The token is mangled, or was made by another list or for other filters.
    pub fn after(&self, token: Option<&str>) -> Result<Option<Vec<u8>>, Problem> {
        let Some(token) = token else {
            return Ok(None);
        };
        let refuse = |why: &str| Problem::at(Code::ContinueInvalid, "/query/continue", why);
        if token.len() > TOKEN_CHARS_MAX {
            return Err(refuse("the token is too long"));
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(token)
            .map_err(|_| refuse("the token is mangled"))?;
        if bytes.len() < OVERHEAD {
            return Err(refuse("the token is mangled"));
        }
        let (body, sum) = bytes.split_at(bytes.len() - CHECKSUM);
        let expected: [u8; CHECKSUM] = first(&Sha256::digest(body));
        if sum != expected || body[0] != VERSION {
            return Err(refuse("the token is mangled"));
        }
        if body[1] != self.list as u8 || body[2..2 + FILTER] != self.filter {
            return Err(refuse(
                "the token was given for another list or other filters",
            ));
        }
        Ok(Some(body[2 + FILTER..].to_vec()))
    }

    /// A key of the wrong shape: only a forged token has one.
    #[must_use]
    pub fn foreign(&self) -> Problem {
        Problem::at(
            Code::ContinueInvalid,
            "/query/continue",
            "the token is mangled",
        )
    }
}

/// The first bytes of a digest.
fn first<const N: usize>(digest: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| digest[at])
}

/// Collects up to `limit` items and says after which key the next page begins, when there is more.
pub fn take<T, K: AsRef<[u8]>>(
    items: impl Iterator<Item = T>,
    page: &Page,
    key: impl Fn(&T) -> K,
) -> (Vec<T>, Option<String>) {
    let mut taken: Vec<T> = items.take(page.limit + 1).collect();
    let more = taken.len() > page.limit;
    taken.truncate(page.limit);
    let next = taken
        .last()
        .filter(|_| more)
        .map(|last| page.token(key(last).as_ref()));
    (taken, next)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(list: List, filters: &[Option<&str>]) -> Page {
        Page::new(list, None, filters).unwrap()
    }

    #[test]
    fn limits_out_of_range_are_refused() {
        for bad in ["0", "1001", "-1", "ten", "", "99999999999999999999"] {
            let problem = Page::new(List::Agents, Some(bad), &[]).unwrap_err();
            assert_eq!(problem.code(), Code::InvalidParameter, "{bad}");
        }
        assert_eq!(
            Page::new(List::Agents, Some("1000"), &[]).unwrap().limit,
            1000
        );
        assert_eq!(page(List::Agents, &[]).limit, LIMIT_DEFAULT);
    }

    #[test]
    fn a_token_of_another_list_or_filter_is_refused() {
        let token = page(List::Agents, &[Some("a"), None]).token(b"key");
        assert_eq!(
            page(List::Agents, &[Some("a"), None])
                .after(Some(&token))
                .unwrap()
                .unwrap(),
            b"key"
        );
        for other in [
            page(List::Groups, &[Some("a"), None]),
            page(List::Agents, &[None, Some("a")]),
            page(List::Agents, &[Some("b"), None]),
        ] {
            assert_eq!(
                other.after(Some(&token)).unwrap_err().code(),
                Code::ContinueInvalid
            );
        }
    }

    proptest! {
        #[test]
        fn every_key_comes_back_and_every_changed_byte_is_noticed(
            key in proptest::collection::vec(any::<u8>(), 0..80),
            at in any::<prop::sample::Index>(),
        ) {
            let page = page(List::Deliveries, &[Some("7")]);
            let token = page.token(&key);
            prop_assert_eq!(page.after(Some(&token)).unwrap().unwrap(), key);
            let mut mangled = token.into_bytes();
            let at = at.index(mangled.len());
            mangled[at] = if mangled[at] == b'A' { b'B' } else { b'A' };
            prop_assert!(page.after(Some(std::str::from_utf8(&mangled).unwrap())).is_err());
        }
    }
}
