//! The proxies that people use, started with the configuration that is shipped for them.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::support::eventually;

/// Longer than a proxy takes to start on a busy machine.
const START_WITHIN: Duration = Duration::from_secs(20);

/// A running proxy; its whole group ends with it.
pub(crate) struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.0.id()).expect("a process id"));
        // it may have ended by itself
        let _ = killpg(group, Signal::SIGKILL);
        drop(self.0.wait());
    }
}

/// Installs the proxies where they are missing.
pub(crate) fn install() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doors/proxies.sh");
    let output = Command::new(script).output().expect("the script runs");
    assert!(output.status.success(), "{output:?}");
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    listener.local_addr().expect("an address").port()
}

/// Writes a shipped configuration with the places of a test. Each has to be in it as the shipped one says.
pub(crate) fn write(dir: &Path, name: &str, places: &[(&str, &str)]) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/proxy")
        .join(name);
    let mut text = fs::read_to_string(shipped).expect("what is shipped");
    for (shipped, here) in places {
        assert!(text.contains(shipped), "{name} has no {shipped}");
        text = text.replace(shipped, here);
    }
    fs::write(dir.join(name), text).expect("written");
}

/// Starts a proxy in a directory, and waits until it listens.
pub(crate) fn run(dir: &Path, program: &str, args: &[&str], ports: &[u16]) -> Proxy {
    let log = fs::File::create(dir.join("proxy.log")).expect("a log");
    let child = Command::new(program)
        .args(args)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .process_group(0)
        .spawn()
        .expect("the proxy starts");
    let mut proxy = Proxy(child);
    for port in ports {
        eventually("the proxy listens", START_WITHIN, || {
            if let Some(status) = proxy.0.try_wait().expect("a child") {
                let said = fs::read_to_string(dir.join("proxy.log")).unwrap_or_default();
                panic!("{program} ended with {status}: {said}");
            }
            TcpStream::connect(("127.0.0.1", *port)).ok()
        });
    }
    proxy
}
