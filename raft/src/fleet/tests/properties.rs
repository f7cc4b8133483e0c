//! Random logs: whatever stands in one, the fleet stays whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};

use super::generate::entry;
use super::model::{Checked, aim};
use super::*;
use crate::records::{ConfigReport, ConfigStatus, Pace, RolloutRules};
use crate::rows::RowKey;

/// What became of the entries of all runs, so that a generator that only makes refusals is noticed.
type Seen = Mutex<BTreeMap<&'static str, usize>>;

fn kind(proposal: &Proposal) -> &'static str {
    match proposal {
        Proposal::Found { .. } => "found",
        Proposal::RegisterNode(_) => "register",
        Proposal::NodeBatch(_) => "batch",
        Proposal::StageBody(_) => "stage",
        Proposal::CreateVersion(_) => "version",
        Proposal::PutGroup(_) => "put group",
        Proposal::DeleteGroup { .. } => "delete group",
        Proposal::CreateDispatch(_) => "dispatch",
        Proposal::ExpandDispatch { .. } => "expand",
        Proposal::MarkDeliveries(_) => "mark",
        Proposal::CancelDispatch { .. } => "cancel",
        Proposal::ExpireDeliveries { .. } => "expire",
        Proposal::PutToken { .. } => "token",
        Proposal::Asked { proposal, .. } => kind(proposal),
        Proposal::NoteWallTime { .. } => "wall time",
        Proposal::TrimAudit { .. } => "trim audit",
        Proposal::NoteRead(_) => "note read",
        Proposal::SetLabels(_) => "labels",
        Proposal::ForgetAgent { .. } => "forget",
        Proposal::Retention(_) => "retention",
        Proposal::CreateVersionAfter { .. } => "version after",
        Proposal::MoveRollout(_) => "move",
        Proposal::ForgetFailures(_) => "forget failures",
        Proposal::LiftQuarantine { .. } => "lift",
        Proposal::RevertGroup { .. } => "revert",
        Proposal::PutRolloutRules { .. } => "rules",
        Proposal::CreateToken { .. } => "create token",
        Proposal::DeleteToken { .. } => "delete token",
        Proposal::CreateEnrollmentToken { .. } => "create enrollment token",
        Proposal::DeleteEnrollmentToken { .. } => "delete enrollment token",
        Proposal::SweepTokens { .. } => "sweep tokens",
        Proposal::NoteSnapshot(_) => "note snapshot",
        Proposal::UnderLease { .. } => "under lease",
        Proposal::LeaderStart { .. } => "leader start",
        Proposal::Tick { .. } => "tick",
        Proposal::DrainNode { .. } => "drain",
        Proposal::LeaveNode { .. } => "leave",
        Proposal::AcquireLease { .. } => "acquire",
        Proposal::ReleaseLease { .. } => "release",
        Proposal::PutPeer { .. } => "put peer",
        Proposal::CreateJoinToken { .. } => "create join token",
        Proposal::RedeemJoinToken { .. } => "redeem",
        Proposal::RemoveNode { .. } => "remove node",
        Proposal::SetFeatureLevel { .. } => "level",
        Proposal::SetMemberRole { .. } => "role",
        Proposal::TransferLeader { .. } => "transfer",
    }
}

fn note(seen: &Seen, recorded: &Seen, entry: &Entry, applied: &Applied) {
    let mut puts = applied.puts.iter();
    if puts.any(|put| matches!(put, (RowKey::Audit(_), Some(_)))) {
        let mut recorded = recorded.lock().expect("whole");
        *recorded.entry(kind(&entry.proposal)).or_default() += 1;
    }
    let marked = matches!(&applied.outcome, Outcome::Deliveries { taken, .. } if !taken.is_empty());
    let empty = matches!(&applied.outcome, Outcome::Deliveries { .. }) && !marked;
    let empty = empty || matches!(applied.outcome, Outcome::Removed { count: 0, .. });
    if !empty && !matches!(applied.outcome, Outcome::Rejected(_)) {
        *seen
            .lock()
            .expect("whole")
            .entry(kind(&entry.proposal))
            .or_default() += 1;
    }
}

/// A group of three agents whose second version is on its way, or has failed on one of them already: what a random log
/// seldom comes to.
fn changing(failed: bool) -> Vec<Entry> {
    let text: Arc<str> = "a".into();
    let node = Proposal::RegisterNode(RegisterNode {
        node: NODE,
        name: text.clone(),
        version: text.clone(),
        opamp_address: text.clone(),
        admin_address: text.clone(),
    });
    let claims = (0..3).map(|n| claim(n, None)).collect();
    let rules = RolloutRules {
        quarantine_failures: 1,
        confirm_timeout_ms: u64::MAX,
    };
    let rules = Proposal::PutRolloutRules { rules };
    let mut all = vec![node, batch(NODE, Epoch(1), 1, claims), rules];
    for n in [1, 2] {
        all.push(Proposal::StageBody(StageBody {
            hash: hash(n),
            part: 0,
            parts: 1,
            bytes: vec![n].into(),
        }));
        all.push(Proposal::CreateVersion(CreateVersion {
            configuration: text.clone(),
            hash: hash(n),
            files: Vec::new(),
            comment: text.clone(),
        }));
        all.push(Proposal::PutGroup(PutGroup {
            name: text.clone(),
            revision: None,
            selector: Some(selector("*")),
            priority: None,
            assign: Assign::Version {
                configuration: text.clone(),
                version: None,
            },
            pace: Some(if n == 1 {
                Pace::AllAtOnce
            } else {
                Pace::SlowStart
            }),
        }));
    }
    if failed {
        let config = ConfigReport {
            hash: hash(2).0.to_vec(),
            status: ConfigStatus::Failed,
            error: text,
        };
        let update = AgentUpdate {
            config: Some(config),
            ..AgentUpdate::default()
        };
        all.push(batch(NODE, Epoch(1), 2, vec![report(0, update)]));
    }
    all.into_iter()
        .map(|proposal| stamped(0, None, proposal))
        .collect()
}

#[test]
fn any_log_keeps_the_fleet_whole() {
    let (seen, recorded) = (Seen::default(), Seen::default());
    let config = Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    };
    let logs = prop::collection::vec((entry(), prop::bool::weighted(0.9)), 1..120);
    // the counts below are of these logs: others may lack a kind by chance
    let dice = TestRng::deterministic_rng(config.rng_algorithm);
    let ran = TestRunner::new_with_rng(config, dice).run(&logs, |entries| {
        let mut checked = Checked::default();
        if entries.len() % 4 != 0 {
            for entry in changing(entries.len() % 4 == 1) {
                checked.apply(&entry);
            }
        }
        for (mut entry, aimed) in entries {
            if aimed {
                aim(&mut entry, &checked.fleet);
            }
            let applied = checked.apply(&entry);
            note(&seen, &recorded, &entry, &applied);
        }
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
    let seen = seen.into_inner().expect("whole");
    assert_eq!(seen.len(), 45, "kinds that took effect: {seen:?}");
    assert!(seen.values().all(|count| *count >= 5), "{seen:?}");
    let recorded = recorded.into_inner().expect("whole");
    let operators = [
        "version",
        "put group",
        "delete group",
        "dispatch",
        "cancel",
        "token",
        "create token",
        "delete token",
        "create enrollment token",
        "delete enrollment token",
        "note read",
        "labels",
        "forget",
        "version after",
        "lift",
        "revert",
        "note snapshot",
        "create join token",
        "redeem",
        "remove node",
        "level",
        "role",
        "transfer",
    ];
    let kinds: BTreeSet<_> = recorded.keys().copied().collect();
    assert_eq!(
        kinds,
        BTreeSet::from(operators),
        "kinds that left a record: {recorded:?}"
    );
}

proptest! {
    #![proptest_config(Config { cases: 40, failure_persistence: None, ..Config::default() })]

    /// A copy taken at any entry is that fleet for ever, whatever is applied after it.
    #[test]
    fn a_copy_never_changes(entries in prop::collection::vec(entry(), 1..60), at in 0..60_usize) {
        let mut log = Log::default();
        let mut copy = None;
        for (place, mut entry) in entries.into_iter().enumerate() {
            aim(&mut entry, &log.fleet);
            log.entry(entry);
            if place == at {
                copy = Some((log.fleet.clone(), format!("{:?}", log.fleet)));
            }
        }
        if let Some((copy, text)) = copy {
            prop_assert_eq!(format!("{copy:?}"), text);
        }
    }
}
