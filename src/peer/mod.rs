//! What nodes say to each other: mutual TLS between pinned keys, and framed calls with their answers inside it.
//!
//! Knows neither consensus nor agents: [`PeerCalls`] is who answers here, [`Peers`] asks elsewhere. It decides nothing
//! but who is let in and how much may be under way.

mod bearer;
mod book;
mod calls;
mod frames;
mod key;
mod link;
mod listener;
mod network;
mod refusals;
mod serve;
mod trust;

pub use book::{AddressBook, BookError, Known};
pub use calls::{
    Exchange, Exchanged, Hello, Join, Joined, Member, PeerAnswer, PeerCall, PeerCalls, Redeem,
    Redeemed, Refusal, Removed, Seen,
};
pub use key::{KeyError, KeyHash, NodeKey};
pub use link::NotLetIn;
pub use listener::PeerListener;
pub use network::{Peers, greet, join};
pub use trust::{Caller, Trust};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
