//! The accept loop of every listener: it ends with its tasks, and rests when the system has no descriptor left.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::tasks::Tasks;

/// How long to wait after `accept` failed, as it does while there is no free descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Hands each connection to `meet`, and each failure to `failed`, until `tasks` is stopped.
///
/// With `places` a connection is accepted when one is free and holds it; until then it waits in the queue of the kernel.
pub fn accept(
    listener: TcpListener,
    places: Option<Arc<Semaphore>>,
    tasks: &Tasks,
    failed: impl Fn(&io::Error) + Send + 'static,
    meet: impl Fn(TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) + Send + 'static,
) {
    let stopping = tasks.stopping();
    let accepting = async move {
        loop {
            let place = match &places {
                Some(places) => places.clone().acquire_owned().await.ok(),
                None => None,
            };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // messages are small and answers are waited for
                    drop(stream.set_nodelay(true));
                    meet(stream, peer, place);
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
