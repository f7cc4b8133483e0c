//! A node that answers wrongly, or is not who it shows to be: calls to it fail, and that is all.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ampora_storage::codec::{Kind, encode_message};
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::testing::{LONG, known, node, pair};
use super::super::*;
use super::kind;
use crate::doors;
use crate::peer::frames::{self, FRAME_BYTES_MAX, What};
use crate::peer::trust::server_settings;
use crate::tasks::Tasks;

/// What is done instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misdeed {
    None,
    /// Another call is answered.
    Unasked,
    /// More is announced than may be said.
    Oversize,
    /// No frame at all.
    Nonsense,
    /// Something is asked back.
    Call,
    /// Half of the answer, and the end.
    Cut,
    /// A whole frame that cannot be decoded.
    Garbage,
    /// A whole answer to another question.
    Other,
}

/// What does it.
struct Impostor {
    address: SocketAddr,
    misdeed: Arc<Mutex<Misdeed>>,
    met: Arc<AtomicUsize>,
    tasks: Tasks,
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

impl Impostor {
    async fn with(settings: ServerConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (misdeed, met) = (
            Arc::new(Mutex::new(Misdeed::None)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (tasks, acceptor) = (Tasks::new(), TlsAcceptor::from(Arc::new(settings)));
        let (doing, meeting, answering) = (misdeed.clone(), met.clone(), tasks.clone());
        doors::accept(
            listener,
            &tasks,
            |error| panic!("{error}"),
            move |tcp, _| {
                meeting.fetch_add(1, Ordering::Relaxed);
                let (acceptor, doing) = (acceptor.clone(), doing.clone());
                let stopping = answering.stopping();
                let answered = async move {
                    let mut stream = acceptor.accept(tcp).await?;
                    loop {
                        let head = frames::read_head(&mut stream, FRAME_BYTES_MAX).await;
                        let Ok(Some(head)) = head else {
                            return Ok::<_, io::Error>(());
                        };
                        frames::read_body(&mut stream, head.bytes, || {}).await?;
                        let misdeed = *doing.lock();
                        stream.write_all(&misdeed.bytes(head.number).await).await?;
                        stream.flush().await?;
                        if misdeed == Misdeed::Cut {
                            return Ok(());
                        }
                    }
                };
                answering.spawn(async move {
                    tokio::select! {
                        ended = answered => drop(ended),
                        () = stopping.cancelled() => {}
                    }
                });
            },
        );
        Self {
            address,
            misdeed,
            met,
            tasks,
        }
    }
}

impl Misdeed {
    /// What is sent to answer an exchange.
    async fn bytes(self, number: u64) -> Vec<u8> {
        let exchanged = PeerAnswer::Exchanged(Exchanged {
            status: 200,
            headers: vec![],
            body: "poll".into(),
        });
        let answer = encode_message(Kind::PeerAnswer, &exchanged).expect("small");
        let other = encode_message(Kind::PeerAnswer, &PeerAnswer::Body(None)).expect("small");
        let (number, what, body) = match self {
            Self::Unasked => (number + 1, What::Answer, answer),
            Self::Call => (number, What::Call, answer),
            Self::Garbage => (number, What::Answer, b"garbage".to_vec()),
            Self::Other => (number, What::Answer, other),
            Self::None | Self::Cut | Self::Oversize | Self::Nonsense => {
                (number, What::Answer, answer)
            }
        };
        let mut frame = Vec::new();
        let written = frames::write(&mut frame, number, Duration::ZERO, what, &body).await;
        written.expect("small");
        match self {
            Self::Oversize => frame[0] = 0xff,
            Self::Nonsense => frame[16] = 0xff,
            Self::Cut => frame.truncate(frame.len() - 1),
            Self::None | Self::Unasked | Self::Call | Self::Garbage | Self::Other => {}
        }
        frame
    }
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_costs_a_call() {
    let (one, two) = pair().await;
    let settings = server_settings(&two.key, two.trust.clone()).expect("settings");
    let impostor = Impostor::with(settings).await;
    one.book.set(known([(two.id, two.known(impostor.address))]));
    for (misdeed, costs_connection) in [
        (Misdeed::Unasked, true),
        (Misdeed::Oversize, true),
        (Misdeed::Nonsense, true),
        (Misdeed::Call, true),
        (Misdeed::Cut, true),
        (Misdeed::Garbage, false),
        (Misdeed::Other, false),
    ] {
        *impostor.misdeed.lock() = Misdeed::None;
        one.says(&two, "poll").await.expect("answered");
        let before = impostor.met.load(Ordering::Relaxed);
        *impostor.misdeed.lock() = misdeed;
        let failed = kind(one.says(&two, "poll").await);
        assert!(
            !matches!(
                failed,
                io::ErrorKind::TimedOut | io::ErrorKind::NotConnected
            ),
            "{misdeed:?}: {failed}"
        );
        *impostor.misdeed.lock() = Misdeed::None;
        one.says(&two, "poll").await.expect("answered again");
        let more = impostor.met.load(Ordering::Relaxed) - before;
        assert_eq!(more, usize::from(costs_connection), "{misdeed:?}");
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_is_worth_nothing() {
    let (one, two) = pair().await;
    let thief = node(3).await;
    let shown = CertifiedKey::new(
        two.key.certified().cert.clone(),
        thief.key.certified().key.clone(),
    );
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut settings = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("a version")
        .with_client_cert_verifier(WebPkiClientVerifier::no_client_auth())
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    settings.alpn_protocols = vec![b"ampora-peer/1".to_vec()];
    let impostor = Impostor::with(settings).await;
    one.book.set(known([(two.id, two.known(impostor.address))]));
    let refused = one.says(&two, "poll").await;
    assert_eq!(kind(refused), io::ErrorKind::NotConnected);
    let address = impostor.address.to_string();
    let keys = [two.key.key_hash()];
    let bearer = NodeKey::of_bearer(&[3; 32]).expect("a key");
    let joining = join(
        &address,
        &keys,
        &bearer,
        &one.key,
        super::try_to_join(),
        LONG,
    )
    .await;
    assert_eq!(kind(joining), io::ErrorKind::InvalidData);
}
