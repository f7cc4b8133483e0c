//! Whoever uses the cluster: agents that connect to any node, and operators that ask any node. They live on a machine
//! of their own that never fails and whose clock is true.

mod agent;
mod operator;
mod speech;

use std::sync::Arc;

use ampora::tasks::Tasks;
use parking_lot::Mutex;

use crate::book::Book;
use crate::dice::Dice;
use crate::invariants::Oracle;
use crate::seat::Seat;

pub use agent::AgentState;

/// How many agents there are: more than the first window of slow start.
pub const AGENTS: usize = 24;

/// What all of them share.
#[derive(Clone, Debug)]
pub struct People {
    /// The nodes that they know.
    pub seats: Arc<Vec<Seat>>,
    /// The trace.
    pub book: Book,
    /// Who looks on.
    pub oracle: Oracle,
    /// What became of the agents.
    pub agents: Arc<Mutex<Vec<AgentState>>>,
    /// Where their tasks are.
    pub tasks: Tasks,
    /// Operators stop when this is true.
    pub calm: Arc<std::sync::atomic::AtomicBool>,
}

impl People {
    /// Starts everybody.
    pub fn start(&self, seed: u64) {
        for number in 0..AGENTS {
            let purpose = 1_000 + u64::try_from(number).unwrap_or(0);
            self.tasks
                .spawn(agent::live(self.clone(), number, Dice::new(seed, purpose)));
        }
        let operators = [
            operator::Role::Configurations,
            operator::Role::Dispatches,
            operator::Role::Registers,
            operator::Role::Registers,
            operator::Role::Registers,
        ];
        for (number, role) in (2_000..).zip(operators) {
            self.tasks.spawn(operator::live(
                self.clone(),
                number,
                role,
                Dice::new(seed, number),
            ));
        }
    }

    /// Whether operators have stopped.
    pub fn is_calm(&self) -> bool {
        self.calm.load(std::sync::atomic::Ordering::Relaxed)
    }
}
