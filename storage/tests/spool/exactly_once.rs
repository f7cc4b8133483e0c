//! Invariant `history_exactly_once`: every event that was flushed is in the sink once, or counted as what shrinking
//! took; what was not flushed never is there; and the latest state is what the events say.
//!
//! Seen to find: a cursor that moves before the write; an export of what is not flushed; trimming up to the larger
//! cursor; a stream that goes on after a crash and gives numbers again; a flush that does not; a batch that is split;
//! a document that goes with the first of two events, or stays; a latest state ahead of the events, or by number
//! instead of fence; shrinking that is not durable, or takes what is on its way to the sink.

use ampora_storage::history::event::Event;
use ampora_storage::history::export::ExportLimits;
use ampora_storage::history::spool::{Keep, Limits};
use proptest::prelude::*;
use proptest::sample::select;

use super::events::event;
use super::sink::Fault;
use super::world::World;

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Event>),
    Flush,
    Export,
    Fault(Option<(u8, Fault)>),
    Shrink(u64, Keep),
    Reopen,
    Crash(usize),
    Copy,
    Restore,
}

fn fault() -> impl Strategy<Value = Step> {
    let fault = (0..3_u8, select(&[Fault::Before, Fault::After][..]));
    proptest::option::of(fault).prop_map(Step::Fault)
}

fn step() -> impl Strategy<Value = Step> {
    let keep = select(&[Keep::Collapse, Keep::Collapse, Keep::Oldest][..]);
    prop_oneof![
        6 => prop::collection::vec(event(), 1..8).prop_map(Step::Append),
        5 => Just(Step::Flush),
        8 => Just(Step::Export),
        3 => fault(),
        2 => (1..9_u64, keep).prop_map(|(share, keep)| Step::Shrink(share, keep)),
        1 => Just(Step::Reopen),
        2 => (0..12_usize).prop_map(Step::Crash),
        1 => Just(Step::Copy),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let batch_ops = select(&[1, 9, 40, 512][..]);
    let step_events = select(&[1, 3, 4096][..]);
    (batch_ops, step_events).prop_map(|(batch_ops, step_events)| Limits {
        batch_ops,
        step_events,
    })
}

fn export_limits() -> impl Strategy<Value = ExportLimits> {
    (
        select(&[1, 4, 100][..]),
        select(&[1, 5000, 1 << 20][..]),
        select(&[1, 6, 1000][..]),
        1..4_u32,
    )
        .prop_map(
            |(events, bytes, latest_events, latest_steps)| ExportLimits {
                events,
                bytes,
                latest_events,
                latest_steps,
            },
        )
}

fn run(limits: Limits, export_limits: ExportLimits, steps: Vec<Step>) {
    let mut world = World::new(limits, export_limits);
    for step in steps {
        match step {
            Step::Append(events) => world.append(&events),
            Step::Flush => world.flush(),
            Step::Export => drop(world.export()),
            Step::Fault(fault) => world.fail_sink(fault),
            Step::Shrink(share, keep) => world.shrink(share, keep),
            Step::Reopen => world.reopen(),
            Step::Crash(survivors) => world.crash(survivors),
            Step::Copy => world.copy(),
            Step::Restore => world.restore(),
        }
        world.check();
    }
    world.drain();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_flushed_event_is_there_once_or_counted(
        limits in limits(),
        export_limits in export_limits(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        run(limits, export_limits, steps);
    }

    #[test]
    fn a_disk_that_is_set_back_repeats_nothing(
        limits in limits(),
        export_limits in export_limits(),
        before in prop::collection::vec(step(), 1..20),
        between in prop::collection::vec(step(), 1..20),
        after in prop::collection::vec(step(), 1..20),
    ) {
        let steps = [before, vec![Step::Copy], between, vec![Step::Restore], after];
        run(limits, export_limits, steps.concat());
    }
}
