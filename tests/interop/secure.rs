//! Stock clients over TLS with a private authority: sockets, and polls by HTTP/2, while the certificate changes.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::clients::{Supervisor, Transport};
use crate::library::Agent;
use crate::stage::{Stage, pipeline};
use crate::wait::{POLLED, SOON, until};

/// The files of a door, and who signs them.
struct Files {
    dir: TempDir,
    authority: Issuer<'static, KeyPair>,
}

impl Files {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let files = Self {
            dir: TempDir::new().unwrap(),
            authority: Issuer::new(params, key),
        };
        fs::write(files.path("ca.pem"), pem).unwrap();
        files.sign();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A new certificate of this machine.
    fn sign(&self) {
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        fs::write(self.path("cert.pem"), certificate.pem()).unwrap();
        fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
    }

    async fn stage(&self) -> Stage {
        let set = |key: &str| {
            let file = self.path(&format!("{key}.pem"));
            format!("opamp.tls.{key}_file={}", file.display())
        };
        Stage::new(&[&set("cert"), &set("key")]).await
    }

    /// Signs anew, and waits until the node shows it.
    async fn renew(&self, stage: &Stage) {
        self.sign();
        stage.server.signal(Signal::SIGHUP);
        until("the new certificate is in use", SOON, async || {
            let counts = stage.rest().metric("ampora_tls_reloads_total").await;
            let taken_up = |(labels, count): &(String, f64)| {
                labels.contains("\"opamp\"") && labels.contains("\"taken_up\"") && *count > 0.0
            };
            let is_so = counts.iter().any(taken_up);
            is_so.then_some(()).ok_or_else(|| format!("{counts:?}"))
        })
        .await;
    }
}

async fn assign(stage: &Stage, marker: &str) {
    stage.rest().version("edge", &pipeline(marker)).await;
    stage.rest().assign("edge").await;
}

async fn supervisor_is_served(transport: Transport) {
    let files = Files::new();
    let stage = files.stage().await;
    let dir = stage.client("agent");
    let authority = files.path("ca.pem");
    let supervisor = Supervisor::secure(&dir, &stage.server.opamp, transport, &authority);
    let agent = stage.connected(SOON).await;
    assert_eq!(agent["transport"], transport.name(), "{agent:#}");
    let uid = agent["instance_uid"].as_str().unwrap();
    assign(&stage, "first").await;
    stage.applied(uid, POLLED).await;
    files.renew(&stage).await;
    assign(&stage, "second").await;
    stage.effective(uid, "second").await;
    drop(supervisor);
}

#[tokio::test]
async fn supervisor_comes_by_wss_with_a_private_authority() {
    supervisor_is_served(Transport::WebSocket).await;
}

#[tokio::test]
async fn supervisor_comes_by_https_with_a_private_authority() {
    supervisor_is_served(Transport::Http).await;
}

async fn go_is_served(transport: Transport) {
    let files = Files::new();
    let stage = files.stage().await;
    let dir = stage.client("agent");
    let mut agent = Agent::secure(
        &dir,
        &stage.server.opamp,
        transport,
        Path::new(&files.path("ca.pem")),
    );
    let uid = agent.uid().await;
    agent.known(&stage).await;
    for marker in ["first", "second"] {
        assign(&stage, marker).await;
        agent.applied(&stage, &uid, marker).await;
        files.renew(&stage).await;
    }
    agent.assert_well();
    assert_eq!(agent.failures(), 0);
    assert_eq!(stage.rest().rejected().await, (0.0, 0.0));
}

#[tokio::test]
async fn go_comes_by_wss() {
    go_is_served(Transport::WebSocket).await;
}

#[tokio::test]
async fn go_comes_by_https() {
    go_is_served(Transport::Http).await;
}
