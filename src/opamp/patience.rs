//! How much nonsense one connection may send before its answers are slowed down (C-298). Pure: time is an
//! argument. Slowed down and not cut, because one broken agent may share its socket with healthy ones.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Clients behind proxies that are remembered one by one; beyond it new ones share their patience.
const CLIENTS_MAX: usize = 4096;

/// Malformed messages that are answered at once.
const BURST: u64 = 16;

/// Milliseconds that each further one costs: four a second.
const COST_MS: u64 = 250;

/// The patience with one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    /// When everything so far would have been sent at the allowed rate.
    paid_until_ms: u64,
}

impl Patience {
    /// Notes a malformed message and returns how long its answer has to wait.
    pub(super) fn delay_ms(&mut self, now_ms: u64) -> u64 {
        self.paid_until_ms = self.paid_until_ms.max(now_ms) + COST_MS;
        self.paid_until_ms
            .saturating_sub(now_ms)
            .saturating_sub(BURST * COST_MS)
    }
}

/// The patience with clients that come over the connections of proxies.
#[derive(Debug, Default)]
pub(super) struct Patients {
    clients: BTreeMap<IpAddr, Patience>,
    others: Patience,
}

impl Patients {
    /// Notes a malformed message of a client and returns how long its answer has to wait.
    pub(super) fn delay_ms(&mut self, client: IpAddr, now_ms: u64) -> u64 {
        if self.clients.len() >= CLIENTS_MAX && !self.clients.contains_key(&client) {
            self.clients
                .retain(|_, patience| patience.paid_until_ms > now_ms);
        }
        let patience = if self.clients.len() < CLIENTS_MAX {
            self.clients.entry(client).or_default()
        } else {
            self.clients.get_mut(&client).unwrap_or(&mut self.others)
        };
        patience.delay_ms(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_behind_a_proxy_do_not_wait_for_each_other() {
        let mut patients = Patients::default();
        let client = |number: u32| IpAddr::from(number.to_be_bytes());
        for _ in 0..=BURST {
            patients.delay_ms(client(1), 0);
        }
        assert!(patients.delay_ms(client(1), 0) > 0);
        assert_eq!(patients.delay_ms(client(2), 0), 0);
        for number in 3..20_000 {
            patients.delay_ms(client(number), 0);
        }
        assert_eq!(patients.clients.len(), CLIENTS_MAX);
        assert!(patients.delay_ms(client(30_000), 0) > 0, "a crowd shares");
        assert!(patients.delay_ms(client(1), 0) > 0, "who is known stays so");
        assert_eq!(patients.delay_ms(client(30_000), 60_000), 0);
        assert_eq!(patients.clients.len(), 1);
    }

    #[test]
    fn a_burst_is_free_and_a_flood_is_four_a_second() {
        let mut patience = Patience::default();
        for _ in 0..BURST {
            assert_eq!(patience.delay_ms(1_000), 0);
        }
        assert_eq!(patience.delay_ms(1_000), COST_MS);
        assert_eq!(patience.delay_ms(1_000 + COST_MS), COST_MS);
        assert_eq!(patience.delay_ms(60_000), 0, "patience comes back");
    }
}
