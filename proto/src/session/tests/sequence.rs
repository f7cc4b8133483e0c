//! Group I: sequence numbers, repetitions, and asking for the full state.

use super::*;

fn known(last_sequence: Option<u64>) -> Known {
    Known {
        known: true,
        last_sequence,
        capabilities: BITS,
        has_description: true,
        ..Known::default()
    }
}

/// C-094.
#[test]
fn a_gap_is_flagged() {
    let mut dialogue = Dialogue::introduced();
    assert_eq!(dialogue.hears(beat(1)), ACK);
    assert_eq!(dialogue.hears(beat(3)), FULL_STATE);
    assert_eq!(dialogue.events, [Event::GapSeen, Event::FullStateRequested]);
    assert_eq!(dialogue.hears(full(4)), ACK);
    assert_eq!(dialogue.hears(beat(2)), FULL_STATE, "backwards");
    assert_eq!(dialogue.hears(full(3)), ACK);
    assert_eq!(
        dialogue.hears(beat(3)),
        FULL_STATE,
        "the same number, other bytes"
    );
}

/// C-094: 2^64−1 → 0.
#[test]
fn the_numbers_do_not_wrap_around() {
    let mut dialogue = Dialogue::with(&known(Some(u64::MAX - 1)));
    assert_eq!(dialogue.hears(beat(u64::MAX)), ACK);
    assert_eq!(dialogue.hears(beat(0)), FULL_STATE);
    assert_eq!(dialogue.events, [Event::GapSeen, Event::FullStateRequested]);
}

/// C-098, C-099.
#[test]
fn a_gap_is_flagged_once() {
    let mut dialogue = Dialogue::introduced();
    assert_eq!(dialogue.hears(beat(5)), FULL_STATE);
    assert_eq!(dialogue.hears(beat(6)), ACK);
    assert_eq!(dialogue.hears(beat(7)), ACK);
    assert_eq!(dialogue.hears(full(8)), ACK);
    dialogue.now_ms += FULL_STATE_MAX_MS;
    assert_eq!(dialogue.hears(beat(9)), ACK);
}

/// C-100, and the livelock of §3.2: an agent that cannot answer is asked ever more rarely.
#[test]
fn an_unanswered_request_is_repeated_after_waits_that_double() {
    let mut dialogue = Dialogue::introduced();
    assert_eq!(dialogue.hears(beat(2)), FULL_STATE);
    let mut number = 2;
    for wait_s in [5, 10, 20, 40, 80, 160, 320, 600, 600] {
        dialogue.now_ms += wait_s * 1_000 - 1;
        number += 1;
        assert_eq!(dialogue.hears(beat(number)), ACK, "before {wait_s} s");
        dialogue.now_ms += 1;
        number += 1;
        assert_eq!(dialogue.hears(beat(number)), FULL_STATE, "after {wait_s} s");
    }
    assert_eq!(dialogue.hears(full(number + 1)), ACK);
    assert_eq!(
        dialogue.hears(beat(number + 3)),
        FULL_STATE,
        "answered, so the next gap counts at once"
    );
}

/// §3.9 and §4: a client whose every message is a gap is not asked in each reply.
#[test]
fn a_client_that_never_counts_is_not_asked_in_every_reply() {
    let mut dialogue = Dialogue::introduced();
    let flagged = (0..20).filter(|step: &u64| {
        dialogue.now_ms += 100;
        dialogue.hears(described(1).health(step.is_multiple_of(2))) == FULL_STATE
    });
    assert_eq!(flagged.count(), 1);
}

/// C-096.
#[test]
fn a_gap_that_brings_everything_is_not_flagged() {
    let mut dialogue = Dialogue::introduced();
    assert_eq!(dialogue.hears(full(9)), ACK);
    assert_eq!(dialogue.events, [Event::GapSeen]);
    assert_eq!(
        dialogue.hears(described(19)),
        FULL_STATE,
        "health and status are missing"
    );
}

/// C-113.
#[test]
fn only_announced_parts_are_missed() {
    let mut dialogue = Dialogue::introduced();
    assert_eq!(dialogue.hears(described(9).bits(0x1)), ACK);
    assert_eq!(dialogue.hears(described(19).bits(0x5)), FULL_STATE);
    let mut effective = described(29).bits(0x5);
    effective.0.effective_config = Some(wire::EffectiveConfig::default());
    assert_eq!(dialogue.hears(effective), ACK);
}

/// C-097.
#[test]
fn a_restart_is_accepted_without_a_flag() {
    let mut dialogue = Dialogue::introduced();
    assert_eq!(dialogue.hears(beat(1)), ACK);
    assert_eq!(dialogue.hears(described(0)), ACK);
    assert_eq!(dialogue.events, []);
    assert!(dialogue.report.is_some());
    assert_eq!(dialogue.hears(beat(1)), ACK);
}

/// C-095.
#[test]
fn a_stranger_is_asked_unless_it_introduces_itself() {
    assert_eq!(Dialogue::with_stranger().hears(beat(57)), FULL_STATE);
    assert_eq!(Dialogue::with_stranger().hears(beat(0)), FULL_STATE);
    assert_eq!(Dialogue::with_stranger().hears(described(1)), FULL_STATE);
    assert_eq!(Dialogue::with_stranger().hears(described(0)), ACK);
    assert_eq!(Dialogue::with_stranger().hears(full(57)), ACK);
}

/// C-101, C-102: after a clean end the number is known, after a crash it is adopted and the agent asked.
#[test]
fn a_known_agent_goes_on_where_it_was() {
    assert_eq!(Dialogue::with(&known(Some(7))).hears(beat(8)), ACK);
    assert_eq!(Dialogue::with(&known(Some(7))).hears(beat(9)), FULL_STATE);
    let mut adopted = Dialogue::with(&known(None));
    assert_eq!(adopted.hears(beat(9)), FULL_STATE);
    assert_eq!(
        adopted.events,
        [Event::FullStateRequested],
        "nothing to compare with is no gap"
    );
    assert_eq!(adopted.hears(beat(10)), ACK);
    assert_eq!(Dialogue::with(&known(None)).hears(full(9)), ACK);
    assert_eq!(Dialogue::with(&known(None)).hears(described(0)), ACK);
}

#[test]
fn a_record_without_a_description_is_completed() {
    let mut dialogue = Dialogue::with(&Known {
        has_description: false,
        ..known(Some(7))
    });
    assert_eq!(dialogue.hears(beat(8)), FULL_STATE);
    assert_eq!(dialogue.hears(described(9)), ACK);
}

/// C-310: what the budget refuses is asked for at a later message.
#[test]
fn a_refused_request_is_made_later() {
    let mut dialogue = Dialogue::introduced();
    dialogue.full_state_allowed = false;
    assert_eq!(dialogue.hears(beat(5)), ACK);
    assert_eq!(dialogue.hears(beat(6)), ACK);
    dialogue.full_state_allowed = true;
    assert_eq!(dialogue.hears(beat(7)), FULL_STATE);
}

#[test]
fn the_server_may_ask_because_it_lost_a_body() {
    let mut dialogue = Dialogue::introduced();
    dialogue.session.request_full_state();
    assert_eq!(dialogue.hears(beat(1)), FULL_STATE);
    assert_eq!(dialogue.hears(full(2)), ACK);
}

/// C-295, C-296, C-083.
#[test]
fn a_repetition_is_answered_and_has_no_effects() {
    let mut dialogue = Dialogue::introduced();
    let mut says = beat(1).health(false);
    says.0.custom_message = Some(wire::CustomMessage::default());
    assert_eq!(dialogue.hears(says.clone()), ACK);
    assert!(dialogue.report.is_some());
    for _ in 0..3 {
        assert_eq!(dialogue.hears(says.clone()), ACK);
        assert_eq!(
            (dialogue.report.take(), dialogue.events.as_slice()),
            (None, [].as_slice())
        );
    }
    assert_eq!(dialogue.hears(beat(2)), ACK);
}

/// C-103: older clients repeat everything but health on a reconnect, with a sequence that goes on.
#[test]
fn a_full_report_in_order_is_no_gap() {
    let mut dialogue = Dialogue::introduced();
    dialogue.reconnects();
    assert_eq!(dialogue.hears(described(1)), ACK);
    assert!(dialogue.report.is_some());
}

/// C-310: agents that heartbeat in phase are not waited for.
#[test]
fn what_could_not_be_asked_for_is_pushed_once() {
    let mut dialogue = Dialogue::introduced();
    dialogue.full_state_allowed = false;
    assert_eq!(dialogue.hears(beat(5)), ACK);
    let now_ms = dialogue.now_ms;
    assert!(!dialogue.session.push_full_state(now_ms, &mut || false));
    assert_eq!(dialogue.pushed(), None);
    assert!(dialogue.session.push_full_state(now_ms, &mut || true));
    assert_eq!(dialogue.pushed(), Some(FULL_STATE));
    assert!(!dialogue.session.push_full_state(now_ms, &mut || true));
    assert_eq!(dialogue.pushed(), None);
    assert_eq!(dialogue.hears(full(6)), ACK);
}

#[test]
fn a_push_is_needless_once_the_agent_has_said_everything_or_has_gone() {
    let mut dialogue = Dialogue::introduced();
    dialogue.full_state_allowed = false;
    assert_eq!(dialogue.hears(beat(5)), ACK);
    let now_ms = dialogue.now_ms;
    assert!(dialogue.session.push_full_state(now_ms, &mut || true));
    assert_eq!(dialogue.hears(full(6)), ACK);
    assert_eq!(dialogue.pushed(), None);
    assert_eq!(dialogue.hears(beat(9)), ACK);
    assert!(dialogue.session.push_full_state(now_ms, &mut || true));
    dialogue.reconnects();
    assert_eq!(dialogue.pushed(), None);
    assert!(!dialogue.session.push_full_state(now_ms, &mut || true));
}
