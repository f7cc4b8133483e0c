//! Which check is meant to find which bug on purpose: any violation shows that something is wrong, and only the one that
//! was meant shows that the check looks at what it says.

use ampora_raft::planted::Bug;

/// The invariants of which one has to find the bug. Two where luck decides which of them sees it first.
pub fn meant(bug: Bug) -> &'static [&'static str] {
    match bug {
        Bug::WallClock | Bug::FullTtl | Bug::MonotonicTime => &["no_early_expiry"],
        Bug::AckBeforeFlush | Bug::PurgeBeyondRows => &["acked_survives"],
        Bug::FenceIgnored => &["one_owner", "one_holder"],
        Bug::RestartBeforeMark => &["terminal_once"],
        Bug::ReportsOutOfOrder => &["reports_in_order"],
        Bug::LocalReads | Bug::RevisionIgnored => &["reads_linearizable"],
        Bug::NoSlowStart => &["bad_change_contained"],
        Bug::ReplaySkips => &["replicas_agree"],
        Bug::ActsPastLease => &["one_owner"],
        Bug::HolderSure => &["one_holder"],
        Bug::DeadUnfinished | Bug::AgentForgotten => &["liveness"],
        Bug::LogKept => &["bounded"],
    }
}

/// Whether a run that reported these violations, one a line, has found the bug as it was meant.
pub fn is_found(bug: Bug, violations: &str) -> bool {
    let lines = violations.lines();
    let names = lines.filter_map(|line| line.split(": ").nth(1));
    names.into_iter().any(|name| meant(bug).contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every invariant of the simulation has a bug that it alone is meant to find.
    #[test]
    fn every_check_has_a_bug_of_its_own() {
        for name in [
            "replicas_agree",
            "acked_survives",
            "one_owner",
            "one_holder",
            "terminal_once",
            "no_early_expiry",
            "reads_linearizable",
            "bounded",
            "liveness",
            "reports_in_order",
            "bad_change_contained",
        ] {
            let mut bugs = Bug::ALL.iter();
            assert!(bugs.any(|(bug, _)| meant(*bug) == [name]), "{name}");
        }
    }

    #[test]
    fn another_violation_is_not_what_was_meant() {
        let bug = Bug::AckBeforeFlush;
        assert!(is_found(bug, "seed 3: acked_survives: entry 7\n"));
        assert!(is_found(
            bug,
            "seed 3: starts: x\nseed 3: acked_survives: y\n"
        ));
        assert!(!is_found(bug, "seed 3: log: acked_survives: no\n"));
    }
}
