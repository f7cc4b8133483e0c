//! A door with TLS, and what clients say to it: any list of protocols, or none, and raw bytes inside.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use ampora_proto::wire::ServerToAgent;
use prost::Message;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

use crate::agent::{PROTOBUF, read_body};
use crate::deadline::PATIENCE;
use crate::http::head;
use crate::say;
use crate::server::Server;
use crate::ws::UPGRADE;

/// A poll over HTTP/1.1.
pub(crate) fn poll(body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let mut bytes = head(
        "POST",
        Server::PATH,
        &[PROTOBUF, ("Content-Length", &length)],
    );
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// The opening of a WebSocket.
pub(crate) fn upgrade() -> Vec<u8> {
    let mut bytes = head("GET", Server::PATH, &UPGRADE);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// One message as a frame of a client: FIN and binary, a mask of zeros, the header byte of OpAMP.
fn frame(message: &[u8]) -> Vec<u8> {
    let length = u8::try_from(message.len() + 1).expect("a short message");
    [&[0x82, 0x80 | length, 0, 0, 0, 0, 0][..], message].concat()
}

fn after_head(answer: &[u8]) -> &[u8] {
    let end = answer.windows(4).position(|end| end == b"\r\n\r\n");
    &answer[end.expect("a head") + 4..]
}

/// A server whose agents' door has TLS, and what it shows.
pub(crate) struct Secure {
    pub(crate) server: Server,
    shown: CertificateDer<'static>,
    _files: TempDir,
}

impl Secure {
    pub(crate) fn start() -> Secure {
        let files = TempDir::new().expect("a directory");
        let names = ["localhost".to_owned()];
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(names).expect("a certificate");
        let write = |key: &str, pem: String| {
            let path = files.path().join(key);
            fs::write(&path, pem).expect("a file");
            format!("opamp.tls.{key}={}", path.display())
        };
        let settings = [
            write("cert_file", cert.pem()),
            write("key_file", signing_key.serialize_pem()),
        ];
        Secure {
            server: Server::start(&settings.each_ref().map(String::as_str)),
            shown: cert.der().clone(),
            _files: files,
        }
    }

    /// Opens a WebSocket and says something there; the protocol that was agreed on.
    pub(crate) fn open(&self, protocols: &[&str]) -> Option<String> {
        let message = say::bare(say::uid(), 0).encode_to_vec();
        let frame = frame(&message);
        let words = [upgrade(), frame].concat();
        let (agreed, answer) = self.say(protocols, &words, |answer| {
            let head = answer.windows(4).position(|end| end == b"\r\n\r\n");
            head.is_some_and(|end| {
                let frame = &answer[end + 4..];
                frame.len() > 2 && frame.len() >= 2 + usize::from(frame[1])
            })
        });
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{answer:?}");
        let frame = after_head(&answer);
        assert_eq!(frame[0], 0x82, "one binary frame");
        assert!(say::error(&read_body(&frame[3..])).is_none());
        agreed
    }

    /// Polls as a client that prefers HTTP/2.
    pub(crate) fn poll_by_h2(&self, body: &[u8]) -> ServerToAgent {
        let shown = reqwest::Certificate::from_der(&self.shown).expect("a certificate");
        let url = format!("https://localhost:{}/v1/opamp", self.server.opamp.port());
        let polling = async {
            let client = reqwest::Client::builder()
                .no_proxy()
                .timeout(PATIENCE)
                .tls_certs_only([shown])
                .build()
                .expect("a client");
            let request = client.post(url).header(PROTOBUF.0, PROTOBUF.1);
            let answer = request.body(body.to_vec()).send().await.expect("an answer");
            assert_eq!(answer.version(), reqwest::Version::HTTP_2);
            assert_eq!(answer.status(), 200);
            answer.bytes().await.expect("a body")
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        read_body(&runtime.expect("a runtime").block_on(polling))
    }

    /// Sends bytes inside TLS and reads until `is_enough`; with the protocol that was agreed on.
    pub(crate) fn say(
        &self,
        protocols: &[&str],
        bytes: &[u8],
        is_enough: impl Fn(&[u8]) -> bool,
    ) -> (Option<String>, Vec<u8>) {
        let mut stream = self.connect(self.server.opamp, protocols);
        stream.write_all(bytes).expect("bytes written");
        let mut answer = Vec::new();
        while !is_enough(&answer) {
            let mut part = [0; 4096];
            match stream.read(&mut part) {
                Ok(0) => break,
                Ok(read) => answer.extend_from_slice(&part[..read]),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&answer)),
            }
        }
        let agreed = stream.conn.alpn_protocol();
        let agreed = agreed.map(|name| String::from_utf8_lossy(name).into_owned());
        (agreed, answer)
    }

    fn connect(
        &self,
        door: SocketAddr,
        protocols: &[&str],
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.shown.clone()).expect("an anchor");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut settings = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        settings.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(Arc::new(settings), name).expect("a session");
        let tcp = TcpStream::connect(door).expect("a connection");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        StreamOwned::new(session, tcp)
    }
}
