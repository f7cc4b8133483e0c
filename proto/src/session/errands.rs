//! Operators' instructions for one agent, from the mailbox to what became of them: restarts at most once,
//! custom messages likewise, pushes of the desired configuration at least once. It knows tokens and hashes, never dispatches.

use std::collections::VecDeque;

use super::Event;
use crate::capabilities::agent;
use crate::wire;

/// Restarts, and likewise pushes, that may be waiting or watched: more than an operator can mean.
pub const OUTSTANDING_MAX: usize = 16;
/// A restart must show within this time after it was written.
pub const RESTART_CONFIRM_MS: u64 = 120_000;
/// A push is judged this long after it was written: a supervisor says nothing about an equal hash.
pub const PUSH_CONFIRM_MS: u64 = 60_000;
/// Words of an agent that an event carries.
const TEXT_BYTES_MAX: usize = 512;

/// What an operator reads of an offer beyond the outbound limit.
const TOO_LARGE: &str = "the configuration exceeds the message limit";

/// Names an instruction for the shell, which knows the delivery behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Why an instruction was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many are open.
    #[error("{OUTSTANDING_MAX} instructions of this kind are waiting already")]
    MailboxFull,
    /// The agent lacks the capability.
    #[error("the agent lacks the capability")]
    Unsupported,
    /// There is nothing to push.
    #[error("no configuration is assigned to the agent")]
    NothingDesired,
}

#[derive(Debug)]
struct RestartWatch {
    token: Token,
    since_ms: u64,
    written: bool,
    unhealthy_seen: bool,
}

#[derive(Debug)]
struct PushWatch {
    token: Token,
    hash: [u8; 32],
    since_ms: u64,
    written: bool,
}

/// All of it. The lists together are bounded by twice [`OUTSTANDING_MAX`].
#[derive(Debug, Default)]
pub(super) struct Errands {
    restarts: VecDeque<Token>,
    restarted: Vec<RestartWatch>,
    pushes: Vec<Token>,
    pushed: Vec<PushWatch>,
    messages: VecDeque<(Token, wire::CustomMessage)>,
    /// Messages that left the session and are not known to have been written.
    messages_out: Vec<Token>,
    events: Vec<Event>,
}

impl Errands {
    pub(super) fn queue_restart(&mut self, token: Token) -> Result<(), Refused> {
        if self.restarts.len() + self.restarted.len() >= OUTSTANDING_MAX {
            return Err(Refused::MailboxFull);
        }
        self.restarts.push_back(token);
        Ok(())
    }

    pub(super) fn queue_message(
        &mut self,
        token: Token,
        message: wire::CustomMessage,
    ) -> Result<(), Refused> {
        if !self.has_room_for_message() {
            return Err(Refused::MailboxFull);
        }
        self.messages.push_back((token, message));
        Ok(())
    }

    pub(super) fn has_room_for_message(&self) -> bool {
        self.messages.len() + self.messages_out.len() < OUTSTANDING_MAX
    }

    /// Pops a message; from here on it is never sent again, whatever happens (C-251).
    pub(super) fn next_message(&mut self) -> Option<(Token, wire::CustomMessage)> {
        let (token, message) = self.messages.pop_front()?;
        self.messages_out.push(token);
        Some((token, message))
    }

    /// The agent announced another list: what it does not understand any more never leaves (C-247).
    pub(super) fn drop_messages_beyond(&mut self, capabilities: &[String]) {
        let events = &mut self.events;
        self.messages.retain(|(token, message)| {
            let understood = capabilities.contains(&message.capability);
            if !understood {
                events.push(Event::Unsupported(*token));
            }
            understood
        });
    }

    /// Ends that nobody has fetched count as open, so that refused pushes cannot pile up.
    pub(super) fn queue_push(&mut self, token: Token) -> Result<(), Refused> {
        let open = self.pushes.len() + self.pushed.len() + self.events.len();
        if open >= OUTSTANDING_MAX {
            return Err(Refused::MailboxFull);
        }
        self.pushes.push(token);
        Ok(())
    }

    /// Nothing is assigned to the agent any more: there is nothing that a waiting push could wait for.
    pub(super) fn drop_pushes(&mut self) {
        self.events
            .extend(self.pushes.drain(..).map(Event::PushUnassigned));
    }

    /// Takes a push whose offer is known not to fit into a message, and fails it.
    pub(super) fn fail_push(&mut self, token: Token) {
        self.events
            .push(Event::PushFailed(token, TOO_LARGE.to_owned()));
    }

    pub(super) fn cancel(&mut self, token: Token) -> bool {
        let waiting =
            |errands: &Self| errands.restarts.len() + errands.pushes.len() + errands.messages.len();
        let before = waiting(self);
        self.restarts.retain(|waiting| *waiting != token);
        self.pushes.retain(|waiting| *waiting != token);
        self.messages.retain(|(waiting, _)| *waiting != token);
        before != waiting(self)
    }

    /// Pops a restart; from here on it is never sent again, whatever happens (C-242).
    pub(super) fn next_restart(&mut self, now_ms: u64) -> Option<Token> {
        let token = self.restarts.pop_front()?;
        self.restarted.push(RestartWatch {
            token,
            since_ms: now_ms,
            written: false,
            unhealthy_seen: false,
        });
        Some(token)
    }

    pub(super) fn has_pushes(&self) -> bool {
        !self.pushes.is_empty()
    }

    /// An offer of `hash` leaves: it serves all pushes that wait.
    pub(super) fn mark_pushes(&mut self, hash: [u8; 32], now_ms: u64) -> Vec<Token> {
        let tokens = std::mem::take(&mut self.pushes);
        self.pushed.extend(tokens.iter().map(|token| PushWatch {
            token: *token,
            hash,
            since_ms: now_ms,
            written: false,
        }));
        tokens
    }

    pub(super) fn written(&mut self, marks: &[Token], now_ms: u64) {
        let events = &mut self.events;
        self.messages_out.retain(|token| {
            let written = marks.contains(token);
            if written {
                events.push(Event::MessageWritten(*token));
            }
            !written
        });
        for watch in self
            .restarted
            .iter_mut()
            .filter(|watch| marks.contains(&watch.token))
        {
            watch.written = true;
            watch.since_ms = now_ms;
        }
        for watch in self
            .pushed
            .iter_mut()
            .filter(|watch| marks.contains(&watch.token))
        {
            watch.written = true;
            watch.since_ms = now_ms;
        }
    }

    /// What was under way is lost: a push waits again, a restart or message may or may not have arrived.
    pub(super) fn connection_lost(&mut self) {
        let events = &mut self.events;
        events.extend(self.messages_out.drain(..).map(Event::MessageLost));
        self.restarted.retain(|watch| {
            if !watch.written {
                events.push(Event::RestartUnconfirmed(watch.token));
            }
            watch.written
        });
        let pushes = &mut self.pushes;
        self.pushed.retain(|watch| {
            if !watch.written {
                pushes.push(watch.token);
            }
            watch.written
        });
    }

    /// Another node may act for the agent from now on: what waits here never leaves, and what it came to is told.
    pub(super) fn give_up(&mut self) {
        self.connection_lost();
        let events = &mut self.events;
        events.extend(self.restarts.drain(..).map(Event::RestartUnconfirmed));
        events.extend(
            self.messages
                .drain(..)
                .map(|(token, _)| Event::MessageLost(token)),
        );
        events.extend(self.pushes.drain(..).map(Event::PushUnconfirmed));
    }

    /// A new connection or sequence: whatever was told to restart has.
    pub(super) fn agent_came_back(&mut self) {
        self.confirm(|watch| watch.written);
    }

    pub(super) fn health_seen(&mut self, healthy: bool) {
        if healthy {
            self.confirm(|watch| watch.unhealthy_seen);
        } else {
            self.restarted
                .iter_mut()
                .for_each(|watch| watch.unhealthy_seen |= watch.written);
        }
    }

    fn confirm(&mut self, evident: impl Fn(&RestartWatch) -> bool) {
        let events = &mut self.events;
        self.restarted.retain(|watch| {
            let confirmed = evident(watch);
            if confirmed {
                events.push(Event::RestartConfirmed(watch.token));
            }
            !confirmed
        });
    }

    pub(super) fn config_failed(&mut self, hash: [u8; 32], text: &str) {
        self.fail_pushes(text, |watch| watch.written && watch.hash == hash);
    }

    /// The offer cannot be sent at all, with or without a push waiting for it.
    pub(super) fn offer_discarded(&mut self, hash: [u8; 32]) {
        self.fail_pushes(TOO_LARGE, |watch| !watch.written && watch.hash == hash);
    }

    fn fail_pushes(&mut self, text: &str, failed: impl Fn(&PushWatch) -> bool) {
        let events = &mut self.events;
        let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
        self.pushed.retain(|watch| {
            let failed = failed(watch);
            if failed {
                events.push(Event::PushFailed(watch.token, text.to_owned()));
            }
            !failed
        });
    }

    /// The agent changed its capabilities: what it cannot take any more never leaves (C-244).
    pub(super) fn drop_unsupported(&mut self, capabilities: u64) {
        if capabilities & agent::ACCEPTS_RESTART_COMMAND == 0 {
            self.events
                .extend(self.restarts.drain(..).map(Event::Unsupported));
        }
        if capabilities & agent::ACCEPTS_REMOTE_CONFIG == 0 {
            self.events
                .extend(self.pushes.drain(..).map(Event::Unsupported));
        }
    }

    /// Ends the watches whose time is over; `in_use` tells whether the agent has a hash.
    pub(super) fn expire(&mut self, now_ms: u64, in_use: impl Fn([u8; 32]) -> bool) {
        let events = &mut self.events;
        self.restarted.retain(|watch| {
            let over = now_ms >= watch.since_ms.saturating_add(RESTART_CONFIRM_MS);
            if over {
                events.push(Event::RestartUnconfirmed(watch.token));
            }
            !over
        });
        self.pushed.retain(|watch| {
            let over = now_ms >= watch.since_ms.saturating_add(PUSH_CONFIRM_MS);
            if over {
                events.push(if watch.written && in_use(watch.hash) {
                    Event::PushSucceeded(watch.token)
                } else {
                    Event::PushUnconfirmed(watch.token)
                });
            }
            !over
        });
    }

    /// The earliest end of a watch; 0 while events wait to be fetched.
    pub(super) fn next_deadline_ms(&self) -> Option<u64> {
        if !self.events.is_empty() {
            return Some(0);
        }
        let restarts = self
            .restarted
            .iter()
            .map(|w| w.since_ms.saturating_add(RESTART_CONFIRM_MS));
        let pushes = self
            .pushed
            .iter()
            .map(|w| w.since_ms.saturating_add(PUSH_CONFIRM_MS));
        restarts.chain(pushes).min()
    }

    pub(super) fn events(&mut self) -> &mut Vec<Event> {
        &mut self.events
    }

    pub(super) fn is_empty(&self) -> bool {
        self.restarts.is_empty()
            && self.restarted.is_empty()
            && self.pushes.is_empty()
            && self.pushed.is_empty()
            && self.messages.is_empty()
            && self.messages_out.is_empty()
            && self.events.is_empty()
    }
}
