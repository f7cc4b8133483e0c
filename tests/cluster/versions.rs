//! Nodes of versions that do not fit: this test is the newcomer for a real member, and a member for a real newcomer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ampora::config::Secret;
use ampora::node::cluster::token::JoinToken;
use ampora::peer::{
    Caller, Exchange, Exchanged, Hello, Join, KeyHash, NodeKey, PeerCalls, PeerListener, Redeemed,
    Seen, Trust,
};
use ampora::tasks::Tasks;
use ampora_raft::consensus::{RaftRequest, RaftResponse};
use ampora_raft::ids::{BodyHash, InstanceUid, NodeId};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde_json::json;

use crate::cluster::{Cluster, SOON, roles};
use crate::support::eventually;

fn key() -> NodeKey {
    let dir = tempfile::tempdir().expect("a directory");
    NodeKey::load_or_make(dir.path()).expect("a key")
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.expect("a runtime")
}

#[test]
fn a_newcomer_that_knows_less_than_the_cluster_uses_is_refused() {
    let all = Cluster::of_one();
    let token = JoinToken::decode(&all.token(1, &json!({}))).expect("a token");
    let (bearer, own) = (token.key().expect("a key"), key());
    let (address, keys) = (&token.addresses[0], &token.keys);
    let old = |level| Join {
        public_key: Bytes::new(),
        signature: Bytes::new(),
        peer_address: "127.0.0.9:1".into(),
        name: "old".into(),
        version: "0.0.1".into(),
        level,
        wanted: None,
    };
    let ask =
        async |level| ampora::peer::join(address, keys, &bearer, &own, old(level), SOON).await;
    let heard = runtime().block_on(ask(1)).expect("answered");
    let Redeemed::Refused { code, text } = heard else {
        panic!("let in: {heard:?}");
    };
    assert_eq!(&*code, "incompatible_version");
    assert!(text.contains("use a newer version"), "{text}");
    eventually("both sides say why", SOON, || {
        let log = all.node(1).log();
        (log.contains("incompatible_version") && log.contains("0.0.1")).then_some(())
    });
    assert_eq!(
        roles(&all.get(1, "/cluster")).len(),
        1,
        "nothing has changed"
    );
}

/// A member of another version, with the same token for everybody.
struct Member {
    cluster: u128,
    joined: Redeemed,
}

impl PeerCalls for Member {
    fn raft(&self, _from: NodeId, _request: RaftRequest) -> BoxFuture<'_, RaftResponse> {
        unreachable!("nobody is let in")
    }

    fn hello(&self, _from: Caller, _hello: Hello) -> BoxFuture<'_, Hello> {
        let hello = Hello {
            version: "99.0.0".into(),
            level: 99,
            cluster_id: Some(self.cluster),
            node: Some(NodeId(1)),
        };
        ready(hello).boxed()
    }

    fn join(&self, _token: KeyHash, _key: KeyHash, _join: Join) -> BoxFuture<'_, Redeemed> {
        ready(self.joined.clone()).boxed()
    }

    fn exchange(&self, _from: NodeId, _exchange: Exchange) -> BoxFuture<'_, Exchanged> {
        unreachable!("nobody is let in")
    }

    fn last_seen(
        &self,
        _from: NodeId,
        _uids: Vec<InstanceUid>,
    ) -> BoxFuture<'_, Vec<Option<Seen>>> {
        unreachable!("nobody is let in")
    }

    fn body(&self, _from: NodeId, _hash: BodyHash) -> BoxFuture<'_, Option<Bytes>> {
        unreachable!("nobody is let in")
    }
}

#[test]
fn a_newcomer_that_is_told_so_ends_with_the_reason() {
    let mut all = Cluster::of_one();
    let (runtime, tasks, own, trust) = (runtime(), Tasks::new(), key(), Trust::new());
    let mut token = JoinToken {
        cluster: 7,
        addresses: Vec::new(),
        keys: vec![own.key_hash()],
        secret: Secret::new([5; 32]),
    };
    trust.set_bearers(&[token.key().expect("a key").key_hash()].into());
    let member = Member {
        cluster: 7,
        joined: Redeemed::Refused {
            code: "incompatible_version".into(),
            text: "the cluster uses feature level 99".into(),
        },
    };
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let opened = runtime.block_on(PeerListener::open(
        any,
        &own,
        trust,
        Arc::new(member),
        &tasks,
    ));
    token.addresses = vec![opened.expect("a port").to_string().into()];
    let flag = format!("cluster.join={}", token.encode());
    let (status, said) = all.refused(11, &["--set", &flag]);
    tasks.stop();
    runtime.shutdown_timeout(Duration::from_secs(1));
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("the cluster uses feature level 99"), "{said}");
    assert!(!all.home_of(11).join("data/identity.json").exists());
}
