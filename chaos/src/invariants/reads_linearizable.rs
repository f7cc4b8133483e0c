//! `reads_linearizable` (design §9, 7): consistent reads and compare-and-set writes behave as if there were one copy.
//!
//! Registers are groups: their revision is the index of the entry that changed them, so that every answer says where
//! in the one order it stands. A general checker searches for such an order; here it is given, and a history is
//! linearizable exactly when the answers fit it: (1) one revision has one value, (2) a write that succeeded follows the
//! revision that it expected, with no other between, (3) a call that began after another had ended is not before it,
//! and a write is after it. Calls with an unknown end count as soon as somebody sees their value, and bind nobody.

use std::collections::BTreeMap;

use crate::book::Book;

/// What was asked of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Its value.
    Read,
    /// Another value, if the revision is still this one.
    Write {
        /// The revision that was seen.
        expected: u64,
    },
    /// A write that was refused: it saw another revision, as a read does that does not see the value.
    Refused,
}

/// A call that has ended with an answer.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The register.
    pub register: u64,
    /// What was asked.
    pub op: Op,
    /// True time at which it began and ended.
    pub began_us: u64,
    /// See `began_us`.
    pub ended_us: u64,
    /// The revision that it saw or made; 0 when there was none.
    pub revision: u64,
    /// The value of that revision, as far as the answer says.
    pub value: Option<i32>,
}

/// All calls.
#[derive(Debug, Default)]
pub(super) struct Check {
    calls: Vec<Call>,
}

impl Check {
    pub(super) fn called(&mut self, call: Call) {
        self.calls.push(call);
    }

    pub(super) fn at_end(&self, book: &Book) {
        let mut registers: BTreeMap<u64, Vec<Call>> = BTreeMap::new();
        for call in &self.calls {
            registers.entry(call.register).or_default().push(*call);
        }
        for calls in registers.values_mut() {
            values(book, calls);
            predecessors(book, calls);
            in_time(book, calls);
        }
    }
}

fn broken(book: &Book, why: &str, call: &Call, other: &Call) {
    book.violation(
        "reads_linearizable",
        format_args!("{why}: {call:?} and {other:?}"),
    );
}

fn values(book: &Book, calls: &[Call]) {
    let mut values: BTreeMap<u64, &Call> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.value.is_some()) {
        let known = *values.entry(call.revision).or_insert(call);
        if known.value != call.value {
            broken(book, "two values of one revision", known, call);
        }
    }
}

/// Whoever saw a revision between what a write expected and what it made saw something that was not there.
fn predecessors(book: &Book, calls: &[Call]) {
    let by_revision: BTreeMap<u64, &Call> = calls.iter().map(|c| (c.revision, c)).collect();
    for call in calls {
        let Op::Write { expected } = call.op else {
            continue;
        };
        if let Some((_, other)) = by_revision.range(expected + 1..call.revision).next_back() {
            broken(book, "a write over another", call, other);
        }
    }
}

fn in_time(book: &Book, calls: &mut [Call]) {
    calls.sort_by_key(|call| call.began_us);
    let mut ended: Vec<&Call> = calls.iter().collect();
    ended.sort_by_key(|call| call.ended_us);
    let mut ended = ended.into_iter().peekable();
    let mut newest: Option<&Call> = None;
    for call in calls.iter() {
        while let Some(before) = ended.next_if(|before| before.ended_us < call.began_us) {
            if newest.is_none_or(|newest| newest.revision < before.revision) {
                newest = Some(before);
            }
        }
        let Some(before) = newest else {
            continue;
        };
        let is_write = matches!(call.op, Op::Write { .. });
        if call.revision < before.revision || is_write && call.revision == before.revision {
            broken(book, "before what had ended", call, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(op: Op, began_us: u64, ended_us: u64, revision: u64, value: i32) -> Call {
        Call {
            register: 1,
            op,
            began_us,
            ended_us,
            revision,
            value: Some(value),
        }
    }

    fn violations(calls: &[Call]) -> usize {
        let book = Book::new(None);
        let mut check = Check::default();
        calls.iter().for_each(|call| check.called(*call));
        check.at_end(&book);
        book.violations().len()
    }

    #[test]
    fn what_fits_one_order_is_accepted() {
        let write = Op::Write { expected: 0 };
        assert_eq!(
            violations(&[
                call(write, 0, 10, 5, 1),
                call(Op::Read, 5, 8, 5, 1),
                call(Op::Read, 2, 20, 0, 0),
                call(Op::Write { expected: 5 }, 11, 12, 9, 2),
                call(Op::Read, 13, 14, 9, 2),
            ]),
            0
        );
    }

    #[test]
    fn each_kind_of_breach_is_seen() {
        let write = Op::Write { expected: 0 };
        // a stale read
        assert_eq!(
            violations(&[call(write, 0, 10, 5, 1), call(Op::Read, 11, 12, 0, 0)]),
            1
        );
        // a lost write
        let lost = [call(write, 0, 10, 5, 1), call(write, 1, 10, 7, 2)];
        assert_eq!(violations(&lost), 1);
        // another value
        assert_eq!(
            violations(&[call(write, 0, 10, 5, 1), call(Op::Read, 1, 12, 5, 3)]),
            1
        );
    }
}
