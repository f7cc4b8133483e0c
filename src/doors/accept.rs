//! The accept loop of every listener: it ends with its tasks, and rests when the system has no descriptor left.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::tasks::Tasks;

/// How long to wait after `accept` failed, as it does while there is no free descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Hands each connection to `meet`, and each failure to `failed`, until `tasks` is stopped.
pub fn accept(
    listener: TcpListener,
    tasks: &Tasks,
    failed: impl Fn(&io::Error) + Send + 'static,
    meet: impl Fn(TcpStream, SocketAddr) + Send + 'static,
) {
    let stopping = tasks.stopping();
    let accepting = async move {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // messages are small and answers are waited for
                    drop(stream.set_nodelay(true));
                    meet(stream, peer);
                }
                Err(error) => {
                    failed(&error);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tasks.spawn(async move {
        tokio::select! {
            () = accepting => {}
            () = stopping.cancelled() => {}
        }
    });
}
