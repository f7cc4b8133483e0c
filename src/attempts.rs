//! Failed attempts to prove who one is, counted for each client address: whoever guesses waits longer and longer, and
//! who shows a valid token never does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use parking_lot::Mutex;

/// Failures that a client may have at once: somebody who mistypes, or a fleet behind one address that is set up wrong.
const BURST: u64 = 60;

/// After them one failure is forgiven in this time.
const FORGIVEN_MS: u64 = 1_000;

/// Clients that are remembered; beyond it those go first who would be forgotten first.
const CLIENTS_MAX: usize = 16_384;

/// The failures of all clients of one door.
#[derive(Debug, Default)]
pub struct Attempts {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// When all failures of a client will be forgiven.
    clear_ms: BTreeMap<IpAddr, u64>,
    order: BTreeSet<(u64, IpAddr)>,
}

/// A client has failed too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// Whole seconds after which it may try again.
    pub retry_after_seconds: u64,
}

impl Attempts {
    /// A client has failed.
    ///
    /// # Errors
    /// It has failed too often: the failure is answered with the time to wait instead of a reason.
    pub fn failed(&self, client: IpAddr, now_ms: u64) -> Result<(), TooMany> {
        let client = network(client);
        let mut table = self.table.lock();
        let clear_ms = table.clear_ms.get(&client).copied().unwrap_or(0);
        let next_ms = clear_ms.max(now_ms) + FORGIVEN_MS;
        let over_ms = next_ms.saturating_sub(now_ms + BURST * FORGIVEN_MS);
        if over_ms > 0 {
            return Err(TooMany {
                retry_after_seconds: over_ms.div_ceil(1_000).max(1),
            });
        }
        table.put(client, clear_ms, next_ms);
        Ok(())
    }
}

impl Table {
    fn put(&mut self, client: IpAddr, old_ms: u64, new_ms: u64) {
        if self.clear_ms.insert(client, new_ms).is_some() {
            self.order.remove(&(old_ms, client));
        }
        self.order.insert((new_ms, client));
        if self.clear_ms.len() > CLIENTS_MAX
            && let Some((_, first)) = self.order.pop_first()
        {
            self.clear_ms.remove(&first);
        }
    }
}

/// What one client can change at will is one client: the lower half of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_client_that_guesses_waits_and_others_do_not() {
        let attempts = Attempts::default();
        let guesser = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for _ in 0..BURST {
            assert_eq!(attempts.failed(guesser, 5_000), Ok(()));
        }
        let wait = attempts.failed(guesser, 5_000);
        assert_eq!(
            wait,
            Err(TooMany {
                retry_after_seconds: 1
            })
        );
        assert_eq!(
            attempts.failed(Ipv4Addr::new(10, 0, 0, 1).into(), 5_000),
            Ok(())
        );
        assert_eq!(attempts.failed(guesser, 6_000), Ok(()));
        assert!(attempts.failed(guesser, 6_000).is_err());
    }

    #[test]
    fn addresses_of_one_network_are_one_client() {
        let attempts = Attempts::default();
        let address = |n: u128| IpAddr::V6(Ipv6Addr::from_bits(0x2001 << 112 | n));
        for n in 0..BURST {
            assert_eq!(attempts.failed(address(u128::from(n)), 0), Ok(()));
        }
        assert!(attempts.failed(address(u128::from(BURST)), 0).is_err());
        assert_eq!(attempts.failed(address(1 << 64), 0), Ok(()));
    }

    #[test]
    fn the_table_is_bounded() {
        let attempts = Attempts::default();
        for n in 0..40_000_u32 {
            assert_eq!(
                attempts.failed(Ipv4Addr::from_bits(n).into(), u64::from(n)),
                Ok(())
            );
        }
        let table = attempts.table.lock();
        assert_eq!(
            (table.clear_ms.len(), table.order.len()),
            (CLIENTS_MAX, CLIENTS_MAX)
        );
    }
}
