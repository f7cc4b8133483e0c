//! What bad input gets at the peer listener: it is refused, counted by its reason, and the node goes on.
//!
//! One test after the other in one process, because counters are the process's.

mod client;
mod node;

use std::io;

use ampora::peer::{Hello, Join, PeerAnswer, PeerCall, Redeemed, Refusal, Removed};
use ampora_raft::ids::{BodyHash, InstanceUid, NodeId};
use ampora_storage::codec::{Kind, decode_message, encode_message};
use bytes::Bytes;
use rustls::AlertDescription::{
    AccessDenied, CertificateRequired, DecryptError, NoApplicationProtocol,
};
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use client::{Client, Key, as_node, frame, head, settings, stolen};
use node::Node;

/// What a frame may carry of a member and of a stranger.
const FRAME_BYTES_MAX: u32 = 8 * 1024 * 1024 + 64 * 1024;
const STRANGER_BYTES_MAX: u32 = 64 * 1024;

/// How many connections without a member's key are served, and how many of one address shake hands.
const STRANGERS_MAX: usize = 8;
const UNKNOWN_OF_ADDRESS_MAX: usize = 16;

fn hello() -> Vec<u8> {
    hello_of("1")
}

fn hello_of(version: &str) -> Vec<u8> {
    encoded(&PeerCall::Hello(Hello {
        version: version.into(),
        level: 2,
        cluster_id: None,
        node: None,
    }))
}

fn try_to_join(public_key: Bytes, signature: Bytes) -> Vec<u8> {
    encoded(&PeerCall::Join(Join {
        public_key,
        signature,
        peer_address: "127.0.0.1:1".into(),
        name: "newcomer".into(),
        version: "1".into(),
        level: 2,
        wanted: None,
    }))
}

fn encoded(call: &PeerCall) -> Vec<u8> {
    encode_message(Kind::PeerCall, call).expect("small")
}

async fn answered(client: &mut Client, number: u64) -> PeerAnswer {
    let (answered, body) = client.answer().await.expect("an answer");
    assert_eq!(answered, number);
    decode_message(Kind::PeerAnswer, &body).expect("an answer")
}

/// Whether a member is served on a connection of its own.
async fn serves(node: &Node, member: &Key) {
    let mut client = Client::open(node.address, as_node(member)).await;
    let client = client.as_mut().expect("a member");
    client.send(&frame(1, 1, &hello())).await;
    assert!(matches!(answered(client, 1).await, PeerAnswer::Hello(_)));
}

fn alert(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

#[tokio::test]
async fn bad_input_is_refused_and_counted_and_the_node_goes_on() {
    let (node, member) = (Node::start().await, Key::new());
    node.trust.set_members(&[(member.hash(), NodeId(2))].into());
    assert_eq!(
        node.refused().len(),
        8,
        "every reason is shown from the first scrape"
    );
    serves(&node, &member).await;
    handshakes(&node, &member).await;
    keys(&node, &member).await;
    frames(&node, &member).await;
    bearers(&node).await;
    newcomers(&node, &member).await;
    removed(&node).await;
    crowds(&node, &member).await;
    serves(&node, &member).await;
}

async fn handshakes(node: &Node, member: &Key) {
    let before = node.refused();
    let mut plain = TcpStream::connect(node.address).await.expect("listens");
    plain
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("sent");
    Client::end_of(&mut plain).await;
    node.has_refused(&before, &[("handshake", 1)]).await;

    let before = node.refused();
    let old = Client::open(
        node.address,
        settings(Some(member), &TLS12, Some("ampora-peer/1")),
    );
    assert!(old.await.is_err(), "TLS 1.3 alone");
    let other = Client::open(node.address, settings(Some(member), &TLS13, Some("h2"))).await;
    let told = other.err().expect("refused");
    assert_eq!(
        alert(&told),
        Some(&rustls::Error::AlertReceived(NoApplicationProtocol))
    );
    node.has_refused(&before, &[("handshake", 2)]).await;

    let before = node.refused();
    let without = Client::open(node.address, settings(Some(member), &TLS13, None)).await;
    without.expect("shakes hands").end().await;
    node.has_refused(&before, &[("handshake", 1)]).await;
}

async fn keys(node: &Node, member: &Key) {
    // with TLS 1.3 a client is done before the server has looked at its certificate
    for (key, why) in [
        (None, CertificateRequired),
        (Some(Key::new()), AccessDenied),
    ] {
        let before = node.refused();
        let settings = settings(key.as_ref(), &TLS13, Some("ampora-peer/1"));
        let mut client = Client::open(node.address, settings)
            .await
            .expect("half way");
        client.send(&frame(1, 1, &hello())).await;
        let told = client.end().await;
        assert_eq!(alert(&told), Some(&rustls::Error::AlertReceived(why)));
        node.has_refused(&before, &[("key", 1)]).await;
    }
    serves(node, member).await;

    // a certificate is no secret: its key decides
    let before = node.refused();
    let settings = stolen(member, &Key::new());
    let mut client = Client::open(node.address, settings)
        .await
        .expect("half way");
    let told = client.end().await;
    assert_eq!(
        alert(&told),
        Some(&rustls::Error::AlertReceived(DecryptError))
    );
    node.has_refused(&before, &[("key", 1)]).await;

    // a session of TLS is not taken up again: it would show no key
    let settings = as_node(member);
    let mut client = Client::open(node.address, settings.clone())
        .await
        .expect("a member");
    client.send(&frame(1, 1, &hello())).await;
    answered(&mut client, 1).await;
    node.trust.set_members(&[].into());
    let before = node.refused();
    let mut again = Client::open(node.address, settings)
        .await
        .expect("half way");
    let told = again.end().await;
    assert_eq!(
        alert(&told),
        Some(&rustls::Error::AlertReceived(AccessDenied))
    );
    // and what is open is of no use any more
    client.send(&frame(2, 1, &hello())).await;
    client.end().await;
    node.has_refused(&before, &[("key", 2)]).await;
    node.trust.set_members(&[(member.hash(), NodeId(2))].into());
    serves(node, member).await;
}

async fn frames(node: &Node, member: &Key) {
    let ends: [(&str, Vec<u8>); 6] = [
        ("oversize", head(FRAME_BYTES_MAX + 1, 1, 1)),
        ("oversize", head(u32::MAX, 1, 1)),
        ("malformed", head(4, 1, 9)),
        ("unasked", frame(1, 2, b"what?")),
        ("replayed", frame(0, 1, &hello())),
        ("malformed", vec![0; 4096]),
    ];
    for (reason, bytes) in ends {
        let before = node.refused();
        let mut client = Client::open(node.address, as_node(member))
            .await
            .expect("a member");
        client.send(&bytes).await;
        client.end().await;
        node.has_refused(&before, &[(reason, 1)]).await;
    }

    let before = node.refused();
    let mut client = Client::open(node.address, as_node(member))
        .await
        .expect("a member");
    client.send(&frame(5, 1, &hello())).await;
    assert!(matches!(
        answered(&mut client, 5).await,
        PeerAnswer::Hello(_)
    ));
    client.send(&frame(5, 1, &hello())).await;
    client.end().await;
    node.has_refused(&before, &[("replayed", 1)]).await;

    // what is whole and makes no sense is answered, and the connection goes on
    let before = node.refused();
    let mut client = Client::open(node.address, as_node(member))
        .await
        .expect("a member");
    let mut damaged = hello();
    damaged[12] ^= 1;
    let crowd = PeerCall::LastSeen(vec![InstanceUid::nil(); 1001]);
    let bad: [(Vec<u8>, Refusal); 5] = [
        (b"garbage".to_vec(), Refusal::Unreadable),
        (damaged, Refusal::Unreadable),
        (Vec::new(), Refusal::Unreadable),
        (encoded(&crowd), Refusal::TooLarge),
        (hello_of(&"1".repeat(1025)), Refusal::TooLarge),
    ];
    for (number, (body, expected)) in (1..).zip(bad) {
        client.send(&frame(number, 1, &body)).await;
        let PeerAnswer::Refused(refusal) = answered(&mut client, number).await else {
            panic!("served");
        };
        assert_eq!(refusal, expected);
    }
    client.send(&frame(9, 1, &hello())).await;
    assert!(matches!(
        answered(&mut client, 9).await,
        PeerAnswer::Hello(_)
    ));
    node.has_refused(&before, &[("malformed", 3), ("oversize", 2)])
        .await;

    // whoever goes in the middle of a frame has said nothing
    let before = node.refused();
    let whole = frame(1, 1, &hello());
    for end in [1, 16, 17, whole.len() - 1] {
        let mut client = Client::open(node.address, as_node(member))
            .await
            .expect("a member");
        client.send(&whole[..end]).await;
    }
    serves(node, member).await;
    assert_eq!(node.refused(), before);
}

/// Who holds a token shakes hands with the key that its secret makes; the token's text and a key of one's own are none.
async fn bearers(node: &Node) {
    let bearer = Key::of_bearer([3; 32]);
    node.trust.set_bearers(&[bearer.hash()].into());
    let before = node.refused();
    for other in [Key::of_bearer([4; 32]), Key::new()] {
        let mut client = Client::open(node.address, as_node(&other))
            .await
            .expect("half way");
        client.send(&frame(1, 1, &hello())).await;
        let told = client.end().await;
        assert_eq!(
            alert(&told),
            Some(&rustls::Error::AlertReceived(AccessDenied))
        );
    }
    node.has_refused(&before, &[("key", 2)]).await;

    let before = node.refused();
    let mut client = Client::open(node.address, as_node(&bearer))
        .await
        .expect("may try");
    for (number, call) in [
        (1, PeerCall::LastSeen(vec![])),
        (2, PeerCall::Body(BodyHash([1; 32]))),
    ] {
        client.send(&frame(number, 1, &encoded(&call))).await;
        let refused = answered(&mut client, number).await;
        assert!(
            matches!(refused, PeerAnswer::Refused(Refusal::NotAMember)),
            "{refused:?}"
        );
    }
    node.has_refused(&before, &[("stranger", 2)]).await;
    // four calls in all
    for number in 3..=5 {
        client.send(&frame(number, 1, &hello())).await;
    }
    for number in 3..=4 {
        assert!(matches!(
            answered(&mut client, number).await,
            PeerAnswer::Hello(_)
        ));
    }
    client.end().await;

    let before = node.refused();
    let mut client = Client::open(node.address, as_node(&bearer))
        .await
        .expect("may try");
    client.send(&head(STRANGER_BYTES_MAX + 1, 1, 1)).await;
    client.end().await;
    node.has_refused(&before, &[("oversize", 1)]).await;
    node.trust.set_bearers(&[].into());
    let mut client = Client::open(node.address, as_node(&bearer))
        .await
        .expect("half way");
    let told = client.end().await;
    assert_eq!(
        alert(&told),
        Some(&rustls::Error::AlertReceived(AccessDenied))
    );
}

/// The newcomer's own key is what it proves to hold in the session in which it asks.
async fn newcomers(node: &Node, member: &Key) {
    let (bearer, own, other) = (Key::of_bearer([3; 32]), Key::new(), Key::new());
    node.trust.set_bearers(&[bearer.hash()].into());
    let mut client = Client::open(node.address, as_node(&bearer))
        .await
        .expect("may try");
    let channel = client.channel();
    let (public, signature) = own.prove(&channel);
    let before = node.refused();
    let bad = [
        // another one's key, another session, nothing at all
        (other.prove(&channel).0, signature.clone()),
        own.prove(&[0; 32]),
        (Bytes::new(), Bytes::new()),
    ];
    for (number, (public, signature)) in (1..).zip(bad) {
        client
            .send(&frame(number, 1, &try_to_join(public, signature)))
            .await;
        let refused = answered(&mut client, number).await;
        assert!(
            matches!(refused, PeerAnswer::Refused(Refusal::Unproven)),
            "{refused:?}"
        );
    }
    node.has_refused(&before, &[("key", 3)]).await;
    client
        .send(&frame(
            4,
            1,
            &try_to_join(public.clone(), signature.clone()),
        ))
        .await;
    let heard = answered(&mut client, 4).await;
    assert!(
        matches!(&heard, PeerAnswer::Redeemed(Redeemed::Refused { code, .. }) if **code == *"join_token_spent"),
        "{heard:?}"
    );
    // what was overheard inside one session is worth nothing in the next
    let mut again = Client::open(node.address, as_node(&bearer))
        .await
        .expect("may try");
    again
        .send(&frame(1, 1, &try_to_join(public, signature)))
        .await;
    let refused = answered(&mut again, 1).await;
    assert!(matches!(refused, PeerAnswer::Refused(Refusal::Unproven)));
    // a member bears no token
    let mut client = Client::open(node.address, as_node(member))
        .await
        .expect("a member");
    let (public, signature) = own.prove(&client.channel());
    client
        .send(&frame(1, 1, &try_to_join(public, signature)))
        .await;
    let refused = answered(&mut client, 1).await;
    assert!(matches!(refused, PeerAnswer::Refused(Refusal::NoToken)));
    node.trust.set_bearers(&[].into());
}

/// Who was removed is told so, whatever it asks, and counts as nobody who was refused.
async fn removed(node: &Node) {
    let gone = Key::new();
    let said = Removed {
        cluster_id: 7,
        node: NodeId(5),
    };
    node.trust.set_removed(&[(gone.hash(), said)].into());
    let before = node.refused();
    let mut client = Client::open(node.address, as_node(&gone))
        .await
        .expect("is told");
    let seen = encoded(&PeerCall::LastSeen(vec![]));
    for (number, call) in [(1, hello()), (2, seen)] {
        client.send(&frame(number, 1, &call)).await;
        let heard = answered(&mut client, number).await;
        assert!(
            matches!(heard, PeerAnswer::Removed(heard) if heard == said),
            "{heard:?}"
        );
    }
    assert_eq!(node.refused(), before);
    node.trust.set_removed(&[].into());
}

/// Those without a member's key are few, and take nothing from members.
async fn crowds(node: &Node, member: &Key) {
    let (key, mut held) = (Key::of_bearer([3; 32]), Vec::new());
    node.trust.set_bearers(&[key.hash()].into());
    while held.len() < STRANGERS_MAX {
        let mut client = Client::open(node.address, as_node(&key))
            .await
            .expect("may try");
        client.send(&frame(1, 1, &hello())).await;
        // places of those before may be free a moment later
        if client.answer().await.is_ok() {
            held.push(client);
        }
    }
    let before = node.refused();
    let mut client = Client::open(node.address, as_node(&key))
        .await
        .expect("half way");
    client.send(&frame(1, 1, &hello())).await;
    client.end().await;
    node.has_refused(&before, &[("crowded", 1)]).await;
    serves(node, member).await;
    drop(held);
    node.trust.set_bearers(&[].into());

    // whoever says nothing is in nobody's way but that of its address, and of that not for long
    let before = node.refused()["crowded"];
    let mut silent = Vec::new();
    for _ in 0..2 * UNKNOWN_OF_ADDRESS_MAX {
        silent.push(TcpStream::connect(node.address).await.expect("listens"));
    }
    node.waits(|refused| refused["crowded"] >= before + UNKNOWN_OF_ADDRESS_MAX as u64)
        .await;
    drop(silent);
    let again = async {
        loop {
            let mut client = Client::open(node.address, as_node(member)).await;
            let Ok(client) = client.as_mut() else {
                continue;
            };
            client.send(&frame(1, 1, &hello())).await;
            if client.answer().await.is_ok() {
                return;
            }
        }
    };
    let served = tokio::time::timeout(client::SOON, again).await;
    served.expect("a member is let in again");

    // whoever never says anything is ended by itself
    let before = node.refused();
    let mut silent = TcpStream::connect(node.address).await.expect("listens");
    Client::end_of(&mut silent).await;
    node.has_refused(&before, &[("handshake", 1)]).await;
}
