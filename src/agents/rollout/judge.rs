//! The next step of a change: a pure function of who belongs to the group, how each of them stands, and time.
//!
//! It is slow start as TCP has it. A window is open: ten agents first. When nobody in it is waited for any
//! more, the threshold moves on by as many agents as it covers times the share of the window that confirmed,
//! so that it doubles when all did and stands still when nobody did. Windows below ten agents, which agents that were
//! away leave behind, are judged with those before them.

use ampora_raft::proposal::RolloutMove;
use ampora_raft::records::Trial;

/// The first window.
pub const FIRST_WINDOW: usize = 10;

/// A window that is complete stays open this long: an agent that breaks right after it has applied a version
/// says so within it.
pub const PAUSE_MS: u64 = 2_000;

/// How a member of the group stands to the next version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It runs it.
    Confirmed,
    /// It failed in this trial.
    Failed,
    /// It is connected and has not said how it went.
    Waiting,
    /// It is not connected. `sent`: it had got the version, so that it may be away because of it.
    Away {
        /// Whether it was sent the version.
        sent: bool,
    },
}

/// A member that takes configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it stands in the order of this version.
    pub placement: u64,
    /// How it stands.
    pub stand: Stand,
}

/// What the judgement is about.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Members in the order of their placement.
    pub members: &'a [Member],
    /// Agents below it want the next version.
    pub threshold: u64,
    /// The window.
    pub trial: &'a Trial,
    /// How long a window waits.
    pub timeout_ms: u64,
    /// Fleet time since when agents could answer: the window was open and somebody watched it.
    pub since_ms: u64,
    /// Fleet time since when nobody is waited for, as far as it was seen.
    pub complete_since_ms: Option<u64>,
    /// Fleet time.
    pub now_ms: u64,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This step is due.
    Move(RolloutMove),
    /// Nothing before that fleet time, unless something changes. `is_complete`: nobody is waited for.
    Wait {
        /// When to look again; `None` when time alone changes nothing.
        until_ms: Option<u64>,
        /// Whether nobody in the window is waited for.
        is_complete: bool,
    },
}

/// The window in numbers.
struct Window {
    covered: usize,
    /// Who came with this window.
    own: usize,
    /// Whose words count: these, and as many before them as make ten.
    members: usize,
    confirmed: usize,
    waiting: usize,
    away: usize,
}

/// Judges a change that is under way.
pub fn judge(case: &Case<'_>) -> Verdict {
    let total = case.members.len();
    let window = count(case);
    let ends_ms = case.since_ms.saturating_add(case.timeout_ms);
    let is_opened = case.trial.size > 0;
    let is_over = is_opened && case.now_ms >= ends_ms;
    if window.waiting > 0 && !is_over {
        return wait(Some(ends_ms), false);
    }
    if total == 0 {
        return wait(None, true);
    }
    if window.covered == total && is_opened {
        let mut members = case.members.iter();
        // a version that nobody runs is not settled: whoever comes next is the first to try it
        return if members.any(|member| member.stand == Stand::Confirmed) {
            Verdict::Move(RolloutMove::Settle)
        } else {
            wait(None, true)
        };
    }
    let target = target(&window, is_over).min(total);
    if target <= window.covered {
        return wait((is_opened && !is_over).then_some(ends_ms), true);
    }
    if is_opened {
        let since_ms = case.complete_since_ms.unwrap_or(case.now_ms);
        let pause_ms = since_ms.saturating_add(PAUSE_MS);
        if case.now_ms < pause_ms {
            return wait(Some(pause_ms), true);
        }
    }
    Verdict::Move(RolloutMove::Window {
        threshold: case.members[target - 1].placement.saturating_add(1),
        size: u32::try_from(target).unwrap_or(u32::MAX),
    })
}

fn wait(until_ms: Option<u64>, is_complete: bool) -> Verdict {
    Verdict::Wait {
        until_ms,
        is_complete,
    }
}

fn count(case: &Case<'_>) -> Window {
    let below = |limit: u64| {
        case.members
            .partition_point(|member| member.placement < limit)
    };
    let covered = below(case.threshold);
    let base = below(case.trial.base).min(covered);
    // the words of one agent decide nothing: a small window is judged together with those before it
    let from = base.min(covered.saturating_sub(FIRST_WINDOW));
    let of = |from: usize, stand: Stand| {
        let members = case.members[from..covered].iter();
        members.filter(|member| member.stand == stand).count()
    };
    Window {
        covered,
        own: covered - base,
        members: covered - from,
        confirmed: of(from, Stand::Confirmed),
        waiting: of(from, Stand::Waiting),
        // who was away in an earlier window has given its place away then
        away: of(base, Stand::Away { sent: false }),
    }
}

/// How many agents the next window may cover. Agents that were away all the time leave their places to others,
/// because they did not get the version; those that got it and went silent do not.
fn target(window: &Window, is_over: bool) -> usize {
    let earned = (window.covered * window.confirmed).div_ceil(window.members.max(1));
    let left = match (is_over, window.own) {
        (false, _) => 0,
        (true, 0) => FIRST_WINDOW.saturating_sub(earned),
        (true, _) => window.away,
    };
    (window.covered + earned + left).max(FIRST_WINDOW)
}

#[cfg(test)]
mod tests;
