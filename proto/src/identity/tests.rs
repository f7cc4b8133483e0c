//! Aliases, and every row of the table of verdicts.

use proptest::prelude::*;

use super::*;

const A: ConnectionKey = ConnectionKey(1);
const B: ConnectionKey = ConnectionKey(2);
const C: ConnectionKey = ConnectionKey(3);
const RED: Option<u64> = Some(100);
const BLUE: Option<u64> = Some(200);

fn uid(number: u128) -> InstanceUid {
    InstanceUid::from_u128(number)
}

/// A message of an agent that goes on with its sequence.
fn goes_on(connection: ConnectionKey, fingerprint: Option<u64>) -> Sender {
    Sender {
        connection,
        fingerprint,
        sequence_broken: false,
    }
}

/// A message that does not fit to the last one of this uid.
fn breaks(connection: ConnectionKey, fingerprint: Option<u64>) -> Sender {
    Sender {
        connection,
        fingerprint,
        sequence_broken: true,
    }
}

fn check(holder: &mut Holder, steps: &[(u64, Sender, Verdict)]) {
    for (number, (at_ms, sender, expected)) in steps.iter().enumerate() {
        assert_eq!(holder.message(*sender, *at_ms), *expected, "step {number}");
    }
}

/// C-065, C-066.
#[test]
fn fresh_uids_are_version_seven_of_their_time() {
    let made = uuid_v7(0x0123_4567_89AB, [0xFF; 10]);
    assert_eq!(made.get_version_num(), 7);
    assert_eq!(made.get_variant(), uuid::Variant::RFC4122);
    assert_eq!(made.as_bytes()[..6], [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB]);
}

/// C-068, C-070.
#[test]
fn a_repeated_request_gets_the_same_uid_and_the_old_one_leads_to_it() {
    let mut aliases = Aliases::default();
    assert_eq!(aliases.resolve(A, uid(1), 0), None);
    assert_eq!(aliases.issue(&[Scope::Anywhere], uid(1), uid(7), 0), uid(7));
    assert_eq!(aliases.issue(&[Scope::Anywhere], uid(1), uid(8), 1), uid(7));
    assert_eq!(aliases.resolve(B, uid(1), 2), Some(uid(7)));
    assert_eq!(aliases.resolve(B, uid(2), 2), None);
}

#[test]
fn an_alias_lives_ten_minutes_from_its_last_use() {
    let mut aliases = Aliases::default();
    aliases.issue(&[Scope::Anywhere], uid(1), uid(7), 0);
    assert_eq!(aliases.resolve(A, uid(1), ALIAS_MS - 1), Some(uid(7)));
    assert_eq!(aliases.resolve(A, uid(1), 2 * ALIAS_MS - 2), Some(uid(7)));
    assert_eq!(aliases.resolve(A, uid(1), 3 * ALIAS_MS - 2), None);
    assert!(aliases.is_empty());
}

#[test]
fn an_alias_of_a_connection_goes_with_it_but_its_description_is_known_again() {
    let mut aliases = Aliases::default();
    let scopes = [Scope::Connection(B), Scope::Description(200)];
    aliases.issue(&scopes, uid(1), uid(7), 0);
    assert_eq!(aliases.resolve(A, uid(1), 0), None);
    assert_eq!(aliases.resolve(B, uid(1), 0), Some(uid(7)));
    aliases.connection_gone(B);
    assert_eq!(aliases.resolve(B, uid(1), 0), None);
    assert_eq!(
        aliases.issue(
            &[Scope::Connection(C), Scope::Description(200)],
            uid(1),
            uid(9),
            0
        ),
        uid(7)
    );
    assert_eq!(aliases.resolve(C, uid(1), 0), Some(uid(7)));
}

#[test]
fn the_alias_unused_longest_leaves_first() {
    let mut aliases = Aliases::with_limit(2);
    aliases.issue(&[Scope::Anywhere], uid(1), uid(11), 0);
    aliases.issue(&[Scope::Anywhere], uid(2), uid(12), 1);
    aliases.resolve(A, uid(1), 2);
    aliases.issue(&[Scope::Anywhere], uid(3), uid(13), 3);
    let left: Vec<_> = (1..=3)
        .map(|n| aliases.resolve(A, uid(n), 4).is_some())
        .collect();
    assert_eq!((aliases.len(), left), (2, vec![true, false, true]));
}

/// C-272 and the contract: a half-open reconnect never costs the uid.
#[test]
fn a_reconnect_takes_over_and_a_silent_old_socket_proves_nothing() {
    let mut holder = Holder::default();
    check(
        &mut holder,
        &[
            (0, breaks(A, RED), Verdict::Serve),
            (9, goes_on(A, None), Verdict::Serve),
            (10, goes_on(B, None), Verdict::TakeOver { displaced: A }),
            (20, goes_on(C, RED), Verdict::TakeOver { displaced: B }),
            (99_000, breaks(A, None), Verdict::TakeOver { displaced: C }),
        ],
    );
}

/// C-273, C-274: two descriptions, one uid.
#[test]
fn a_live_first_holder_with_another_description_keeps_the_uid() {
    let mut holder = Holder::default();
    let kept = Verdict::Keep {
        newcomer: B,
        fingerprint: BLUE,
    };
    check(
        &mut holder,
        &[
            (0, breaks(A, RED), Verdict::Serve),
            (10, breaks(B, BLUE), Verdict::TakeOver { displaced: A }),
            (11, breaks(A, None), kept),
            (12, goes_on(A, None), Verdict::Serve),
            // The newcomer comes back before it has taken its new uid, on whatever connection.
            (
                500_000,
                breaks(C, BLUE),
                Verdict::NewUid { fingerprint: 200 },
            ),
            (500_001, goes_on(A, RED), Verdict::Serve),
        ],
    );
    assert_eq!(holder.connection(), Some(A));
}

/// The first holder's socket was closed, and it came back on another.
#[test]
fn the_first_holder_is_known_by_its_description_on_another_connection() {
    let mut holder = Holder::default();
    check(
        &mut holder,
        &[
            (0, breaks(A, RED), Verdict::Serve),
            (10, breaks(B, BLUE), Verdict::TakeOver { displaced: A }),
            (
                20,
                breaks(C, RED),
                Verdict::Keep {
                    newcomer: B,
                    fingerprint: BLUE,
                },
            ),
        ],
    );
}

/// A copied machine: one description, two live sockets.
#[test]
fn the_second_sign_of_life_within_a_minute_decides_between_equals() {
    let mut holder = Holder::default();
    let kept = Verdict::Keep {
        newcomer: B,
        fingerprint: None,
    };
    check(
        &mut holder,
        &[
            (0, breaks(A, RED), Verdict::Serve),
            (10_000, breaks(B, RED), Verdict::TakeOver { displaced: A }),
            (10_999, breaks(A, None), Verdict::Bystander),
            (11_000, breaks(A, None), Verdict::Bystander),
            (69_999, breaks(A, None), kept),
        ],
    );
}

#[test]
fn two_signs_further_apart_than_a_minute_decide_nothing() {
    let mut holder = Holder::default();
    check(
        &mut holder,
        &[
            (0, breaks(A, RED), Verdict::Serve),
            (10_000, breaks(B, RED), Verdict::TakeOver { displaced: A }),
            (60_000, breaks(A, None), Verdict::Bystander),
            (70_000, breaks(A, None), Verdict::TakeOver { displaced: B }),
        ],
    );
}

#[test]
fn pongs_count_like_messages_and_only_on_the_displaced_socket() {
    let mut holder = Holder::default();
    check(
        &mut holder,
        &[
            (0, breaks(A, RED), Verdict::Serve),
            (10_000, breaks(B, None), Verdict::TakeOver { displaced: A }),
        ],
    );
    assert_eq!(holder.pong(B, 20_000), None);
    assert_eq!(holder.pong(C, 20_000), None);
    assert_eq!(holder.pong(A, 20_000), None);
    assert_eq!(
        holder.pong(A, 50_000),
        Some(Verdict::Keep {
            newcomer: B,
            fingerprint: None
        })
    );
}

#[test]
fn once_contested_the_uid_moves_at_most_every_five_seconds() {
    let mut holder = Holder::default();
    check(
        &mut holder,
        &[
            (0, breaks(A, RED), Verdict::Serve),
            (10_000, breaks(B, RED), Verdict::TakeOver { displaced: A }),
            (11_000, breaks(A, None), Verdict::Bystander),
            (14_999, breaks(C, None), Verdict::Bystander),
            (15_000, breaks(C, None), Verdict::TakeOver { displaced: B }),
        ],
    );
}

/// C-266.
#[test]
fn nothing_is_taken_from_a_connection_that_is_gone() {
    let mut holder = Holder::default();
    check(&mut holder, &[(0, breaks(A, RED), Verdict::Serve)]);
    holder.connection_gone(A);
    check(&mut holder, &[(1, breaks(B, BLUE), Verdict::Serve)]);
    holder.connection_gone(A);
    assert_eq!(holder.connection(), Some(B));
}

/// C-276: over HTTP all polls of a uid have one key.
#[test]
fn over_http_a_description_that_flips_back_turns_the_newcomer_away() {
    let mut holder = Holder::default();
    check(
        &mut holder,
        &[
            (0, breaks(A, RED), Verdict::Serve),
            (10_000, breaks(A, BLUE), Verdict::Serve),
            (20_000, breaks(A, None), Verdict::Serve),
            (20_001, breaks(A, RED), Verdict::Serve),
            (
                30_000,
                breaks(A, BLUE),
                Verdict::NewUid { fingerprint: 200 },
            ),
            (
                31_000,
                breaks(A, BLUE),
                Verdict::NewUid { fingerprint: 200 },
            ),
            (40_000, goes_on(A, RED), Verdict::Serve),
        ],
    );
}

#[test]
fn a_description_may_change_as_often_as_it_likes_while_the_sequence_goes_on() {
    let mut holder = Holder::default();
    check(&mut holder, &[(0, breaks(A, RED), Verdict::Serve)]);
    for (step, fingerprint) in [BLUE, RED, BLUE, RED].into_iter().enumerate() {
        let now_ms = u64::try_from(step).unwrap();
        assert_eq!(
            holder.message(goes_on(A, fingerprint), now_ms),
            Verdict::Serve
        );
    }
}

#[test]
fn a_restart_with_another_description_is_no_contest() {
    let mut holder = Holder::default();
    check(
        &mut holder,
        &[
            (0, breaks(A, RED), Verdict::Serve),
            (10_000, breaks(A, BLUE), Verdict::Serve),
            (70_000, breaks(A, RED), Verdict::Serve),
            (80_000, goes_on(A, RED), Verdict::Serve),
            (90_000, goes_on(A, BLUE), Verdict::Serve),
        ],
    );
}

proptest! {
    /// Half-open reconnects of one agent, however many: nobody gets a new uid while old sockets are silent.
    #[test]
    fn one_agent_alone_never_loses_its_uid(steps in prop::collection::vec((0_u64..100_000, any::<bool>(), any::<bool>()), 1..40)) {
        let mut holder = Holder::default();
        let (mut now_ms, mut key) = (0, 0);
        for (pause_ms, reconnects, described) in steps {
            now_ms += pause_ms;
            key += u64::from(reconnects);
            let fingerprint = if described { RED } else { None };
            let sender = Sender { connection: ConnectionKey(key), fingerprint, sequence_broken: pause_ms % 3 == 0 };
            let verdict = holder.message(sender, now_ms);
            prop_assert!(matches!(verdict, Verdict::Serve | Verdict::TakeOver { .. }), "{:?}", verdict);
        }
    }

    #[test]
    fn aliases_stay_within_their_limit(steps in prop::collection::vec((0_u64..200_000, 0_u64..4, 0_u128..9), 1..80)) {
        let mut aliases = Aliases::with_limit(5);
        let mut now_ms = 0;
        for (pause_ms, key, old) in steps {
            now_ms += pause_ms;
            let scopes = [Scope::Connection(ConnectionKey(key)), Scope::Anywhere];
            let new = aliases.issue(&scopes[..1 + usize::from(key % 2 == 0)], uid(old), uid(now_ms.into()), now_ms);
            prop_assert_eq!(aliases.resolve(ConnectionKey(key), uid(old), now_ms), Some(new));
            prop_assert!(aliases.len() <= 5 && aliases.by_use.len() == aliases.len());
        }
    }
}
