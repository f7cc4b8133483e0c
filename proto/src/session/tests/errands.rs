//! Group R and the dispatches of restart and push: sent how often, judged by what.

use super::*;

const ONE: Token = Token(1);
const TWO: Token = Token(2);

/// C-239.
#[test]
fn an_agent_without_the_bit_gets_no_command() {
    let mut dialogue = Dialogue::with_stranger();
    dialogue.hears(full(0).bits(0x1));
    assert_eq!(dialogue.session.restart(ONE), Err(Refused::Unsupported));
    assert_eq!(dialogue.session.push_config(ONE), Err(Refused::Unsupported));
    assert_eq!(
        Dialogue::introduced().session.push_config(ONE),
        Err(Refused::NothingDesired)
    );
}

/// Nothing will ever be offered that such a push could leave with.
#[test]
fn a_waiting_push_ends_when_nothing_is_assigned_any_more() {
    let mut dialogue = Dialogue::introduced();
    dialogue.session.set_desired(Some(A));
    dialogue.session.push_config(ONE).unwrap();
    dialogue.session.set_desired(None);
    assert_eq!(dialogue.session.poll_timeout(), Some(0));
    assert_eq!(
        dialogue.session.handle_timeout(0),
        [Event::PushUnassigned(ONE)]
    );
    assert!(dialogue.session.is_idle());
}

/// It left, was not written, and waits again: for nothing.
#[test]
fn a_lost_push_of_what_is_not_assigned_any_more_ends_with_its_connection() {
    let mut dialogue = Dialogue::introduced();
    dialogue.delivers = false;
    dialogue.session.set_desired(Some(A));
    dialogue.session.push_config(ONE).unwrap();
    assert_eq!(dialogue.pushed(), Some(offer(A)));
    dialogue.session.set_desired(None);
    assert_eq!(dialogue.session.handle_timeout(0), []);
    dialogue.session.connection_lost(dialogue.connection);
    assert_eq!(
        dialogue.session.handle_timeout(0),
        [Event::PushUnassigned(ONE)]
    );
}

/// C-240: two messages, the command alone; C-242: each once.
#[test]
fn commands_are_pushed_in_order_apart_from_the_offer() {
    let mut dialogue = Dialogue::introduced();
    dialogue.session.restart(ONE).unwrap();
    dialogue.session.restart(TWO).unwrap();
    dialogue.session.set_desired(Some(A));
    assert_eq!(
        dialogue.session.next_push(0).map(|first| first.marks),
        Some(vec![ONE])
    );
    assert_eq!(
        dialogue.session.next_push(0).map(|second| second.marks),
        Some(vec![TWO])
    );
    assert_eq!(dialogue.pushed(), Some(offer(A)));
    assert_eq!(dialogue.pushed(), None);
}

/// Over WebSocket the reply is an ack or an offer, never the command.
#[test]
fn a_reply_over_websocket_leaves_the_command_to_a_push() {
    let mut dialogue = Dialogue::introduced();
    dialogue.session.restart(ONE).unwrap();
    dialogue.session.set_desired(Some(A));
    assert_eq!(dialogue.hears(beat(1)), offer(A));
    assert_eq!(dialogue.pushed(), Some(RESTART));
    assert_eq!(dialogue.pushed(), None);
}

/// C-241, C-242: not even to a repetition of the message that was answered with it.
#[test]
fn over_http_a_command_takes_the_reply_and_the_offer_waits() {
    let mut dialogue = Dialogue::introduced();
    dialogue.transport = Transport::Http;
    dialogue.session.restart(ONE).unwrap();
    dialogue.session.set_desired(Some(A));
    assert_eq!(dialogue.hears(beat(3)), RESTART, "the flag waits too");
    assert_eq!(
        dialogue.hears(beat(3)),
        Reply {
            offer: Some(A),
            ..FULL_STATE
        }
    );
    assert_eq!(dialogue.hears(full(4)), ACK);
}

/// C-242: lost or not, it does not come again.
#[test]
fn a_restart_that_left_is_never_sent_again() {
    let mut dialogue = Dialogue::introduced();
    dialogue.delivers = false;
    dialogue.session.restart(ONE).unwrap();
    assert_eq!(dialogue.pushed(), Some(RESTART));
    dialogue.reconnects();
    assert_eq!(dialogue.hears(beat(1)), ACK);
    assert_eq!(
        dialogue.events,
        [Event::RestartUnconfirmed(ONE)],
        "not written whole: nobody knows"
    );
    assert_eq!(dialogue.pushed(), None);
}

#[test]
fn a_restart_waits_for_ownership_and_connection() {
    let mut dialogue = Dialogue::introduced();
    dialogue.session.restart(ONE).unwrap();
    dialogue.session.set_owned(false);
    assert_eq!(dialogue.pushed(), None);
    dialogue.session.set_owned(true);
    dialogue.session.connection_lost(dialogue.connection);
    assert_eq!(dialogue.pushed(), None);
    assert!(!dialogue.session.can_drop());
    assert_eq!(dialogue.hears(beat(1)), ACK);
    assert_eq!(dialogue.pushed(), Some(RESTART));
}

fn restarted() -> Dialogue {
    let mut dialogue = Dialogue::introduced();
    dialogue.session.restart(ONE).unwrap();
    assert_eq!(dialogue.pushed(), Some(RESTART));
    dialogue
}

/// C-243.
#[test]
fn health_that_dips_confirms_a_restart() {
    let mut dialogue = restarted();
    dialogue.hears(beat(1).health(true));
    assert_eq!(dialogue.events, [], "healthy all along proves nothing");
    dialogue.hears(beat(2).health(false));
    assert_eq!(dialogue.events, []);
    dialogue.hears(beat(3).health(true));
    assert_eq!(dialogue.events, [Event::RestartConfirmed(ONE)]);
    assert!(dialogue.session.is_idle());
}

/// C-243.
#[test]
fn a_new_connection_or_sequence_confirms_a_restart() {
    let mut dialogue = restarted();
    dialogue.reconnects();
    dialogue.hears(beat(1));
    assert_eq!(dialogue.events, [Event::RestartConfirmed(ONE)]);

    let mut dialogue = restarted();
    dialogue.hears(full(0).health(false));
    assert_eq!(dialogue.events, [Event::RestartConfirmed(ONE)]);
}

#[test]
fn a_restart_that_does_not_show_in_two_minutes_is_unconfirmed() {
    let mut dialogue = restarted();
    assert_eq!(
        dialogue.session.poll_timeout(),
        Some(dialogue.now_ms + RESTART_CONFIRM_MS)
    );
    assert_eq!(dialogue.passes(RESTART_CONFIRM_MS - 1), []);
    assert_eq!(dialogue.passes(1), [Event::RestartUnconfirmed(ONE)]);
    assert_eq!(dialogue.session.poll_timeout(), None);
    dialogue.reconnects();
    dialogue.hears(beat(1));
    assert_eq!(dialogue.events, [], "once");
}

#[test]
fn the_mailbox_is_bounded_and_what_waits_can_be_taken_back() {
    let mut dialogue = Dialogue::introduced();
    dialogue.session.set_desired(Some(A));
    for number in 0..16 {
        dialogue.session.restart(Token(number)).unwrap();
        dialogue.session.push_config(Token(100 + number)).unwrap();
    }
    assert_eq!(
        dialogue.session.restart(Token(16)),
        Err(Refused::MailboxFull)
    );
    assert_eq!(
        dialogue.session.push_config(Token(116)),
        Err(Refused::MailboxFull)
    );
    assert_eq!(dialogue.pushed(), Some(RESTART));
    assert_eq!(
        dialogue.session.restart(Token(16)),
        Err(Refused::MailboxFull),
        "watched ones count"
    );
    assert!(!dialogue.session.cancel(Token(0)), "it has left");
    assert!(dialogue.session.cancel(Token(1)));
    assert_eq!(dialogue.session.restart(Token(16)), Ok(()));
}

/// C-244.
#[test]
fn a_capability_given_up_returns_what_waits_for_it() {
    let mut dialogue = Dialogue::introduced();
    dialogue.transport = Transport::Http;
    dialogue.session.set_desired(Some(A));
    dialogue.session.restart(ONE).unwrap();
    dialogue.session.push_config(TWO).unwrap();
    assert_eq!(dialogue.hears(beat(1).bits(0x1)), ACK);
    assert_eq!(
        dialogue.events,
        [Event::Unsupported(ONE), Event::Unsupported(TWO)]
    );
}

/// C-131: the operator's retry.
#[test]
fn a_push_offers_what_is_in_use_or_failed() {
    for status in [APPLIED, FAILED] {
        let mut dialogue = Dialogue::with_stranger();
        dialogue.session.set_desired(Some(A));
        assert_eq!(dialogue.hears(full(0).status(&A, status)), ACK);
        dialogue.session.push_config(ONE).unwrap();
        dialogue.session.push_config(TWO).unwrap();
        let pushed = dialogue.session.next_push(dialogue.now_ms).unwrap();
        assert_eq!(
            (pushed.offer, pushed.marks.as_slice()),
            (Some(A), [ONE, TWO].as_slice())
        );
        assert_eq!(dialogue.pushed(), None);
    }
}

fn pushed_with(bits: u64) -> Dialogue {
    let mut dialogue = Dialogue::with_stranger();
    dialogue.session.set_desired(Some(A));
    dialogue.hears(full(0).bits(bits).status(&A, APPLIED));
    dialogue.session.push_config(ONE).unwrap();
    assert_eq!(dialogue.pushed(), Some(offer(A)));
    dialogue
}

#[test]
fn a_push_has_succeeded_when_the_hash_is_still_in_use_a_minute_later() {
    let mut dialogue = pushed_with(BITS);
    assert_eq!(dialogue.passes(PUSH_CONFIRM_MS - 1), []);
    assert_eq!(dialogue.passes(1), [Event::PushSucceeded(ONE)]);
    assert!(dialogue.session.is_idle());
}

#[test]
fn a_push_fails_with_the_agents_words_at_once() {
    let mut dialogue = pushed_with(BITS);
    dialogue.hears(beat(1).status(&B, FAILED));
    assert_eq!(dialogue.events, [], "another hash");
    dialogue.hears(beat(2).status(&A, FAILED));
    assert_eq!(
        dialogue.events,
        [Event::PushFailed(ONE, "broken".to_owned())]
    );
}

#[test]
fn a_push_without_an_echo_is_unconfirmed_unless_the_agent_never_echoes() {
    let mut dialogue = pushed_with(BITS);
    dialogue.hears(beat(1).status(&B, APPLIED));
    assert_eq!(
        dialogue.passes(PUSH_CONFIRM_MS),
        [Event::PushUnconfirmed(ONE)]
    );

    let mut dialogue = pushed_with(BITS & !agent::REPORTS_REMOTE_CONFIG);
    assert_eq!(
        dialogue.passes(PUSH_CONFIRM_MS),
        [Event::PushSucceeded(ONE)]
    );
}

#[test]
fn a_push_lost_with_its_connection_is_sent_on_the_next() {
    let mut dialogue = Dialogue::introduced();
    dialogue.session.set_desired(Some(A));
    dialogue.session.push_config(ONE).unwrap();
    dialogue.delivers = false;
    assert_eq!(dialogue.pushed(), Some(offer(A)));
    dialogue.reconnects();
    dialogue.delivers = true;
    assert_eq!(dialogue.hears(beat(1).status(&A, APPLIED)), offer(A));
    assert_eq!(
        dialogue.passes(PUSH_CONFIRM_MS),
        [Event::PushSucceeded(ONE)]
    );
}

#[test]
fn a_push_that_is_too_large_fails() {
    let mut dialogue = Dialogue::introduced();
    dialogue.session.set_desired(Some(A));
    dialogue.session.push_config(ONE).unwrap();
    dialogue.delivers = false;
    assert_eq!(dialogue.pushed(), Some(offer(A)));
    dialogue.session.offer_discarded(A);
    assert_eq!(dialogue.session.poll_timeout(), Some(0));
    let events = dialogue.passes(0);
    assert!(
        matches!(events.as_slice(), [Event::PushFailed(ONE, text)] if text.contains("limit")),
        "{events:?}"
    );
}

#[test]
fn a_push_that_is_known_to_be_too_large_fails_without_leaving() {
    let mut dialogue = Dialogue::introduced();
    dialogue.session.set_desired(Some(A));
    dialogue.session.offer_discarded(A);
    for number in 0..16 {
        dialogue.session.push_config(Token(number)).unwrap();
    }
    assert_eq!(dialogue.session.push_config(ONE), Err(Refused::MailboxFull));
    assert_eq!(dialogue.pushed(), None);
    assert_eq!(dialogue.session.poll_timeout(), Some(0));
    let events = dialogue.passes(0);
    assert_eq!(events.len(), 16);
    assert!(matches!(events[0], Event::PushFailed(Token(0), _)));
    assert_eq!(dialogue.session.push_config(ONE), Ok(()));
}

/// Whatever waits when the agent is another node's never leaves, and is not forgotten either.
#[test]
fn what_waits_when_the_session_is_over_never_leaves() {
    for moved in [false, true] {
        let mut dialogue = Dialogue::introduced();
        dialogue.session.set_desired(Some(A));
        dialogue.session.restart(ONE).unwrap();
        let written = dialogue.session.next_push(0).map(|push| push.marks);
        dialogue
            .session
            .written(None, &written.unwrap_or_default(), 0);
        dialogue.session.restart(TWO).unwrap();
        let events = dialogue.session.give_up(moved);
        let confirmed = events.contains(&Event::RestartConfirmed(ONE));
        assert_eq!(confirmed, moved, "{events:?}");
        assert!(events.contains(&Event::RestartUnconfirmed(TWO)));
        dialogue.session.set_owned(true);
        assert_eq!(dialogue.session.can_drop(), moved);
        let after = dialogue.session.next_push(0);
        assert!(after.is_none_or(|push| push.offer.is_some()));
    }
}
