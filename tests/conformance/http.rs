//! A raw HTTP/1.1 client: every byte of a request is the caller's, and a response is what came.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::deadline::PATIENCE;

/// What came back.
#[derive(Debug)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body as sent, not decompressed.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The first header of this name, given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// One TCP connection.
pub(crate) struct Http {
    pub(crate) stream: TcpStream,
    /// Read and not yet used.
    pub(crate) rest: Vec<u8>,
}

impl Http {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Http {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Http {
            stream,
            rest: Vec::new(),
        }
    }

    /// Writes bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("bytes written");
    }

    /// Writes bytes as they are; false when the other side has gone.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Writes a request with a length and a body.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) {
        let mut bytes = head(method, path, headers);
        if !body.is_empty() || method == "POST" {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        self.send(&bytes);
    }

    /// Reads one response; `None` when the connection ended before it began.
    pub(crate) fn try_response(&mut self) -> Option<Response> {
        let (status, headers) = self.try_head()?;
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
        };
        if response.header("transfer-encoding") == Some("chunked") {
            response.body = self.chunks();
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().expect("a length");
            response.body = self.exactly(length);
        } else if status >= 200 && status != 204 {
            while self.fill() {}
            response.body = std::mem::take(&mut self.rest);
        }
        Some(response)
    }

    /// Reads one response.
    pub(crate) fn response(&mut self) -> Response {
        self.try_response().expect("a response")
    }

    /// Reads status line and headers.
    pub(crate) fn try_head(&mut self) -> Option<(u16, Vec<(String, String)>)> {
        let end = loop {
            let found = self.rest.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = found {
                break end;
            }
            if !self.fill() {
                return None;
            }
        };
        let head = String::from_utf8(self.rest.drain(..end + 4).collect()).expect("text");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        Some((status, headers))
    }

    /// Reads that many bytes.
    pub(crate) fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.rest.len() < length {
            assert!(self.fill(), "the connection ended inside a body");
        }
        self.rest.drain(..length).collect()
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.line();
            let length = usize::from_str_radix(line.trim(), 16).expect("a chunk length");
            body.extend(self.exactly(length));
            self.line();
            if length == 0 {
                return body;
            }
        }
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.rest.windows(2).position(|two| two == b"\r\n") {
                let line = self.rest.drain(..end + 2).collect();
                return String::from_utf8(line).expect("text");
            }
            assert!(self.fill(), "the connection ended inside a line");
        }
    }

    /// Reads more; false at the end of the stream, in order or not.
    pub(crate) fn fill(&mut self) -> bool {
        let mut buffer = [0_u8; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    self.rest.extend_from_slice(&buffer[..count]);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    panic!("nothing came within {PATIENCE:?}")
                }
                Err(_) => return false,
            }
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn end(&self) {
        self.stream.shutdown(Shutdown::Write).expect("an end");
    }
}

/// Request line and headers, without the empty line that ends them.
pub(crate) fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: ampora\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.into_bytes()
}

/// One request on a connection of its own.
pub(crate) fn once(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let mut http = Http::connect(address);
    http.request(method, path, headers, body);
    http.response()
}
