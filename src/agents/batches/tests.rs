//! What is proposed together, and what waits.

use ampora_raft::records::Health;

use super::*;

#[test]
fn a_batch_is_never_larger_than_the_fleet_takes() {
    let batches = Batches::default();
    let uid = |n: u16| InstanceUid::from_u128(u128::from(n) + 1);
    for n in 0..2_000 {
        if n % 3 == 0 {
            drop(batches.rename(uid(n), uid(n + 10_000)));
        } else {
            drop(batches.claim(uid(n), None, Transport::WebSocket));
        }
    }
    let large = || AgentUpdate {
        components_hash: Some(vec![1; 3_000]),
        ..AgentUpdate::default()
    };
    for n in 0..300 {
        let op = report(uid(n), large());
        let mut queue = batches.queue.lock();
        queue.session_ops.push_back(Waiting { op, answer: None });
    }
    let (mut ops, mut rounds) = (0, 0);
    loop {
        let batch = batches.next_batch(u64::MAX).ops;
        if batch.is_empty() {
            break;
        }
        assert!(batch.iter().map(|w| rows_of(&w.op)).sum::<usize>() <= OPS_PROPOSED_MAX);
        let bytes: usize = batch.iter().map(|w| op_bytes(&w.op)).sum();
        assert!(bytes <= ENTRY_BYTES_MAX, "{bytes} bytes");
        ops += batch.len();
        rounds += 1;
    }
    assert_eq!(ops, 2_300);
    assert!(rounds > 4, "{rounds} batches");
}

#[test]
fn what_an_agent_says_does_not_go_with_its_claim() {
    let batches = Batches::new(Epoch(1));
    let (claimed, owned) = (InstanceUid::from_u128(1), InstanceUid::from_u128(2));
    let says = |uid, status: &str| {
        let health = Health {
            healthy: true,
            status: status.into(),
            last_error: "".into(),
            since_ms: 0,
            body: None,
        };
        let update = AgentUpdate {
            health: Some(health),
            ..AgentUpdate::default()
        };
        let mut queue = batches.queue.lock();
        queue.reports.add(uid, update, None, 1_000);
    };
    let next = || batches.next_batch(20_000).ops;
    says(claimed, "before");
    drop(batches.claim(claimed, None, Transport::WebSocket));
    says(claimed, "after");
    says(owned, "well");
    let reports: Vec<_> = next().iter().map(Waiting::reports_of).collect();
    assert_eq!(reports, [None, Some(owned)]);
    batches.claim_settled(claimed);
    let said = next();
    let [
        Waiting {
            op: SessionOp::Report { update, .. },
            ..
        },
    ] = &said[..]
    else {
        panic!("{said:?}");
    };
    let health = update.health.as_ref().expect("health");
    assert_eq!(&*health.status, "after");
    assert!(!batches.unsay(claimed));
    drop(batches.claim(claimed, None, Transport::WebSocket));
    says(claimed, "gone");
    assert!(batches.unsay(claimed));
    batches.claim_settled(claimed);
    assert_eq!(next().len(), 1, "the claim alone");
    assert_eq!(next().len(), 0);
}
