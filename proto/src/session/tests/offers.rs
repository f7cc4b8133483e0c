//! Group K: which configuration is offered, and how often.

use super::*;

const UNSET: wire::RemoteConfigStatuses = wire::RemoteConfigStatuses::Unset;

fn wanting(hash: [u8; 32]) -> Dialogue {
    let mut dialogue = Dialogue::introduced();
    dialogue.session.set_desired(Some(hash));
    dialogue
}

/// C-123, C-125, C-126, C-127, C-089.
#[test]
fn a_new_configuration_is_pushed_once() {
    let mut dialogue = wanting(A);
    assert_eq!(dialogue.pushed(), Some(offer(A)));
    assert_eq!(dialogue.pushed(), None);
    assert_eq!(dialogue.hears(beat(1).status(&A, APPLYING)), ACK);
    assert_eq!(dialogue.hears(beat(2).status(&A, APPLIED)), ACK);
    for number in 3..9 {
        dialogue.passes(OFFER_RETRY_MAX_MS);
        assert_eq!(dialogue.hears(beat(number)), ACK);
        assert_eq!(dialogue.pushed(), None);
    }
}

/// C-127: over HTTP it waits for the poll.
#[test]
fn over_http_an_offer_waits_for_the_poll() {
    let mut dialogue = Dialogue::with_stranger();
    dialogue.transport = Transport::Http;
    assert_eq!(dialogue.hears(full(0)), ACK);
    dialogue.session.set_desired(Some(A));
    assert_eq!(dialogue.pushed(), None);
    assert_eq!(dialogue.session.poll_timeout(), None);
    assert_eq!(dialogue.hears(beat(1)), offer(A));
    assert_eq!(dialogue.hears(beat(2)), ACK);
}

/// C-121, C-141: the offer rides in the reply, with a flag if need be.
#[test]
fn the_reply_carries_the_offer_with_the_flag() {
    let mut dialogue = Dialogue::with_stranger();
    dialogue.session.set_desired(Some(A));
    assert_eq!(
        dialogue.hears(beat(9)),
        Reply {
            offer: Some(A),
            ..FULL_STATE
        }
    );
    assert_eq!(dialogue.hears(full(10)), ACK);
}

/// C-122.
#[test]
fn an_equal_hash_is_not_offered_whatever_its_status() {
    for status in [UNSET, APPLIED, APPLYING, FAILED] {
        let mut dialogue = Dialogue::with_stranger();
        dialogue.session.set_desired(Some(A));
        assert_eq!(
            dialogue.hears(full(0).status(&A, status)),
            ACK,
            "{status:?}"
        );
    }
}

/// The way back: what an agent said before it was offered another configuration says nothing any more.
#[test]
fn the_one_before_is_offered_again_after_an_offer_without_an_answer() {
    let mut dialogue = Dialogue::with_stranger();
    dialogue.session.set_desired(Some(B));
    assert_eq!(dialogue.hears(full(0).status(&A, APPLIED)), offer(B));
    dialogue.session.set_desired(Some(A));
    assert_eq!(dialogue.pushed(), Some(offer(A)));
    assert_eq!(dialogue.pushed(), None);
    for number in 1..5 {
        dialogue.passes(OFFER_RETRY_MAX_MS);
        assert_eq!(dialogue.hears(beat(number)), ACK, "once is enough");
    }
    assert_eq!(dialogue.hears(beat(5).status(&B, FAILED)), offer(A));
    assert_eq!(dialogue.hears(beat(6).status(&A, APPLIED)), ACK);
}

/// An operator wants a configuration offered again that failed.
#[test]
fn a_forgiven_failure_is_offered_once_more() {
    for rolled_back in [false, true] {
        let mut dialogue = wanting(A);
        assert_eq!(dialogue.pushed(), Some(offer(A)));
        assert_eq!(dialogue.hears(beat(1).status(&A, FAILED)), ACK);
        if rolled_back {
            assert_eq!(dialogue.hears(beat(2).status(&B, APPLIED)), ACK);
        }
        dialogue.session.set_desired(None);
        dialogue.session.set_desired(Some(A));
        assert_eq!(dialogue.pushed(), None, "it is not forgiven");
        dialogue.session.forget_failure(B);
        assert_eq!(dialogue.pushed(), None, "another one is");
        dialogue.session.forget_failure(A);
        assert_eq!(dialogue.pushed(), Some(offer(A)));
        let next = if rolled_back { 3 } else { 2 };
        assert_eq!(dialogue.hears(beat(next).status(&A, FAILED)), ACK);
        assert_eq!(dialogue.pushed(), None);
    }
}

/// C-118, C-080, C-135, C-140; without ownership nothing leaves.
#[test]
fn nothing_is_offered_without_bit_assignment_or_ownership() {
    let mut dialogue = Dialogue::introduced();
    assert_eq!(
        dialogue.hears(beat(1).status(&[7; 5], APPLIED)),
        ACK,
        "nothing is assigned"
    );
    dialogue.session.set_desired(Some(A));
    dialogue.session.set_owned(false);
    assert_eq!((dialogue.hears(beat(2)), dialogue.pushed()), (ACK, None));
    dialogue.session.set_owned(true);
    assert_eq!(
        (dialogue.hears(beat(3).bits(BITS & !2)), dialogue.pushed()),
        (ACK, None)
    );
    assert_eq!(dialogue.hears(beat(4)), offer(A), "the bit is back");
    dialogue.session.set_desired(None);
    assert_eq!((dialogue.hears(beat(5)), dialogue.pushed()), (ACK, None));
}

/// C-131: FAILED(B), then a rollback to A.
#[test]
fn a_failed_hash_is_not_offered_again() {
    let mut dialogue = Dialogue::with_stranger();
    dialogue.session.set_desired(Some(B));
    assert_eq!(dialogue.hears(full(0).status(&A, APPLIED)), offer(B));
    assert_eq!(dialogue.hears(beat(1).status(&B, APPLYING)), ACK);
    assert_eq!(dialogue.hears(beat(2).status(&B, FAILED)), ACK);
    for number in 3..9 {
        dialogue.passes(OFFER_RETRY_MAX_MS);
        assert_eq!(dialogue.hears(beat(number).status(&A, APPLIED)), ACK);
        assert_eq!(dialogue.pushed(), None);
    }
    dialogue.reconnects();
    assert_eq!(dialogue.hears(full(0).status(&A, APPLIED)), ACK);
    dialogue.session.set_desired(None);
    dialogue.session.set_desired(Some(B));
    assert_eq!(
        dialogue.pushed(),
        None,
        "nothing else was desired in between"
    );
    dialogue.session.set_desired(Some(A));
    dialogue.session.set_desired(Some(B));
    assert_eq!(
        dialogue.hears(beat(1).status(&A, APPLIED)),
        offer(B),
        "the operator came back to it"
    );
}

/// C-131 over a change of the node.
#[test]
fn a_hash_that_failed_before_this_session_is_not_offered() {
    let known = Known {
        known: true,
        last_sequence: Some(4),
        capabilities: BITS,
        has_description: true,
        reported_hash: Some(Bytes::copy_from_slice(&A)),
        failed_hash: Some(B),
        sent_hash: Some(B),
        ..Known::default()
    };
    let mut dialogue = Dialogue::with(&known);
    dialogue.session.set_desired(Some(B));
    assert_eq!(dialogue.hears(beat(5)), ACK);
    let mut dialogue = Dialogue::with(&Known {
        failed_hash: None,
        ..known
    });
    dialogue.session.set_desired(Some(B));
    assert_eq!(
        dialogue.hears(beat(5)),
        offer(B),
        "another session's offer may have been lost"
    );
}

/// C-128, C-129.
#[test]
fn the_newest_configuration_wins_while_an_older_one_is_applied() {
    let mut dialogue = wanting(A);
    assert_eq!(dialogue.pushed(), Some(offer(A)));
    dialogue.session.set_desired(Some([0xC; 32]));
    dialogue.session.set_desired(Some(B));
    assert_eq!(dialogue.pushed(), Some(offer(B)));
    assert_eq!(dialogue.hears(beat(1).status(&A, APPLYING)), ACK);
    assert_eq!(dialogue.hears(beat(2).status(&A, APPLIED)), ACK);
    assert_eq!(dialogue.hears(beat(3).status(&B, APPLYING)), ACK);
    assert_eq!(dialogue.hears(beat(4).status(&B, APPLIED)), ACK);
    dialogue.session.set_desired(Some(A));
    assert_eq!(dialogue.pushed(), Some(offer(A)), "back to the first");
}

/// C-139.
#[test]
fn an_agent_that_says_nothing_is_offered_again_after_waits_that_double() {
    let mut dialogue = wanting(A);
    assert_eq!(dialogue.pushed(), Some(offer(A)));
    let mut number = 0;
    for wait_s in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
        assert_eq!(
            dialogue.session.poll_timeout(),
            Some(dialogue.now_ms + wait_s * 1_000)
        );
        dialogue.passes(wait_s * 1_000 - 1);
        number += 1;
        assert_eq!(
            (dialogue.hears(beat(number)), dialogue.pushed()),
            (ACK, None),
            "{wait_s}"
        );
        dialogue.passes(1);
        assert_eq!(dialogue.pushed(), Some(offer(A)), "{wait_s}");
    }
}

/// C-124.
#[test]
fn an_agent_that_cannot_report_is_offered_once_even_over_reconnects() {
    let bits = BITS & !agent::REPORTS_REMOTE_CONFIG;
    let mut dialogue = Dialogue::with_stranger();
    dialogue.session.set_desired(Some(A));
    assert_eq!(
        dialogue.hears(full(0).bits(bits)),
        offer(A),
        "UNSET without the bit (C-082)"
    );
    dialogue.passes(OFFER_RETRY_MAX_MS);
    assert_eq!(
        (dialogue.hears(full(1).bits(bits)), dialogue.pushed()),
        (ACK, None)
    );
    dialogue.reconnects();
    assert_eq!(
        (dialogue.hears(full(0).bits(bits)), dialogue.pushed()),
        (ACK, None)
    );
    dialogue.session.set_desired(Some(B));
    assert_eq!(dialogue.pushed(), Some(offer(B)));

    let sent = Known {
        known: true,
        has_description: true,
        sent_hash: Some(A),
        ..Known::default()
    };
    let mut elsewhere = Dialogue::with(&sent);
    elsewhere.session.set_desired(Some(A));
    assert_eq!(elsewhere.hears(full(0).bits(bits)), ACK);
}

/// C-295: the reply seems to be lost, so its offer comes again.
#[test]
fn a_repeated_message_gets_its_offer_again() {
    let mut dialogue = Dialogue::introduced();
    dialogue.transport = Transport::Http;
    dialogue.session.set_desired(Some(A));
    assert_eq!(dialogue.hears(beat(1)), offer(A));
    assert_eq!(dialogue.hears(beat(1)), offer(A));
    assert_eq!(dialogue.hears(beat(2)), ACK);
    assert_eq!(dialogue.hears(beat(2)), ACK);
}

#[test]
fn an_offer_lost_with_its_connection_is_made_on_the_next() {
    let mut dialogue = wanting(A);
    dialogue.delivers = false;
    assert_eq!(dialogue.pushed(), Some(offer(A)));
    dialogue.reconnects();
    dialogue.delivers = true;
    assert_eq!(dialogue.hears(beat(1)), offer(A));
    dialogue.reconnects();
    assert_eq!(
        dialogue.hears(beat(2)),
        ACK,
        "written, so it may have arrived"
    );
}

/// C-121: the agent came back without it, or left it.
#[test]
fn an_agent_that_no_longer_has_it_is_offered_again_but_not_in_a_loop() {
    let mut dialogue = wanting(A);
    assert_eq!(dialogue.pushed(), Some(offer(A)));
    dialogue.hears(beat(1).status(&A, APPLIED));
    assert_eq!(dialogue.hears(full(0)), offer(A), "restarted empty");
    dialogue.hears(beat(1).status(&A, APPLIED));
    assert_eq!(dialogue.hears(full(0)), ACK, "again at once: it waits");
    dialogue.passes(OFFER_RETRY_FIRST_MS);
    assert_eq!(dialogue.pushed(), Some(offer(A)));
    dialogue.hears(beat(1).status(&A, APPLIED));
    dialogue.passes(OFFER_RETRY_MAX_MS);
    assert_eq!(
        dialogue.hears(beat(2).status(&B, APPLIED)),
        offer(A),
        "something else took it away"
    );
}

#[test]
fn what_is_too_large_is_not_tried_again() {
    let mut dialogue = wanting(A);
    dialogue.delivers = false;
    assert_eq!(dialogue.pushed(), Some(offer(A)));
    dialogue.session.offer_discarded(A);
    assert_eq!((dialogue.pushed(), dialogue.hears(beat(1))), (None, ACK));
    assert_eq!(dialogue.hears(beat(1)), ACK);
    dialogue.reconnects();
    dialogue.passes(OFFER_RETRY_MAX_MS);
    assert_eq!(
        (dialogue.hears(full(0)), dialogue.session.poll_timeout()),
        (ACK, None)
    );
    dialogue.session.set_desired(Some(B));
    assert_eq!(dialogue.pushed(), Some(offer(B)));
}
