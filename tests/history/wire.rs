//! The way to a server over TCP, which can be cut.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Bytes on their way at a time.
const PIECE: usize = 16 * 1024;

/// A wire to a server; dropping it cuts it.
pub(crate) struct Wire {
    door: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    is_cut: bool,
    ends: Vec<TcpStream>,
}

impl Wire {
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
        let door = listener.local_addr().expect("an address");
        let state = Arc::<Mutex<State>>::default();
        let wire = Self {
            door,
            state: state.clone(),
        };
        // ends with the process of the tests
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // who is refused sees the end
                drop(carry(client, port, &mut state.lock().expect("a state")));
            }
        });
        wire
    }

    pub(crate) fn port(&self) -> u16 {
        self.door.port()
    }

    /// Ends all connections; new ones end at once.
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock().expect("a state");
        state.is_cut = true;
        for end in state.ends.drain(..) {
            drop(end.shutdown(Shutdown::Both));
        }
    }

    pub(crate) fn mend(&self) {
        self.state.lock().expect("a state").is_cut = false;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.cut();
    }
}

fn carry(client: TcpStream, port: u16, state: &mut State) -> io::Result<()> {
    if state.is_cut {
        return Ok(());
    }
    let server = TcpStream::connect(("127.0.0.1", port))?;
    state
        .ends
        .extend([client.try_clone()?, server.try_clone()?]);
    let back = (server.try_clone()?, client.try_clone()?);
    for (from, to) in [(client, server), back] {
        thread::spawn(move || pass(from, to));
    }
    Ok(())
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut piece = vec![0; PIECE];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Both));
    drop(from.shutdown(Shutdown::Both));
}
