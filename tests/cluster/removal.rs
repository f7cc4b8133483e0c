//! A node that nobody could tell when it was removed: it hears of it from whomever it asks, and ends.

use nix::sys::signal::Signal;

use crate::cluster::{Cluster, SOON, roles};
use crate::support::eventually;

#[test]
fn a_node_that_was_away_hears_that_it_was_removed() {
    let mut all = Cluster::of_three();
    let leader = all.leader(1);
    let gone = all.other(leader);
    // it hears nothing, and its log will never say it
    all.node(gone).signal(Signal::SIGSTOP);
    all.until(leader, "/cluster", "it counts as dead", |shown| {
        (!roles(shown).get(&gone)?.1).then_some(())
    });
    all.run(leader, &["cluster", "remove", &gone.to_string()]);
    eventually("the others go on without it", SOON, || {
        let step = format!("Remove(NodeId({gone}))");
        let slots = [1, 2, 3].into_iter().filter(|slot| *slot != gone);
        let mut logs = slots.map(|slot| all.node(slot).log());
        logs.any(|log| log.contains(&step)).then_some(())
    });
    all.node(gone).signal(Signal::SIGCONT);
    let (status, log) = all.ended(gone);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("this node was removed from cluster"), "{log}");
    // as one that was off all the time
    let (status, said) = all.refused(gone, &[]);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("this node was removed from cluster"),
        "{said}"
    );
    assert!(said.contains("was removed from its cluster"), "{said}");
    let other = all.other(leader);
    let words = "a node that was removed from this cluster is told so";
    eventually("who was asked says so", SOON, || {
        let mut told = [leader, other].map(|slot| all.node(slot).log()).into_iter();
        told.any(|log| log.contains(words)).then_some(())
    });
}
