//! `no_early_expiry` (design §9, 6): no lease ends while its holder may still act on it, whoever leads and whatever wall
//! clocks say.
//!
//! Judged at the true instant at which the first node applies the end, by the holder's own clock: that is the moment
//! from which another could act. Only for clocks within the drift bound. A holder that is off believes nothing; one
//! that stands still or sleeps is asked what it would believe if it woke at this instant.

use ampora_raft::rows::Row;

use super::Changed;

pub(super) fn changed(changed: &Changed<'_>) {
    let (Some(Row::Node(before)), Some(Row::Node(after))) = (&changed.before, &changed.after)
    else {
        return;
    };
    if !before.live || after.live || before.epoch != after.epoch {
        return;
    }
    changed.book.note(
        "fleet",
        format_args!("n{} in epoch {} is dead", after.id, after.epoch),
    );
    let seat = changed.seats.iter().find(|seat| seat.node == after.id);
    let Some(seat) = seat.filter(|seat| seat.is_within_bound()) else {
        return;
    };
    let believes = seat.with(|doors| {
        let room = doors.room.as_ref()?;
        Some(room.liveness.epoch() == after.epoch && room.may_act())
    });
    if believes == Some(true) {
        changed.book.violation(
            "no_early_expiry",
            format_args!("n{} acts in epoch {}", after.id, after.epoch),
        );
    }
}
