//! The floor to measure against: a WebSocket server of tokio-tungstenite and prost that decodes each message and
//! answers it with the smallest reply, and keeps nothing.

use std::io::Write;

use ampora_proto::wire;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use prost::Message as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// As small as the measured server's, so that memory is compared fairly as well.
const READ_BUFFER_BYTES: usize = 4096;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    // whoever started it reads where it listens
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    std::io::stdout().flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        #[expect(
            clippy::disallowed_methods,
            reason = "this program has nothing to wait for when it ends"
        )]
        tokio::spawn(echo(stream));
    }
}

async fn echo(stream: TcpStream) {
    drop(stream.set_nodelay(true));
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0);
    let Ok(mut socket) = tokio_tungstenite::accept_async_with_config(stream, Some(config)).await
    else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        let Message::Binary(payload) = message else {
            continue;
        };
        let Ok(message) = wire::AgentToServer::decode(payload.slice(1..)) else {
            return;
        };
        let reply = wire::ServerToAgent {
            instance_uid: message.instance_uid,
            capabilities: 7,
            ..wire::ServerToAgent::default()
        };
        let mut out = Vec::with_capacity(1 + reply.encoded_len());
        out.push(0);
        reply.encode_raw(&mut out);
        if socket
            .send(Message::Binary(Bytes::from(out)))
            .await
            .is_err()
        {
            return;
        }
    }
}
