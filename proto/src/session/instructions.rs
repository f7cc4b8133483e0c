//! What one agent should run and is told to do, as the session takes it: nothing leaves here, it waits to be asked for.

use super::Session;
use super::errands::{Refused, Token};
use super::outgoing::Event;
use crate::capabilities::agent;
use crate::wire;

impl Session {
    /// What the agent should run; `None` while nothing is assigned (C-135).
    pub fn set_desired(&mut self, hash: Option<[u8; 32]>) {
        self.offers.set_desired(hash);
        self.drop_pushes_of_nothing();
    }

    /// A push waits for an offer; where none can come, its end must not wait either.
    pub(super) fn drop_pushes_of_nothing(&mut self) {
        if self.offers.desired().is_none()
            && let Some(errands) = &mut self.errands
        {
            errands.drop_pushes();
        }
    }

    /// Offers the desired configuration again even if it is in use or has failed.
    ///
    /// # Errors
    /// When the agent takes no configuration, none is desired, or [`super::OUTSTANDING_MAX`] pushes are open.
    pub fn push_config(&mut self, token: Token) -> Result<(), Refused> {
        if self.capabilities & agent::ACCEPTS_REMOTE_CONFIG == 0 {
            return Err(Refused::Unsupported);
        }
        if self.offers.desired().is_none() {
            return Err(Refused::NothingDesired);
        }
        let errands = self.errands.get_or_insert_default();
        errands.queue_push(token)?;
        if self.offers.is_discarded() && errands.cancel(token) {
            errands.fail_push(token);
        }
        Ok(())
    }

    /// A configuration that failed on the agent may be offered again: an operator wants it to have another try.
    pub fn forget_failure(&mut self, hash: [u8; 32]) {
        self.offers.forget_failure(hash);
    }

    /// Queues one restart; it leaves at most once, ever (C-242).
    ///
    /// # Errors
    /// When the agent takes no such command (C-239), or [`super::OUTSTANDING_MAX`] restarts are open.
    pub fn restart(&mut self, token: Token) -> Result<(), Refused> {
        if self.capabilities & agent::ACCEPTS_RESTART_COMMAND == 0 {
            return Err(Refused::Unsupported);
        }
        self.errands.get_or_insert_default().queue_restart(token)
    }

    /// Queues one custom message; messages leave in order, each at most once, ever (C-251).
    ///
    /// # Errors
    /// When the agent did not announce the capability (C-249), or [`super::OUTSTANDING_MAX`] messages wait.
    pub fn custom_message(
        &mut self,
        token: Token,
        message: wire::CustomMessage,
    ) -> Result<(), Refused> {
        let announced = self.custom_capabilities.as_ref();
        if announced.is_none_or(|names| !names.contains(&message.capability)) {
            return Err(Refused::Unsupported);
        }
        self.errands
            .get_or_insert_default()
            .queue_message(token, message)
    }

    /// Whether one more custom message would be taken.
    pub fn has_room_for_message(&self) -> bool {
        self.errands
            .as_ref()
            .is_none_or(|errands| errands.has_room_for_message())
    }

    /// Takes back what has not left yet; false when it has, or was never there.
    pub fn cancel(&mut self, token: Token) -> bool {
        self.errands
            .as_mut()
            .is_some_and(|errands| errands.cancel(token))
    }

    /// The session here is over, and nothing that waits may leave. `moved`: the agent came to another node, which is
    /// what a restart looks like.
    pub fn give_up(&mut self, moved: bool) -> Vec<Event> {
        self.owned = false;
        self.attached &= !moved;
        self.full_state_due = false;
        self.offers.connection_lost();
        let mut events = Vec::new();
        if let Some(errands) = &mut self.errands {
            if moved {
                errands.agent_came_back();
            }
            errands.give_up();
        }
        self.drain_events(&mut events);
        events
    }
}
