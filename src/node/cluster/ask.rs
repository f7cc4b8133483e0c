//! How a newcomer asks to be let in: by what its token says, at one member after the other.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::fleet::FEATURE_LEVEL;
use ampora_raft::ids::NodeId;
use bytes::Bytes;

use super::token::{JoinToken, TokenError};
use crate::clock::SystemClock;
use crate::peer::{
    Hello, Join, Joined, KeyError, NodeKey, NotLetIn, Redeemed, Refusal, greet, join,
};

/// How long one member is asked: it commits that the newcomer belongs to it, through an election if need be.
const WITHIN: Duration = Duration::from_secs(20);

/// Members are asked again after so long: by then they have applied what others have. It doubles up to the longest.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// Largest file of a token that is read, in bytes.
pub(super) const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Why a node was not let in. Nothing has changed, here or there.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The token is none.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token is not where it should be.
    #[error("cannot read the join token from {path} (`cluster.join_token_file`)")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The cluster says no, and why.
    #[error("the cluster does not let this node in: {text}")]
    Refused {
        /// A word for programs.
        code: Arc<str>,
        /// A sentence for people.
        text: Arc<str>,
    },
    /// No member could be asked.
    #[error("no member of the cluster could be asked: {text}")]
    Unreachable {
        /// Why each could not.
        text: String,
        /// Whether one of them is away and may come.
        is_away: bool,
    },
    /// A member that holds one of the keys of the token does not let its bearer in.
    #[error(
        "the cluster does not know this join token: it was revoked, or forgotten after its end, or is wrong; make a new one with `ampora cluster join-token` ({text})"
    )]
    UnknownToken {
        /// Who said so.
        text: String,
    },
    /// The token makes no key.
    #[error("cannot make the key of the join token")]
    Key(#[from] KeyError),
    /// The token is of another cluster than the node that it names.
    #[error(
        "the token is for cluster {expected:032x}, and the node that it names belongs to {found:032x}: make a new token"
    )]
    OtherCluster {
        /// What the token says.
        expected: u128,
        /// What the node says.
        found: u128,
    },
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// What it is known by.
    pub key: Arc<NodeKey>,
    /// Where others reach it.
    pub address: Arc<str>,
    /// Shown to people.
    pub name: Arc<str>,
    /// The id that it is configured with.
    pub wanted: Option<NodeId>,
}

/// Asks to be let in; `first` is asked before those of the token.
///
/// While no member can be reached it is tried again, for so long as `patience`; members that have not heard of the token yet
/// are asked once more in any case.
///
/// # Errors
/// [`JoinError`] says who refused and why.
pub async fn ask(
    token: &JoinToken,
    first: Option<&str>,
    newcomer: &Newcomer,
    patience: Duration,
) -> Result<Joined, JoinError> {
    let bearer = token.key()?;
    let (since, mut pause, mut tries) = (SystemClock.micros(), PAUSE, 0);
    loop {
        let asked = ask_all(token, &bearer, first, newcomer).await;
        tries += 1;
        let Err(error @ (JoinError::Unreachable { .. } | JoinError::UnknownToken { .. })) = asked
        else {
            return asked;
        };
        let is_away = matches!(error, JoinError::Unreachable { is_away: true, .. });
        let is_over = !is_away || SystemClock.elapsed(since) >= patience;
        if tries > 1 && is_over {
            return Err(error);
        }
        tracing::warn!(%error, again_in_seconds = pause.as_secs(), "not let in yet");
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(PAUSE_MAX);
    }
}

/// Why a member could not be asked.
struct Missed<'a> {
    address: &'a str,
    why: String,
    /// It does not let the bearer of the token in.
    is_closed: bool,
    /// It is away, or cannot take anybody in, and may change.
    is_away: bool,
}

impl<'a> Missed<'a> {
    fn by(address: &'a str, error: &io::Error) -> Self {
        Self {
            address,
            why: error.to_string(),
            is_closed: error.get_ref().is_some_and(|inner| inner.is::<NotLetIn>()),
            // another key answers, or something that is no node, or a node that does not serve this
            is_away: error.kind() != io::ErrorKind::InvalidData
                && !error.get_ref().is_some_and(|inner| inner.is::<Refusal>()),
        }
    }

    fn for_now(address: &'a str, why: &str) -> Self {
        Self {
            address,
            why: why.to_owned(),
            is_closed: false,
            is_away: true,
        }
    }
}

fn missed(all: &[Missed<'_>]) -> JoinError {
    let texts = all
        .iter()
        .map(|one| format!("{}: {}", one.address, one.why));
    let text = texts.collect::<Vec<_>>().join("; ");
    if all.iter().any(|one| one.is_closed) {
        return JoinError::UnknownToken { text };
    }
    let is_away = all.iter().any(|one| one.is_away);
    JoinError::Unreachable { text, is_away }
}

/// Asks one member after the other.
async fn ask_all(
    token: &JoinToken,
    bearer: &NodeKey,
    first: Option<&str>,
    newcomer: &Newcomer,
) -> Result<Joined, JoinError> {
    let named = token.addresses.iter().map(|address| &**address);
    let mut tried: Vec<Missed<'_>> = Vec::new();
    for address in first.into_iter().chain(named) {
        if tried.iter().any(|before| before.address == address) {
            continue;
        }
        // nothing may happen in another cluster than the one that is meant
        let greeted = greet(
            address,
            &token.keys,
            bearer,
            greeting(token.cluster),
            WITHIN,
        )
        .await;
        match greeted.map(|hello| hello.cluster_id) {
            Ok(Some(found)) if found != token.cluster => {
                return Err(JoinError::OtherCluster {
                    expected: token.cluster,
                    found,
                });
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                tried.push(Missed::for_now(address, "it belongs to no cluster yet"));
                continue;
            }
            Err(error) => {
                tried.push(Missed::by(address, &error));
                continue;
            }
        }
        let own = &newcomer.key;
        match join(address, &token.keys, bearer, own, request(newcomer), WITHIN).await {
            Ok(Redeemed::Joined(joined)) => return Ok(joined),
            Ok(Redeemed::Refused { code, text }) if &*code == "unavailable" => {
                tried.push(Missed::for_now(address, &text));
            }
            Ok(Redeemed::Refused { code, text }) => return Err(JoinError::Refused { code, text }),
            Err(error) => tried.push(Missed::by(address, &error)),
        }
    }
    Err(missed(&tried))
}

/// How a node greets that is no member, or does not know whether it is.
pub(super) fn greeting(cluster: u128) -> Hello {
    Hello {
        version: env!("CARGO_PKG_VERSION").into(),
        level: FEATURE_LEVEL,
        cluster_id: Some(cluster),
        node: None,
    }
}

/// What is asked; the proof comes with the session.
fn request(newcomer: &Newcomer) -> Join {
    Join {
        public_key: Bytes::new(),
        signature: Bytes::new(),
        peer_address: newcomer.address.clone(),
        name: newcomer.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        level: FEATURE_LEVEL,
        wanted: newcomer.wanted,
    }
}
