//! Which place a starting node has: the one that its directory keeps, one that a cluster gives it, or that of a
//! founder.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ampora_raft::consensus::Begin;
use ampora_raft::ids::NodeId;

use super::answers::Answers;
use super::ask::{FILE_BYTES_MAX, JoinError, Newcomer, ask};
use super::peering::{Peering, PeeringError};
use super::token::JoinToken;
use crate::config::{Config, JoinBy};
use crate::node::identity::{Identity, IdentityError};
use crate::peer::{Joined, Known};

/// How long a starting node tries to reach a member that would let it in: whoever starts both does not mind the order.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a node has no place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The directory belongs to somebody else.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// It cannot talk with others.
    #[error(transparent)]
    Peering(#[from] PeeringError),
    /// The cluster did not let it in.
    #[error("cannot join the cluster")]
    Join(#[from] JoinError),
}

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Who the node is.
    pub identity: Identity,
    /// What it does without a log.
    pub begin: Begin,
}

impl Place {
    fn of(identity: Identity) -> Self {
        let begin = match identity.cluster {
            Some(_) => Begin::Join,
            None => Begin::Found,
        };
        Self { identity, begin }
    }
}

/// Finds the place of this node. One that has a place keeps it, whatever the configuration says of joining.
///
/// # Errors
/// It was to join and was not let in: nothing is kept then, and the next start asks again.
pub async fn find(
    config: &Config,
    kept: Option<Identity>,
    peering: &Peering,
    answers: &Arc<Answers>,
) -> Result<Place, PlaceError> {
    if let Some(identity) = kept {
        let all = peering.addresses();
        if !all.is_empty() {
            let near = all.iter().find(|(node, _)| **node != identity.node);
            let near = near.map(|(_, address)| &**address);
            peering.open(Some(identity.node), near, answers).await?;
        }
        return Ok(Place::of(identity));
    }
    let Some(by) = &config.cluster.join else {
        let identity = Identity::founder(config.node.id);
        identity.write(&config.node.data_dir)?;
        return Ok(Place::of(identity));
    };
    let (token, first) = read_token(by, config.cluster.join_token_file.as_deref())?;
    let near = first.or_else(|| token.addresses.first().map(|address| &**address));
    let address = peering.open(None, near, answers).await?;
    let newcomer = newcomer(config, peering, address);
    let joined = ask(&token, first, &newcomer, PATIENCE).await?;
    let identity = take(&joined, &newcomer, peering)?;
    tracing::info!(
        node = identity.node.0,
        cluster = %format_args!("{:032x}", joined.cluster_id),
        "let in by the cluster"
    );
    Ok(Place::of(identity))
}

/// This node as it asks to be let in.
fn newcomer(config: &Config, peering: &Peering, address: Arc<str>) -> Newcomer {
    Newcomer {
        key: peering.key.clone(),
        address,
        name: crate::node::join::name(config),
        wanted: config.node.id.map(NodeId),
    }
}

/// Takes the place that a cluster gave, for ever. First who the others are: without them the id is worth nothing.
fn take(
    joined: &Joined,
    newcomer: &Newcomer,
    peering: &Peering,
) -> Result<Identity, IdentityError> {
    peering.know(all(joined, newcomer));
    let identity = Identity {
        node: joined.node,
        cluster: Some(joined.cluster_id),
    };
    identity.write(peering.data_dir())?;
    Ok(identity)
}

/// Everybody, the newcomer among them: it listens where it said that it does, for ever.
pub(super) fn all(joined: &Joined, newcomer: &Newcomer) -> BTreeMap<NodeId, Known> {
    let others = joined.members.iter().map(|member| {
        let known = Known {
            address: member.address.clone(),
            key: member.key,
        };
        (member.node, known)
    });
    let own = Known {
        address: newcomer.address.clone(),
        key: newcomer.key.key_hash(),
    };
    others.chain([(joined.node, own)]).collect()
}

/// The token, and the address that is asked first.
fn read_token<'a>(
    by: &'a JoinBy,
    file: Option<&Path>,
) -> Result<(JoinToken, Option<&'a str>), JoinError> {
    match by {
        JoinBy::Token(text) => Ok((JoinToken::decode(text.expose())?, None)),
        JoinBy::Address(address) => {
            let path = file.unwrap_or(Path::new(""));
            let text = read(path).map_err(|source| JoinError::File {
                path: path.to_owned(),
                source,
            })?;
            Ok((JoinToken::decode(&text)?, Some(address)))
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
