//! A raw WebSocket client: any frame, fragment, mask, close code or extension, and what comes back frame by
//! frame. It answers nothing by itself, except pings where it is told to read messages.

use std::net::SocketAddr;

use ampora_proto::wire::ServerToAgent;
use prost::Message;

use crate::http::Http;
use crate::watch;

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// One frame of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) last: bool,
    /// RSV1 to RSV3, as they stand in the first byte.
    pub(crate) reserved: u8,
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// What ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A Close frame with this code; 1005 when it had none.
    Close(u16),
    /// TCP ended without one.
    Cut,
}

/// An open WebSocket.
pub(crate) struct Ws {
    pub(crate) http: Http,
    /// Headers of the 101.
    pub(crate) accepted: Vec<(String, String)>,
}

/// The headers of an opening handshake.
pub(crate) const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "AAECAwQFBgcICQoLDA0ODw=="),
];

impl Ws {
    /// Opens; the status when the server does not switch protocols.
    pub(crate) fn try_open(
        address: SocketAddr,
        path: &str,
        more: &[(&str, &str)],
    ) -> Result<Ws, u16> {
        let mut http = Http::connect(address);
        http.request("GET", path, &[&UPGRADE, more].concat(), b"");
        let (status, accepted) = http.try_head().expect("an answer to the upgrade");
        if status == 101 {
            Ok(Ws { http, accepted })
        } else {
            Err(status)
        }
    }

    /// Opens.
    pub(crate) fn open(address: SocketAddr, path: &str) -> Ws {
        match Ws::try_open(address, path, &[]) {
            Ok(ws) => ws,
            Err(status) => panic!("the upgrade was answered {status}"),
        }
    }

    /// Sends one whole masked frame.
    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.http.send(&frame(0x80 | opcode, payload, true));
    }

    /// Sends one frame, its first byte as given; false when the server has gone.
    pub(crate) fn try_send(&mut self, first: u8, payload: &[u8]) -> bool {
        self.http.try_send(&frame(first, payload, true))
    }

    /// Sends a message in one binary frame: the header byte, then the body.
    pub(crate) fn say(&mut self, body: &[u8]) {
        self.send(BINARY, &framed(body));
    }

    /// The next frame; `None` when TCP has ended.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        while self.http.rest.len() < 2 {
            if !self.http.fill() {
                return None;
            }
        }
        let (first, second) = (self.http.rest[0], self.http.rest[1]);
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let extended = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        while self.http.rest.len() < 2 + extended {
            if !self.http.fill() {
                return None;
            }
        }
        let number = &self.http.rest[2..2 + extended];
        let long = number
            .iter()
            .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        let length = if extended == 0 {
            usize::from(second)
        } else {
            long
        };
        self.http.rest.drain(..2 + extended);
        let payload = self.http.exactly(length);
        watch::frame(first, &payload);
        Some(Frame {
            last: first & 0x80 != 0,
            reserved: first & 0x70,
            opcode: first & 0x0F,
            payload,
        })
    }

    /// The next message, pings answered on the way.
    pub(crate) fn message(&mut self) -> ServerToAgent {
        match self.message_or_end() {
            Ok(message) => message,
            Err(end) => panic!("instead of a message: {end:?}"),
        }
    }

    /// The next message, or how the connection ended.
    pub(crate) fn message_or_end(&mut self) -> Result<ServerToAgent, End> {
        loop {
            let Some(frame) = self.frame() else {
                return Err(End::Cut);
            };
            match frame.opcode {
                BINARY => return Ok(self.whole(frame)),
                PING => self.send(PONG, &frame.payload),
                PONG => {}
                CLOSE => return Err(End::Close(code(&frame))),
                other => panic!("opcode {other}"),
            }
        }
    }

    /// The message that begins with this frame.
    pub(crate) fn whole(&mut self, mut frame: Frame) -> ServerToAgent {
        while !frame.last {
            let next = self.frame().expect("the rest of a message");
            assert_eq!(next.opcode, CONTINUATION, "a message is written whole");
            frame.payload.extend(next.payload);
            frame.last = next.last;
        }
        read(&frame)
    }

    /// Sends a ping and reads what comes before its pong.
    pub(crate) fn drain(&mut self) -> Vec<ServerToAgent> {
        self.send(PING, b"drain");
        let mut messages = Vec::new();
        loop {
            let frame = self.frame().expect("a pong");
            match frame.opcode {
                BINARY => messages.push(self.whole(frame)),
                PING => self.send(PONG, &frame.payload),
                PONG if frame.payload == b"drain" => return messages,
                PONG => {}
                other => panic!("opcode {other} instead of a pong"),
            }
        }
    }

    /// Reads to the end.
    pub(crate) fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.message_or_end() {
                return end;
            }
        }
    }
}

/// A message with its header byte.
pub(crate) fn framed(body: &[u8]) -> Vec<u8> {
    [&[0], body].concat()
}

/// One frame of a client; the first byte as given.
pub(crate) fn frame(first: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    const KEY: [u8; 4] = [0x3A, 0xC5, 0x0F, 0x96];
    let mask = if masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(mask | u8::try_from(length).expect("short")),
        length @ 126..0x1_0000 => {
            bytes.push(mask | 126);
            bytes.extend_from_slice(&u16::try_from(length).expect("16 bits").to_be_bytes());
        }
        length => {
            bytes.push(mask | 127);
            bytes.extend_from_slice(&u64::try_from(length).expect("64 bits").to_be_bytes());
        }
    }
    if masked {
        bytes.extend_from_slice(&KEY);
        let mixed = payload.iter().zip(KEY.iter().cycle());
        bytes.extend(mixed.map(|(byte, key)| byte ^ key));
    } else {
        bytes.extend_from_slice(payload);
    }
    bytes
}

/// The code of a Close frame.
pub(crate) fn code(frame: &Frame) -> u16 {
    match frame.payload.get(..2) {
        Some(two) => u16::from_be_bytes([two[0], two[1]]),
        None => 1005,
    }
}

/// Decodes a server message.
pub(crate) fn read(frame: &Frame) -> ServerToAgent {
    assert!(frame.last && frame.reserved == 0, "one whole plain frame");
    let (header, body) = frame.payload.split_first().expect("a header byte");
    assert_eq!(*header, 0, "the header is one zero byte");
    let message = ServerToAgent::decode(body).expect("a ServerToAgent");
    watch::message(&message, body);
    message
}
