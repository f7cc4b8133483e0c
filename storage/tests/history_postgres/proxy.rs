//! A way to a server that is cut when the answer to `COMMIT` comes back: committed, and nobody knows.

use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

/// Runs until a commit has been cut. Connections are served one after another.
pub(crate) async fn cut_at_commit(listener: UnixListener, server: PathBuf) {
    loop {
        let (client, _) = listener.accept().await.expect("a client");
        if serve(client, &server).await {
            return;
        }
    }
}

async fn serve(client: UnixStream, server: &Path) -> bool {
    let server = UnixStream::connect(server).await.expect("the server");
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut asked, mut answered) = (vec![0; 65536], vec![0; 65536]);
    let mut is_commit = false;
    loop {
        tokio::select! {
            count = from_client.read(&mut asked) => {
                let count = count.unwrap_or(0);
                if count == 0 {
                    return false;
                }
                is_commit |= asked[..count].windows(7).any(|part| part == b"COMMIT\0");
                to_server.write_all(&asked[..count]).await.expect("written");
            }
            count = from_server.read(&mut answered) => {
                let count = count.unwrap_or(0);
                if is_commit || count == 0 {
                    return is_commit;
                }
                to_client.write_all(&answered[..count]).await.expect("written");
            }
        }
    }
}
