//! Clients of the doors: raw TCP, HTTP in both versions, and sockets, with and without TLS.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ampora_proto::wire;
use futures_util::{SinkExt, StreamExt};
use prost::Message as _;
use reqwest::{Certificate, Client, ClientBuilder, Response};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message},
};

/// Longer than anything takes on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The body of a first message: an agent that reports its status.
pub(crate) fn hello(number: u8) -> Vec<u8> {
    let message = wire::AgentToServer {
        instance_uid: vec![number; 16].into(),
        capabilities: 1,
        agent_description: Some(wire::AgentDescription::default()),
        ..Default::default()
    };
    message.encode_to_vec()
}

/// HTTP that trusts one authority.
pub(crate) fn http(authority: &str, set: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
    let authority = Certificate::from_pem(authority.as_bytes()).unwrap();
    let builder = Client::builder().no_proxy().tls_certs_only([authority]);
    set(builder.timeout(SOON)).build().unwrap()
}

/// A poll with more headers.
pub(crate) async fn poll(
    client: &Client,
    url: &str,
    body: Vec<u8>,
    headers: &[(&str, &str)],
) -> reqwest::Result<Response> {
    let mut request = client
        .post(format!("{url}/v1/opamp"))
        .header("content-type", "application/x-protobuf")
        .body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await
}

/// Settings of TLS that trust one authority.
pub(crate) fn trusting(
    authority: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority.as_bytes()).unwrap();
    roots.add(authority).unwrap();
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A TLS connection, without a word about HTTP versions unless the settings have some.
pub(crate) async fn secure(
    door: SocketAddr,
    settings: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    secure_from([127, 0, 0, 1].into(), door, "localhost", settings).await
}

/// The same from another address of this machine, to a name.
async fn secure_from(
    from: IpAddr,
    door: SocketAddr,
    name: &str,
    settings: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let tcp = socket.connect(door).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connecting = TlsConnector::from(Arc::new(settings)).connect(name, tcp);
    timeout(SOON, connecting).await.expect("an end")
}

/// The certificate that a door shows.
pub(crate) async fn shown(door: SocketAddr, authority: &str) -> Option<Vec<u8>> {
    let stream = secure(door, trusting(authority, rustls::ALL_VERSIONS))
        .await
        .ok()?;
    let (_, session) = stream.get_ref();
    Some(session.peer_certificates()?.first()?.to_vec())
}

/// A WebSocket inside TLS.
pub(crate) struct Socket(WebSocketStream<TlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn open(door: SocketAddr, settings: ClientConfig) -> Result<Self, Error> {
        Self::open_from([127, 0, 0, 1].into(), door, "localhost", settings).await
    }

    /// The same from another address of this machine, to a name.
    pub(crate) async fn open_from(
        from: IpAddr,
        door: SocketAddr,
        name: &str,
        settings: ClientConfig,
    ) -> Result<Self, Error> {
        let stream = secure_from(from, door, name, settings).await?;
        let (socket, _) = client_async(format!("ws://{name}/v1/opamp"), stream).await?;
        Ok(Self(socket))
    }

    /// Says something as an agent, and hears the answer.
    pub(crate) async fn ask(&mut self, number: u8) -> wire::ServerToAgent {
        let frame = [vec![0], hello(number)].concat();
        self.0.send(Message::binary(frame)).await.unwrap();
        loop {
            let message = timeout(SOON, self.0.next()).await.expect("an answer");
            if let Message::Binary(bytes) = message.expect("an open socket").unwrap() {
                return wire::ServerToAgent::decode(&bytes[1..]).unwrap();
            }
        }
    }
}

/// Sends bytes and reads until the other side ends the connection.
pub(crate) async fn raw(door: SocketAddr, bytes: &[u8]) -> String {
    let mut tcp = TcpStream::connect(door).await.unwrap();
    tcp.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // a reset is an end as well
    let end = timeout(SOON, tcp.read_to_end(&mut answer)).await;
    drop(end.expect("an end"));
    String::from_utf8_lossy(&answer).into_owned()
}

/// The value of a sample at `/metrics`.
pub(crate) async fn metric(client: &Client, admin: &str, sample: &str) -> Option<f64> {
    let text = client.get(format!("{admin}/metrics")).send().await.unwrap();
    let text = text.text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(sample))?;
    line.rsplit(' ').next()?.parse().ok()
}
