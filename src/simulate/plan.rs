//! What is to be simulated: how many agents, how they behave, and how fast they come. Pure.

use std::net::Ipv4Addr;
use std::time::Duration;

use url::Url;

/// Sockets that share one source address: the system has some 28 000 ports for each.
const SOCKETS_PER_SOURCE: usize = 8_000;

/// How agents behave once they are connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// A heartbeat at the interval, nothing else.
    #[default]
    Idle,
    /// Other health texts every second, another effective configuration every ten.
    Chatty,
    /// Unhealthy every five seconds, each time with another process id in the text.
    CrashLooping,
    /// Heartbeats as fast as they are answered.
    FlatOut,
    /// As idle, but a configuration that contains `simulate-bad` has FAILED.
    Refusing,
    /// As idle, but with such a configuration it turns unhealthy once it has applied it.
    Breaking,
    /// As idle, but it never says what became of such a configuration.
    Silent,
}

/// What a configuration contains that [`Profile::Refusing`] and its like do not stand.
pub const BAD: &str = "simulate-bad";

/// Everything that a run needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the server is: `ws://host:port/path`, or `wss`. Over several, the doors of one cluster, sockets are spread,
    /// and one that is not let in goes to the next.
    pub urls: Vec<Url>,
    /// Agents in all.
    pub agents: usize,
    /// Agents on one socket.
    pub per_socket: usize,
    /// How they behave.
    pub profile: Profile,
    /// New sockets in a second.
    pub connects_per_second: u32,
    /// Between two heartbeats of an agent.
    pub heartbeat: Duration,
    /// Heartbeats under way on one socket, for [`Profile::FlatOut`].
    pub in_flight: usize,
    /// Bytes of the effective configuration that each agent reports when it connects.
    pub effective_bytes: usize,
    /// After a lost connection the agents go on where they were, as clients from opamp-go 0.23 on do; else they send everything again.
    pub resume: bool,
    /// Further attributes of each agent.
    pub labels: Vec<(String, String)>,
    /// Uids and chance come from this number: the same fleet comes back with it.
    pub seed: u64,
}

/// A plan that cannot be carried out.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// Another scheme.
    #[error("`{0}` is not simulated: use ws:// or wss://")]
    Scheme(String),
    /// No host or port.
    #[error("the address of the server has no host or port")]
    Address,
    /// A number that has to be at least one.
    #[error("{0} has to be at least 1")]
    Zero(&'static str),
}

impl Plan {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// Names the first thing that cannot be done.
    pub fn check(&self) -> Result<(), PlanError> {
        for url in &self.urls {
            if !["ws", "wss"].contains(&url.scheme()) {
                return Err(PlanError::Scheme(url.scheme().to_owned()));
            }
            if url.host_str().is_none() || url.port_or_known_default().is_none() {
                return Err(PlanError::Address);
            }
        }
        for (number, name) in [
            (self.urls.len(), "the number of addresses"),
            (self.agents, "the number of agents"),
            (self.per_socket, "agents per socket"),
            (self.in_flight, "heartbeats in flight"),
            (self.connects_per_second as usize, "connects per second"),
        ] {
            if number == 0 {
                return Err(PlanError::Zero(name));
            }
        }
        Ok(())
    }

    /// How many sockets there are.
    pub fn sockets(&self) -> usize {
        self.agents.div_ceil(self.per_socket.max(1))
    }

    /// Which agents speak over a socket.
    pub fn agents_of(&self, socket: usize) -> std::ops::Range<usize> {
        let first = socket * self.per_socket;
        first..(first + self.per_socket).min(self.agents)
    }

    /// The source address of a socket, when the server is on this machine: one address has too few ports.
    pub fn source(&self, socket: usize) -> Option<Ipv4Addr> {
        let host: Ipv4Addr = self.urls.first()?.host_str()?.parse().ok()?;
        let number = u32::try_from(socket / SOCKETS_PER_SOURCE).ok()?;
        host.is_loopback()
            .then(|| Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 1, 1)) + number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            urls: vec![Url::parse("ws://127.0.0.1:4320/v1/opamp").expect("a URL")],
            agents: 250,
            per_socket: 100,
            profile: Profile::Idle,
            connects_per_second: 100,
            heartbeat: Duration::from_secs(30),
            in_flight: 1,
            effective_bytes: 0,
            resume: false,
            labels: Vec::new(),
            seed: 1,
        }
    }

    #[test]
    fn agents_are_spread_over_sockets_without_a_gap() {
        let plan = plan();
        assert_eq!(plan.sockets(), 3);
        let all: Vec<_> = (0..3).flat_map(|socket| plan.agents_of(socket)).collect();
        assert_eq!(all, (0..250).collect::<Vec<_>>());
    }

    #[test]
    fn sources_change_before_their_ports_run_out() {
        let plan = plan();
        assert_eq!(plan.source(0), Some(Ipv4Addr::new(127, 0, 1, 1)));
        assert_eq!(plan.source(8_000), Some(Ipv4Addr::new(127, 0, 1, 2)));
        let away = Plan {
            urls: vec![Url::parse("ws://203.0.113.1:4320/v1/opamp").expect("a URL")],
            ..plan
        };
        assert_eq!(away.source(0), None);
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        assert_eq!(plan().check(), Ok(()));
        let https = Url::parse("https://127.0.0.1/").expect("a URL");
        let other = Plan {
            urls: vec![https],
            ..plan()
        };
        assert_eq!(other.check(), Err(PlanError::Scheme("https".to_owned())));
        let none = Plan {
            agents: 0,
            ..plan()
        };
        assert_eq!(none.check(), Err(PlanError::Zero("the number of agents")));
    }
}
