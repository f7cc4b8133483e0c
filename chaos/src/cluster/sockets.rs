//! One socket of an agent, from the node's side: what `opamp` does with bytes, without the frames of sockets.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ampora::agents::connection::Door;
use ampora::agents::room::Room;
use ampora::opamp::{AgentConnection, Agents, Closed, Peer, Push, Transport};

use crate::invariants::Oracle;
use crate::seat::Knock;

/// Serves one socket until either side ends it.
pub(super) async fn serve(room: Arc<Room>, oracle: Oracle, number: u64, mut knock: Knock) {
    let mut socket = Door::new(room.clone()).connect(Peer {
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        transport: Transport::WebSocket,
        connection: number,
        token: None,
    });
    let stopping = room.tasks.stopping();
    let how = loop {
        let heard = tokio::select! {
            biased;
            () = stopping.cancelled() => break Closed::Draining,
            heard = knock.from_agent.recv() => heard,
            () = std::future::poll_fn(|cx| socket.poll_push(cx)) => {
                match socket.next_push().await {
                    Some(Push::Message(bytes)) => {
                        oracle.written(&room, knock.uid, &bytes);
                        if knock.to_agent.send(bytes).await.is_err() {
                            break Closed::Lost;
                        }
                        socket.written();
                    }
                    // it lives: whoever is gone has dropped the channel
                    Some(Push::Ping) => socket.pong(),
                    Some(Push::Close { .. }) => break Closed::ByUs,
                    None => {}
                }
                continue;
            }
        };
        let Some(payload) = heard else {
            break Closed::Lost;
        };
        let answer = socket.message(payload).await;
        oracle.written(&room, knock.uid, &answer.bytes);
        if knock.to_agent.send(answer.bytes).await.is_err() {
            break Closed::Lost;
        }
        socket.written();
    };
    socket.closed(how).await;
}
