//! The steps of a change, by hand and at random.

use ampora_raft::ids::ConfigHash;
use proptest::prelude::*;

use super::*;

const TIMEOUT_MS: u64 = 60_000;

fn trial(base: u64, size: u32) -> Trial {
    Trial {
        base,
        size,
        ..Trial::new(ConfigHash([1; 32]))
    }
}

/// Members at the placements 10, 20, 30 and so on.
fn members(stands: &[Stand]) -> Vec<Member> {
    let places = (1..).map(|place| place * 10);
    places
        .zip(stands)
        .map(|(placement, stand)| Member {
            placement,
            stand: *stand,
        })
        .collect()
}

/// What is done about `stands`, of which the first `covered` are below the threshold and the first `done`
/// belong to earlier windows; long after the pause, or after the timeout.
fn judged(stands: &[Stand], done: u64, covered: u64, now_ms: u64) -> Verdict {
    let members = members(stands);
    judge(&Case {
        members: &members,
        threshold: covered * 10 + u64::from(covered > 0),
        trial: &trial(
            done * 10 + u64::from(done > 0),
            u32::try_from(covered).expect("small"),
        ),
        timeout_ms: TIMEOUT_MS,
        since_ms: 0,
        complete_since_ms: Some(0),
        now_ms,
    })
}

fn window(size: u32) -> Verdict {
    Verdict::Move(RolloutMove::Window {
        threshold: u64::from(size) * 10 + 1,
        size,
    })
}

const SOON: u64 = PAUSE_MS;
const WAITS: Stand = Stand::Waiting;
const DONE: Stand = Stand::Confirmed;
const AWAY: Stand = Stand::Away { sent: false };

fn then(parts: &[(Stand, usize)]) -> Vec<Stand> {
    let parts = parts.iter();
    parts
        .flat_map(|(stand, count)| vec![*stand; *count])
        .collect()
}

#[test]
fn ten_come_first_and_it_doubles_when_all_confirm() {
    assert_eq!(judged(&then(&[(WAITS, 400)]), 0, 0, SOON), window(10));
    assert_eq!(judged(&then(&[(WAITS, 4)]), 0, 0, SOON), window(4));
    let confirmed = |n| then(&[(DONE, n), (WAITS, 400 - n)]);
    assert_eq!(judged(&confirmed(10), 0, 10, SOON), window(20));
    assert_eq!(judged(&confirmed(20), 10, 20, SOON), window(40));
    assert_eq!(judged(&confirmed(320), 160, 320, SOON), window(400));
    let all = judged(&then(&[(DONE, 400)]), 320, 400, SOON);
    assert_eq!(all, Verdict::Move(RolloutMove::Settle));
}

#[test]
fn nobody_comes_while_one_is_waited_for_or_the_window_is_fresh() {
    let one_waits = then(&[(DONE, 9), (WAITS, 391)]);
    let waits = Verdict::Wait {
        until_ms: Some(TIMEOUT_MS),
        is_complete: false,
    };
    assert_eq!(judged(&one_waits, 0, 10, SOON), waits);
    let fresh = judged(&then(&[(DONE, 10), (WAITS, 390)]), 0, 10, SOON - 1);
    let pause = Verdict::Wait {
        until_ms: Some(PAUSE_MS),
        is_complete: true,
    };
    assert_eq!(fresh, pause);
}

#[test]
fn silence_widens_nothing_and_absence_gives_places_away() {
    let silent = judged(&then(&[(WAITS, 400)]), 0, 10, TIMEOUT_MS);
    assert!(matches!(silent, Verdict::Wait { until_ms: None, .. }));
    let half = then(&[(DONE, 5), (WAITS, 395)]);
    assert_eq!(judged(&half, 0, 10, TIMEOUT_MS), window(15));
    let died = then(&[(Stand::Away { sent: true }, 10), (WAITS, 390)]);
    assert!(matches!(
        judged(&died, 0, 10, TIMEOUT_MS),
        Verdict::Wait { .. }
    ));
    let absent = then(&[(AWAY, 10), (WAITS, 390)]);
    assert!(matches!(judged(&absent, 0, 10, SOON), Verdict::Wait { .. }));
    assert_eq!(judged(&absent, 0, 10, TIMEOUT_MS), window(20));
}

#[test]
fn one_agent_stops_nothing_where_those_before_it_confirmed() {
    // nine of the first ten were away, and their places were given away: the second window is of one agent
    let fails = then(&[(DONE, 10), (Stand::Failed, 1), (WAITS, 389)]);
    assert_eq!(judged(&fails, 10, 11, SOON), window(21));
    let alone = then(&[(Stand::Failed, 10), (DONE, 1), (WAITS, 389)]);
    assert_eq!(judged(&alone, 10, 11, SOON), window(13));
    let breaks = then(&[(AWAY, 10), (Stand::Failed, 1), (WAITS, 389)]);
    let stands = judged(&breaks, 10, 11, TIMEOUT_MS);
    assert!(matches!(stands, Verdict::Wait { .. }));
}

#[test]
fn what_nobody_runs_is_not_settled() {
    for stand in [AWAY, Stand::Failed, WAITS] {
        let verdict = judged(&[stand; 3], 0, 3, TIMEOUT_MS);
        assert!(matches!(verdict, Verdict::Wait { .. }), "{stand:?}");
    }
    assert!(matches!(judged(&[], 0, 0, SOON), Verdict::Wait { .. }));
    let mixed = judged(&[DONE, AWAY, Stand::Failed], 0, 3, 0);
    assert_eq!(mixed, Verdict::Move(RolloutMove::Settle));
}

fn stand() -> impl Strategy<Value = Stand> {
    prop_oneof![
        Just(Stand::Confirmed),
        Just(Stand::Failed),
        Just(Stand::Waiting),
        any::<bool>().prop_map(|sent| Stand::Away { sent }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever members do: a window covers exactly the first of them, never more than twice as many as
    /// before (or ten), never while one is waited for in time, and never without a reason.
    #[test]
    fn a_window_is_earned(
        stands in prop::collection::vec(stand(), 0..120),
        (done, covered) in (0..60_u64, 0..80_u64),
        now_ms in prop_oneof![0..5_000_u64, TIMEOUT_MS..TIMEOUT_MS + 10],
    ) {
        let done = done.min(covered);
        let verdict = judged(&stands, done, covered, now_ms);
        let reached = stands.len().min(usize::try_from(covered).expect("small"));
        let base = usize::try_from(done).expect("small").min(reached);
        let (own, window) = (&stands[base..reached], &stands[base.min(reached.saturating_sub(FIRST_WINDOW))..reached]);
        let has = |stand| window.contains(&stand);
        match verdict {
            Verdict::Move(RolloutMove::Window { threshold, size }) => {
                let size = size as usize;
                let below = members(&stands).iter().filter(|member| member.placement < threshold).count();
                prop_assert_eq!(below, size);
                prop_assert!(size > reached && size <= (2 * reached).max(FIRST_WINDOW + reached * usize::from(own.is_empty())));
                prop_assert!(now_ms >= TIMEOUT_MS || !has(Stand::Waiting));
                let left = own.contains(&AWAY) || own.is_empty();
                let earned = has(Stand::Confirmed) || now_ms >= TIMEOUT_MS && left;
                prop_assert!(earned || reached < FIRST_WINDOW, "{:?}", window);
            }
            Verdict::Move(RolloutMove::Settle) => {
                prop_assert_eq!(reached, stands.len());
                prop_assert!(stands.contains(&Stand::Confirmed));
                prop_assert!(now_ms >= TIMEOUT_MS || !has(Stand::Waiting));
            }
            Verdict::Wait { until_ms, .. } => prop_assert!(until_ms.is_none_or(|until| until > now_ms)),
        }
    }
}
