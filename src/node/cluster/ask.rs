//! How a newcomer asks to be let in: by what its token says, at one member after the other.

use std::sync::Arc;
use std::time::Duration;

use ampora_raft::fleet::FEATURE_LEVEL;
use ampora_raft::ids::NodeId;

use super::token::{JoinToken, TokenError};
use crate::peer::{Hello, Joined, NodeKey, Redeem, Redeemed, greet, redeem};

/// How long one member is asked: it commits that the newcomer belongs to it, through an election if need be.
const WITHIN: Duration = Duration::from_secs(20);

/// Members that could not be asked are asked again after so long: by then they have applied what others have.
const PAUSE: Duration = Duration::from_secs(1);

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
    #[error("no member of the cluster could be asked: {0}")]
    Unreachable(String),
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

/// Asks to be let in; `first` is asked before those of the token. Members that have not heard of the token yet are
/// asked once more.
///
/// # Errors
/// [`JoinError`] says who refused and why.
pub async fn ask(
    token: &JoinToken,
    first: Option<&str>,
    newcomer: &Newcomer,
) -> Result<Joined, JoinError> {
    let asked = ask_all(token, first, newcomer).await;
    if !matches!(asked, Err(JoinError::Unreachable(_))) {
        return asked;
    }
    tokio::time::sleep(PAUSE).await;
    ask_all(token, first, newcomer).await
}

/// Asks one member after the other.
async fn ask_all(
    token: &JoinToken,
    first: Option<&str>,
    newcomer: &Newcomer,
) -> Result<Joined, JoinError> {
    let named = token.addresses.iter().map(|address| &**address);
    let mut tried = Vec::new();
    for address in first.into_iter().chain(named) {
        if tried.iter().any(|(before, _)| *before == address) {
            continue;
        }
        // nothing may happen in another cluster than the one that is meant
        let greeted = greet(address, &token.keys, &newcomer.key, stranger(), WITHIN).await;
        match greeted.map(|hello| hello.cluster_id) {
            Ok(Some(found)) if found != token.cluster => {
                return Err(JoinError::OtherCluster {
                    expected: token.cluster,
                    found,
                });
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                tried.push((address, "it belongs to no cluster yet".to_owned()));
                continue;
            }
            Err(error) => {
                tried.push((address, error.to_string()));
                continue;
            }
        }
        let request = request(token, newcomer);
        match redeem(address, &token.keys, &newcomer.key, request, WITHIN).await {
            Ok(Redeemed::Joined(joined)) => return Ok(joined),
            Ok(Redeemed::Refused { code, text }) if &*code == "unavailable" => {
                tried.push((address, text.to_string()));
            }
            Ok(Redeemed::Refused { code, text }) => return Err(JoinError::Refused { code, text }),
            Err(error) => tried.push((address, error.to_string())),
        }
    }
    let tried = tried
        .iter()
        .map(|(address, why)| format!("{address}: {why}"));
    Err(JoinError::Unreachable(tried.collect::<Vec<_>>().join("; ")))
}

fn stranger() -> Hello {
    Hello {
        version: env!("CARGO_PKG_VERSION").into(),
        level: FEATURE_LEVEL,
        cluster_id: None,
        node: None,
    }
}

fn request(token: &JoinToken, newcomer: &Newcomer) -> Redeem {
    Redeem {
        secret: *token.secret.expose(),
        peer_address: newcomer.address.clone(),
        name: newcomer.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        level: FEATURE_LEVEL,
        wanted: newcomer.wanted,
    }
}
