//! Nodes on loopback that call each other, well and badly.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ampora_raft::consensus::PeerNetwork;
use ampora_raft::ids::{BodyHash, InstanceUid, NodeId};
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::net::TcpListener;

use super::testing::{
    Flow, LARGE_BYTES, LONG, TOO_LARGE, Wire, exchange, known, node, pair, read_index, response,
    try_to_join, until, vote,
};
use super::*;
use crate::clock::SystemClock;
use crate::doors;
use crate::entropy::Entropy;
use crate::tasks::Tasks;

mod impostor;

/// More than what one connection serves side by side.
const MANY: usize = 200;

/// Calls that pass beside something that is stuck: few enough that it is not given up meanwhile.
const SOME: usize = 20;

fn kind<T: std::fmt::Debug>(answer: io::Result<T>) -> io::ErrorKind {
    answer.expect_err("refused").kind()
}

fn hello() -> Hello {
    Hello {
        version: "1".into(),
        level: 2,
        cluster_id: Some(u128::MAX),
        node: None,
    }
}

#[tokio::test]
async fn nodes_call_each_other_both_ways() {
    let (one, two) = pair().await;
    for (from, to) in [(&one, &two), (&two, &one)] {
        let (peers, id) = (&from.peers, to.id);
        for request in [vote(), read_index()] {
            let answer = peers.call(id, request, LONG).await.expect("answered");
            assert_eq!(format!("{answer:?}"), format!("{:?}", response(1)));
        }
        let answers = &to.answers;
        assert_eq!(*answers.caller.borrow(), Some(Caller::Member(from.id)));
        let greeted = peers.hello(id, hello(), LONG).await.expect("answered");
        assert_eq!(greeted.node, Some(id));
        let asked = exchange("poll");
        let exchanged = peers.exchange(id, asked.clone(), LONG).await;
        let exchanged = exchanged.expect("answered");
        assert_eq!((exchanged.status, exchanged.body), (200, asked.body));
        assert_eq!(exchanged.headers, asked.headers);
        let uids = vec![InstanceUid::from_u128(1), InstanceUid::nil()];
        let seen = peers.last_seen(id, uids, LONG).await.expect("answered");
        assert_eq!(
            seen.iter().map(Option::is_some).collect::<Vec<_>>(),
            [true, false]
        );
        let body = peers
            .body(id, BodyHash([1; 32]), LONG)
            .await
            .expect("answered");
        assert_eq!(body.expect("there").len(), LARGE_BYTES);
        let body = peers
            .body(id, BodyHash([0; 32]), LONG)
            .await
            .expect("answered");
        assert_eq!(body, None);
    }
}

#[tokio::test]
async fn a_key_that_is_not_known_is_refused_in_the_handshake() {
    let (one, two) = pair().await;
    one.trust.set_members(&[].into());
    let refused = two.says(&one, "poll").await;
    assert_eq!(kind(refused), io::ErrorKind::PermissionDenied);
    assert_eq!(*one.answers.began.borrow(), 0);
    let (address, keys) = (one.address.to_string(), [one.key.key_hash()]);
    // a node's own key is none of a bearer, and a token that nobody made is none either
    let nobodys = NodeKey::of_bearer(&[9; 32]).expect("a key");
    for key in [&*two.key, &nobodys] {
        let greeted = greet(&address, &keys, key, hello(), LONG).await;
        let refused = greeted.expect_err("not let in");
        assert!(
            refused.get_ref().is_some_and(|why| why.is::<NotLetIn>()),
            "{refused}"
        );
        let joining = join(&address, &keys, key, &two.key, try_to_join(), LONG).await;
        assert_eq!(kind(joining), io::ErrorKind::PermissionDenied);
    }
    assert!(one.answers.joined.borrow().is_empty());
}

#[tokio::test]
async fn bearers_of_a_token_join_with_their_own_key_and_do_nothing_else() {
    let member = node(1).await;
    let newcomer = node(2).await;
    let bearer = NodeKey::of_bearer(&[3; 32]).expect("a key");
    let token = bearer.key_hash();
    let (address, keys) = (member.address.to_string(), [[8; 32], member.key.key_hash()]);
    let (address, keys) = (address.as_str(), keys.as_slice());
    member.trust.set_bearers(&[token].into());
    let greeted = greet(address, keys, &bearer, hello(), LONG).await;
    assert_eq!(greeted.expect("may greet").node, Some(member.id));
    let shown = Some(Caller::Bearer(token));
    assert_eq!(*member.answers.caller.borrow(), shown);
    // over links as members have them
    newcomer.meet(&[&member]);
    let entropy = Entropy::drawn(|| u64::MAX / 2);
    let as_bearer = Peers::new(
        Arc::new(bearer.clone()),
        newcomer.book.clone(),
        &newcomer.tasks,
        entropy,
    );
    let polled = as_bearer.exchange(member.id, exchange("poll"), LONG).await;
    let refused = polled.expect_err("no member");
    assert!(refused.to_string().contains("members"), "{refused}");
    assert_eq!(*member.answers.began.borrow(), 0);

    let joined = join(address, keys, &bearer, &newcomer.key, try_to_join(), LONG).await;
    let Redeemed::Joined(joined) = joined.expect("may join") else {
        panic!("refused");
    };
    assert_eq!((joined.node, joined.cluster_id), (NodeId(4), 7));
    let own = newcomer.key.key_hash();
    assert_eq!(*member.answers.joined.borrow(), [(token, own)]);
    // nobody is trusted blindly: the keys of the token decide
    let other = [[8; 32]];
    let refused = join(address, &other, &bearer, &newcomer.key, try_to_join(), LONG).await;
    assert_eq!(kind(refused), io::ErrorKind::InvalidData);
    // the token goes, and its bearer with it
    member.trust.set_bearers(&[].into());
    let refused = join(address, keys, &bearer, &newcomer.key, try_to_join(), LONG).await;
    assert_eq!(kind(refused), io::ErrorKind::PermissionDenied);
    assert_eq!(member.answers.joined.borrow().len(), 1);
}

#[tokio::test]
async fn a_node_that_was_removed_hears_that_and_nothing_else() {
    let (one, two) = pair().await;
    let removed = Removed {
        cluster_id: 7,
        node: two.id,
    };
    one.trust.set_members(&[].into());
    one.trust
        .set_removed(&[(two.key.key_hash(), removed)].into());
    for call in [
        PeerCall::Hello(hello()),
        PeerCall::Raft(vote()),
        PeerCall::Exchange(exchange("poll")),
        PeerCall::Body(BodyHash([1; 32])),
        PeerCall::Join(try_to_join()),
    ] {
        let answer = two.peers.ask(one.id, &call, LONG).await;
        let answer = answer.expect("answered");
        assert!(
            matches!(answer, PeerAnswer::Removed(heard) if heard == removed),
            "{answer:?}"
        );
    }
    let refused = two.says(&one, "poll").await.expect_err("no member");
    assert!(refused.to_string().contains("was removed"), "{refused}");
    assert_eq!(*one.answers.caller.borrow(), None);
    assert_eq!(*one.answers.began.borrow(), 0);
    // one that came back under its key is a member
    one.trust
        .set_members(&[(two.key.key_hash(), NodeId(9))].into());
    // once the connection that it had is over
    let again = async { while two.says(&one, "poll").await.is_err() {} };
    let answered = tokio::time::timeout(LONG, again).await;
    answered.expect("a member");
}

#[tokio::test]
async fn another_node_under_a_known_address_gets_nothing() {
    let (one, two) = pair().await;
    let three = node(3).await;
    three.meet(&[&one]);
    // node 3 listens where node 2 is said to be
    let moved = Known {
        address: three.address.to_string().into(),
        key: two.key.key_hash(),
    };
    one.book.set(known([(two.id, moved)]));
    let refused = one.says(&two, "poll").await.expect_err("another key");
    let text = refused.to_string();
    assert!(text.contains("another node answers there"), "{text}");
    assert_eq!(refused.kind(), io::ErrorKind::NotConnected);
    assert_eq!(*three.answers.began.borrow(), 0);
    assert_eq!(*two.answers.began.borrow(), 0);
}

#[tokio::test]
async fn who_is_no_member_any_more_is_refused_on_open_connections() {
    let (one, two) = pair().await;
    one.says(&two, "poll").await.expect("a member");
    two.trust.set_members(&[].into());
    one.says(&two, "poll").await.expect_err("no member");
    assert_eq!(*two.answers.began.borrow(), 1);
}

#[tokio::test]
async fn a_node_that_moved_is_found_with_the_next_call() {
    let (one, two) = pair().await;
    one.says(&two, "poll").await.expect("answered");
    let again = node(3).await;
    again.meet(&[&one]);
    one.book.set(known([(two.id, again.known(again.address))]));
    one.says(&two, "poll").await.expect("answered");
    assert_eq!(*again.answers.began.borrow(), 1);
    one.book.set(known([]));
    assert_eq!(
        kind(one.says(&two, "poll").await),
        io::ErrorKind::NotConnected
    );
}

#[tokio::test]
async fn many_calls_are_under_way_and_no_more_than_the_bound() {
    let (one, two) = pair().await;
    let all = join_all((0..MANY).map(|_| one.says(&two, "wait")));
    let served = async {
        until(&two.answers.began, |began| *began == serve::IN_FLIGHT_MAX).await;
        // the other lanes are free, and answers come in any order
        one.peers
            .raft(two.id, vote(), LONG)
            .await
            .expect("answered");
        assert_eq!(*two.answers.began.borrow(), serve::IN_FLIGHT_MAX);
        two.answers.gate.add_permits(MANY);
    };
    let (answers, ()) = tokio::join!(all, served);
    for answer in answers {
        assert_eq!(answer.expect("answered"), &b"wait"[..]);
    }
    assert_eq!(*two.answers.began.borrow(), MANY);
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_given_up_on_both_sides() {
    let (one, two) = pair().await;
    let short = Duration::from_millis(20);
    let calls = join_all((0..MANY).map(|_| one.peers.exchange(two.id, exchange("wait"), short)));
    for late in calls.await {
        assert_eq!(kind(late), io::ErrorKind::TimedOut);
    }
    // their slots are free again though no gate was opened
    assert_eq!(
        one.says(&two, "poll").await.expect("answered"),
        &b"poll"[..]
    );
}

#[tokio::test]
async fn calls_under_way_fail_when_their_node_goes() {
    let (one, two) = pair().await;
    let calls = join_all((0..10).map(|_| one.says(&two, "wait")));
    let going = async {
        until(&two.answers.began, |began| *began == 10).await;
        two.listening.stop();
    };
    let (answers, ()) = tokio::join!(calls, going);
    for answer in answers {
        assert_ne!(kind(answer), io::ErrorKind::TimedOut);
    }
    // and what is asked of it then does not wait either
    for _ in 0..50 {
        assert_ne!(kind(one.says(&two, "poll").await), io::ErrorKind::TimedOut);
    }
}

#[tokio::test]
async fn a_node_that_is_away_is_not_tried_with_each_call() {
    let (one, two) = pair().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let (tasks, tries) = (Tasks::new(), Arc::new(AtomicUsize::new(0)));
    let counted = tries.clone();
    doors::accept(
        listener,
        &tasks,
        |error| panic!("{error}"),
        move |stream, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            drop(stream);
        },
    );
    one.book.set(known([(two.id, two.known(address))]));
    let since = SystemClock.micros();
    while tries.load(Ordering::Relaxed) < 6 {
        assert_ne!(kind(one.says(&two, "poll").await), io::ErrorKind::TimedOut);
    }
    // five pauses of at least half of 50 ms, doubled each time
    let least = Duration::from_millis(25 + 50 + 100 + 200 + 400);
    assert!(SystemClock.elapsed(since) >= least);
    tasks.stop();
}

#[tokio::test]
async fn a_connection_without_progress_is_made_anew() {
    let (one, two) = pair().await;
    let wire = Wire::to(&two).await;
    one.book.set(known([(two.id, two.known(wire.address))]));
    one.says(&two, "poll").await.expect("answered");
    wire.flow.send_replace(Flow::Bytes(0));
    let short = Duration::from_millis(50);
    let stuck = async {
        while wire.carried.borrow().len() < 2 {
            let failed = one.peers.exchange(two.id, exchange("poll"), short).await;
            failed.expect_err("nothing comes through");
        }
    };
    let anew = tokio::time::timeout(LONG, stuck).await;
    anew.expect("another connection");
    wire.flow.send_replace(Flow::Open);
    // tries that were under way meanwhile may fail once more
    let again = async { while one.says(&two, "poll").await.is_err() {} };
    let answered = tokio::time::timeout(LONG, again).await;
    answered.expect("over a new connection");
}

#[tokio::test]
async fn a_large_body_holds_nothing_else_up() {
    let (one, two) = pair().await;
    let wire = Wire::to(&two).await;
    one.book.set(known([(two.id, two.known(wire.address))]));
    wire.flow.send_replace(Flow::Bytes(LARGE_BYTES / 4));
    let hash = BodyHash([1; 32]);
    let large = one.peers.body(two.id, hash, LONG);
    let small = async {
        // the body is stuck half way
        until(&wire.carried, |carried| {
            carried.iter().any(|bytes| *bytes >= LARGE_BYTES / 4)
        })
        .await;
        for _ in 0..SOME {
            one.says(&two, "poll").await.expect("answered");
            one.peers
                .raft(two.id, vote(), LONG)
                .await
                .expect("answered");
        }
        wire.flow.send_replace(Flow::Open);
    };
    tokio::pin!(large);
    tokio::select! {
        biased;
        body = &mut large => panic!("came through a held wire: {body:?}"),
        () = small => {}
    }
    let body = large.await.expect("answered").expect("there");
    assert_eq!(body.len(), LARGE_BYTES);
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_the_connection_stays() {
    let (one, two) = pair().await;
    let (peers, id) = (&one.peers, two.id);
    let answer = peers
        .body(id, TOO_LARGE, LONG)
        .await
        .expect_err("too large");
    assert!(answer.to_string().contains("too large"), "{answer}");
    let uids = vec![InstanceUid::nil(); calls::UIDS_MAX + 1];
    let asked = peers.last_seen(id, uids, LONG).await.expect_err("too many");
    assert!(asked.to_string().contains("too large"), "{asked}");
    let mut headers = exchange("poll");
    headers.headers = vec![("a".into(), Bytes::new()); calls::HEADERS_MAX + 1];
    let asked = peers
        .exchange(id, headers, LONG)
        .await
        .expect_err("too many");
    assert!(asked.to_string().contains("too large"), "{asked}");
    let mut long = exchange("poll");
    long.body = Bytes::from(vec![0; LARGE_BYTES + 64 * 1024]);
    peers.exchange(id, long, LONG).await.expect_err("too large");
    let uids = vec![InstanceUid::nil(); calls::UIDS_MAX];
    peers.last_seen(id, uids, LONG).await.expect("a page");
    one.says(&two, "poll").await.expect("answered");
}

#[tokio::test]
async fn a_listener_holds_no_more_bodies_than_its_budget() {
    let (one, two) = pair().await;
    let wire = Wire::to(&two).await;
    one.book.set(known([(two.id, two.known(wire.address))]));
    wire.flow.send_replace(Flow::Bytes(LARGE_BYTES / 4));
    let bodies = (0..24).map(|_| one.peers.body(two.id, BodyHash([1; 32]), LONG));
    let served = async {
        until(&two.answers.bodies, |bodies| *bodies >= 7).await;
        for _ in 0..SOME {
            one.says(&two, "poll").await.expect("answered");
        }
        // seven fit into 64 MiB
        assert_eq!(*two.answers.bodies.borrow(), 7);
        wire.flow.send_replace(Flow::Open);
    };
    let (bodies, ()) = tokio::join!(join_all(bodies), served);
    for body in bodies {
        assert_eq!(body.expect("answered").expect("there").len(), LARGE_BYTES);
    }
}
