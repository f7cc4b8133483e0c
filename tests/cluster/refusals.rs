//! Who is not let in, why, and that nothing has changed then.

use std::time::{Duration, Instant};

use ampora::config::Secret;
use ampora::node::cluster::token::JoinToken;
use serde_json::json;

use crate::cluster::{Cluster, SOON, roles};
use crate::support::eventually;

/// Tries to join with a token, in a directory of its own, and answers what was said there.
fn join(all: &mut Cluster, slot: u64, token: &str, more: &[&str]) -> String {
    let join = format!("cluster.join={token}");
    let flags = [&["--set", &join], more].concat();
    let (status, said) = all.refused(slot, &flags);
    assert_eq!(status.code(), Some(1), "{said}");
    said
}

/// Waits until the first node has said something: its log is written by a thread of its own.
fn logged(all: &Cluster, words: &str) {
    eventually(words, SOON, || {
        all.node(1).log().contains(words).then_some(())
    });
}

/// The token with something else in it, and a checksum that fits.
fn forged(text: &str, change: impl FnOnce(&mut JoinToken)) -> String {
    let mut token = JoinToken::decode(text).expect("a token");
    change(&mut token);
    token.encode()
}

#[test]
fn nobody_joins_who_should_not_and_both_sides_say_why() {
    let mut all = Cluster::of_one();
    let good = all.token(1, &json!({"uses": 1}));
    let brief = all.token(1, &json!({"uses": 1, "ttl_seconds": 1}));
    let issued = Instant::now();
    let mut says = |token: &str, slot, more: &[&str], reason: &str| {
        let said = join(&mut all, slot, token, more);
        assert!(said.contains(reason), "{reason}: {said}");
        let place = all.home_of(slot).join("data/identity.json");
        assert!(!place.exists(), "nothing has changed there");
    };
    says(
        &good[..good.len() - 3],
        11,
        &[],
        "the join token is damaged",
    );
    says("ampj_AAAA", 12, &[], "the join token is damaged");
    let guessed = forged(&good, |token| token.secret = Secret::new([1; 32]));
    // it does not come through the handshake
    says(
        &guessed,
        13,
        &[],
        "the cluster does not know this join token",
    );
    let foreign = forged(&good, |token| token.cluster ^= 1);
    says(&foreign, 14, &[], "make a new token");
    let unknown = forged(&good, |token| token.keys = vec![[1; 32]]);
    says(&unknown, 15, &[], "no member of the cluster could be asked");
    says(&good, 16, &["--set", "node.id=1"], "node id 1 is taken");
    eventually("the token's second is over", SOON, || {
        (issued.elapsed() > Duration::from_millis(1_500)).then_some(())
    });
    says(&brief, 17, &[], "the join token has expired");
    // by a file, and by an address that nobody answers at
    let file = all.node(1).data_dir().join("token");
    std::fs::write(&file, "ampj_AAAA\n").expect("written");
    let file = format!("cluster.join_token_file={}", file.display());
    let flags = ["--set", "cluster.join=127.0.0.1:1", "--set", &file];
    let (status, said) = all.refused(18, &flags);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("the join token is damaged"), "{said}");

    for reason in [
        "its key is neither a member's nor that of a join token",
        "foreign_cluster",
        "the other side does not go on",
        "join_token_expired",
        "node_id_taken",
    ] {
        logged(&all, reason);
    }
    assert_eq!(
        roles(&all.get(1, "/cluster")).len(),
        1,
        "nothing has changed"
    );
    // the token that was tried in so many ways still has its use, and only that one
    all.start(2, &["--set", &format!("cluster.join={good}")]);
    let said = join(&mut all, 19, &good, &[]);
    assert!(said.contains("the join token is used up"), "{said}");
    logged(&all, "join_token_spent");
    assert_eq!(roles(&all.get(1, "/cluster")).len(), 2);
}
