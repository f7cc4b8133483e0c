//! What comes from other nodes: requests are answered by consensus, answers reach whoever waits for them.

use ampora::tasks::Tasks;
use ampora_raft::consensus::{Consensus, RaftRequest};
use ampora_storage::codec;
use tokio::sync::mpsc;

use crate::network::{ENVELOPE, Load, Network, Parcel};

/// Runs until the process ends.
pub(super) async fn drive(
    mut inbox: mpsc::Receiver<Parcel>,
    consensus: Consensus,
    network: Network,
    tasks: Tasks,
) {
    while let Some(parcel) = inbox.recv().await {
        match parcel.load {
            Load::Answer(bytes) => network.answered(parcel.call, bytes),
            Load::Ask(bytes) => {
                let Ok(request) = codec::decode::<RaftRequest>(ENVELOPE, &bytes) else {
                    continue;
                };
                let (consensus, network) = (consensus.clone(), network.clone());
                tasks.spawn(async move {
                    let answer = consensus.handle(parcel.from, request).await;
                    if let Ok(bytes) = codec::encode(ENVELOPE, &answer) {
                        network.send(Parcel {
                            from: parcel.to,
                            to: parcel.from,
                            call: parcel.call,
                            load: Load::Answer(bytes.into()),
                        });
                    }
                });
            }
        }
    }
}
