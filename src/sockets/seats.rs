//! A bound on connections that lets newcomers in: when all seats are taken, the one that has waited longest for its
//! peer to ask for something is cut. Whoever asks at once is served however many others say nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Cut, cut};

/// The seats of one listener.
#[derive(Debug)]
pub struct Seats {
    door: &'static str,
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// Counts up each time that somebody begins to wait.
    turn: u64,
    /// Who waits, the longest first.
    waiting: BTreeMap<u64, CancellationToken>,
}

impl State {
    fn wait(&mut self, cut: &CancellationToken) -> u64 {
        self.turn += 1;
        self.waiting.insert(self.turn, cut.clone());
        self.turn
    }
}

/// The seat of one connection; free again when it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    cut: CancellationToken,
    turn: Mutex<Turn>,
}

/// What its peer waits for, or we for it.
#[derive(Debug)]
struct Turn {
    /// Its place among those that wait; none while it is served.
    place: Option<u64>,
    /// Calls that are answered at this moment.
    calls: usize,
}

impl Seats {
    /// So many seats; `door` names the listener in metrics.
    pub fn new(door: &'static str, max: usize) -> Arc<Self> {
        Arc::new(Self {
            door,
            max,
            state: Mutex::default(),
        })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.state.lock().taken
    }

    /// A seat for a connection that has not asked for anything yet; none when all others are being served.
    pub fn take(self: &Arc<Self>) -> Option<Seat> {
        let mut state = self.state.lock();
        if state.taken >= self.max {
            cut(self.door, Cut::Crowded);
            let (_, oldest) = state.waiting.pop_first()?;
            oldest.cancel();
            state.taken -= 1;
        }
        state.taken += 1;
        let cut = CancellationToken::new();
        let turn = state.wait(&cut);
        Some(Seat {
            seats: self.clone(),
            cut,
            turn: Mutex::new(Turn {
                place: Some(turn),
                calls: 0,
            }),
        })
    }
}

impl Seat {
    /// Ends when the seat was given to somebody else.
    pub fn cut(&self) -> CancellationToken {
        self.cut.clone()
    }

    /// The peer has asked for something.
    pub fn serve(&self) {
        let mut turn = self.turn.lock();
        turn.calls += 1;
        if let Some(place) = turn.place.take() {
            self.seats.state.lock().waiting.remove(&place);
        }
    }

    /// The peer has its answer.
    pub fn wait(&self) {
        let mut turn = self.turn.lock();
        turn.calls = turn.calls.saturating_sub(1);
        let mut state = self.seats.state.lock();
        if turn.calls == 0 && turn.place.is_none() && !self.cut.is_cancelled() {
            turn.place = Some(state.wait(&self.cut));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.seats.state.lock();
        if let Some(place) = self.turn.get_mut().place {
            state.waiting.remove(&place);
        }
        // whoever was cut has given up its seat already
        if !self.cut.is_cancelled() {
            state.taken -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_of(seats: &[&Seat]) -> Vec<bool> {
        seats.iter().map(|seat| seat.cut.is_cancelled()).collect()
    }

    #[test]
    fn the_longest_wait_ends_and_who_is_served_stays() {
        let seats = Seats::new("test", 3);
        let [a, b, c] = [(); 3].map(|()| seats.take().expect("a seat"));
        a.serve();
        let d = seats.take().expect("a seat");
        assert_eq!(cut_of(&[&a, &b, &c, &d]), [false, true, false, false]);
        a.wait();
        c.serve();
        let e = seats.take().expect("a seat");
        assert_eq!(cut_of(&[&a, &c, &d, &e]), [false, false, true, false]);
        assert_eq!(seats.taken(), 3);
        drop((a, b, c, d, e));
        assert_eq!(seats.taken(), 0);
        assert!(seats.state.lock().waiting.is_empty());
    }

    #[test]
    fn nobody_is_cut_in_the_middle_of_an_answer() {
        let seats = Seats::new("test", 2);
        let all = [(); 2].map(|()| seats.take().expect("a seat"));
        all.iter().for_each(Seat::serve);
        assert!(seats.take().is_none());
        all[0].wait();
        assert!(seats.take().is_some() && all[0].cut.is_cancelled());
        // its task has not noticed yet
        all[0].serve();
        all[0].wait();
        assert_eq!(seats.state.lock().waiting.len(), 0);
    }

    #[test]
    fn a_connection_with_several_calls_waits_when_the_last_is_answered() {
        let seats = Seats::new("test", 1);
        let seat = seats.take().expect("a seat");
        seat.serve();
        seat.serve();
        seat.wait();
        assert!(seats.take().is_none());
        seat.wait();
        assert!(seats.take().is_some());
    }
}
