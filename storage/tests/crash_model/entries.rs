//! What is appended: bodies of 100 bytes to 1 MiB in parts, versions, groups, sessions, dispatches.

use ampora_raft::fleet::Fleet;
use ampora_raft::ids::{ConfigHash, InstanceUid, NodeId};
use ampora_raft::proposal::{
    Assign, CreateDispatch, CreateVersion, Entry, NodeBatch, Origin, Proposal, PutGroup,
    RegisterNode, SessionOp, StageBody,
};
use ampora_raft::records::{Action, Target, Transport};
use ampora_raft::selector::Selector;

/// Random numbers from a seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

const BODIES: u64 = 24;

fn hash(n: u64) -> ConfigHash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&n.to_be_bytes());
    ConfigHash(hash)
}

/// Parts of a body and bytes of each: from 100 bytes to 1 MiB.
fn shape(n: u64) -> (u16, usize) {
    match n % 8 {
        0 => (4, 256 * 1024),
        1 => (2, 200_000),
        2 => (1, 256 * 1024),
        3 => (1, 4_096),
        4 => (1, 4_075),
        5 => (3, 30_000),
        _ => (1, 100 + usize::try_from(n).unwrap_or(0)),
    }
}

/// The bytes of a part, a function of its name.
pub(crate) fn part(hash: ConfigHash, part: u16) -> Vec<u8> {
    let n = u64::from_be_bytes(hash.0[..8].try_into().unwrap_or_default());
    let (_, bytes) = shape(n);
    let mut all = format!("{n}-{part} ").into_bytes().repeat(bytes / 4 + 1);
    all.truncate(bytes);
    all
}

fn uid(n: u64) -> InstanceUid {
    InstanceUid::from_u128(u128::from(n) + 1)
}

fn proposal(dice: &mut Dice, fleet: &Fleet) -> Proposal {
    let n = dice.below(BODIES);
    let node = NodeId(1);
    let Some(known) = fleet.node(node) else {
        let text = || "node".into();
        return Proposal::RegisterNode(RegisterNode {
            node,
            name: text(),
            version: text(),
            opamp_address: text(),
            admin_address: text(),
        });
    };
    match dice.below(8) {
        0..3 => {
            let (parts, _) = shape(n);
            let given = u16::try_from(dice.below(u64::from(parts))).unwrap_or(0);
            Proposal::StageBody(StageBody {
                hash: hash(n),
                part: given,
                parts,
                bytes: part(hash(n), given).into(),
            })
        }
        3 => Proposal::CreateVersion(CreateVersion {
            configuration: format!("c{}", n % 3).into(),
            hash: hash(n),
            files: Vec::new(),
            comment: "".into(),
        }),
        4 => Proposal::PutGroup(PutGroup {
            name: format!("g{}", n % 5).into(),
            revision: None,
            selector: Some(Selector::everyone()),
            priority: i32::try_from(n).ok(),
            assign: Assign::Version {
                configuration: "c0".into(),
                version: None,
            },
            pace: None,
        }),
        5 => Proposal::CreateDispatch(CreateDispatch {
            action: Action::CustomMessage {
                capability: "c".into(),
                message_type: "t".into(),
                data: vec![1; usize::try_from(dice.below(16_000)).unwrap_or(0)],
            },
            target: Target::Agent(uid(n)),
            requires: 0,
            expires_in_ms: 60_000,
        }),
        _ => {
            let claim = |n| SessionOp::Claim {
                uid: uid(n),
                expect: None,
                transport: Transport::Http,
            };
            Proposal::NodeBatch(NodeBatch {
                node,
                epoch: known.epoch,
                number: known.batch + 1,
                agents_max: 1_000,
                ops: (n..n + 1 + dice.below(60)).map(claim).collect(),
            })
        }
    }
}

/// The next entry of a log that has come to `fleet`.
pub(crate) fn entry(dice: &mut Dice, fleet: &Fleet) -> Entry {
    Entry {
        time_ms: fleet.meta().time_ms + dice.below(1_000),
        wall_ms: 1_700_000_000_000,
        origin: Origin {
            actor: "a".into(),
            request_id: "r".into(),
            idempotency: None,
        },
        proposal: proposal(dice, fleet),
    }
}
