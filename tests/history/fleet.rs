//! A fleet of simulated agents that report all the time.

use std::net::SocketAddr;
use std::time::Duration;

use ampora::simulate::{Crowd, Plan, Profile, Progress, Summary};
use tokio::runtime::Runtime;

/// Agents that share a socket.
const PER_SOCKET: usize = 10;

/// Sockets that come in a second.
const CONNECTS_PER_SECOND: u32 = 200;

/// Bytes of an effective configuration.
const EFFECTIVE_BYTES: usize = 300;

pub(crate) struct Fleet {
    runtime: Runtime,
    crowd: Crowd,
}

impl Fleet {
    /// So many agents, once all of them are connected. They say another health every second.
    pub(crate) fn chatty(agents: usize, doors: &[SocketAddr]) -> Self {
        Self::start(agents, doors, Profile::Chatty, EFFECTIVE_BYTES)
    }

    /// The same with long configurations.
    pub(crate) fn wordy(agents: usize, doors: &[SocketAddr], bytes: usize) -> Self {
        Self::start(agents, doors, Profile::Chatty, bytes)
    }

    /// So many agents that say what they are, and no more.
    pub(crate) fn quiet(agents: usize, doors: &[SocketAddr]) -> Self {
        Self::start(agents, doors, Profile::Idle, EFFECTIVE_BYTES)
    }

    fn start(
        agents: usize,
        doors: &[SocketAddr],
        profile: Profile,
        effective_bytes: usize,
    ) -> Self {
        let url = |door| format!("ws://{door}/v1/opamp").parse().expect("a URL");
        let plan = Plan {
            urls: doors.iter().map(url).collect(),
            agents,
            per_socket: PER_SOCKET,
            profile,
            connects_per_second: CONNECTS_PER_SECOND,
            heartbeat: Duration::from_secs(5),
            in_flight: 1,
            effective_bytes,
            resume: false,
            labels: Vec::new(),
            seed: 1,
        };
        let runtime = Runtime::new().expect("a runtime");
        let crowd = runtime.block_on(async {
            let mut crowd = Crowd::start(plan).await.expect("an address");
            let silent: Progress = Box::new(|_| {});
            crowd.run(None, &silent).await;
            crowd
        });
        Self { runtime, crowd }
    }

    pub(crate) fn summary(&self) -> Summary {
        self.crowd.summary()
    }

    /// All of them say goodbye. Nobody may have been disturbed before.
    pub(crate) fn stop(self) {
        undisturbed(&self.summary());
        undisturbed(&self.runtime.block_on(self.crowd.stop()));
    }

    /// All of them go, whatever they have met.
    pub(crate) fn leave(self) {
        self.runtime.block_on(self.crowd.stop());
    }
}

/// That nobody of the crowd was disturbed.
fn undisturbed(summary: &Summary) {
    let faults = [
        summary.connections_lost,
        summary.connects_failed,
        summary.connects_refused,
        summary.replies_refusing,
        summary.renamed,
    ];
    assert_eq!(faults, [0; 5], "{summary:?}");
}
