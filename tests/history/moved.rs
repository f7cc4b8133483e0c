//! An agent that moves between nodes that keep their history themselves has one history, whoever is asked.

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::cluster::{Cluster, SOON};
use crate::support::eventually;

/// Waits until a node serves it.
fn served(all: &Cluster, agent: &Agent, slot: u64) {
    let path = format!("/agents/{}", agent.uid);
    for seen in [1, 2, 3] {
        all.until(seen, &path, "all see who serves it", |shown| {
            (shown["state"] == "connected" && shown["owner_node"] == slot).then_some(())
        });
    }
}

/// Places of all that a node tells, walked through in small pages; nothing when somebody did not answer in time.
fn walked(all: &Cluster, slot: u64, uid: &str) -> Option<Vec<Value>> {
    let mut places = Vec::new();
    let mut next = String::new();
    loop {
        let page = all.page(slot, uid, &format!("limit=2{next}"));
        (page["complete"] == true).then_some(())?;
        places.extend(page["items"].as_array()?.iter().cloned());
        let Some(token) = page["continue"].as_str() else {
            return Some(places);
        };
        next = format!("&continue={token}");
    }
}

#[test]
fn one_history_at_all_nodes_and_what_is_missing_is_said() {
    let mut all = Cluster::of_three();
    let mut agent = Agent::connected("moves", all.node(1).opamp_addr);
    agent.hello();
    served(&all, &agent, 1);
    for slot in [2, 3] {
        agent.connect(all.node(slot).opamp_addr);
        agent.hello();
        served(&all, &agent, slot);
        agent.ails(&format!("seen by {slot}"));
    }
    let uid = agent.uid.to_string();
    let pages = eventually("all tell the same, up to the last", SOON, || {
        let first = walked(&all, 1, &uid)?;
        let (second, third) = (walked(&all, 2, &uid)?, walked(&all, 3, &uid)?);
        let of = |kind| first.iter().filter(move |item| item["kind"] == kind);
        let came = of("connected").map(|item| item["node"].as_u64());
        let came = came.eq([Some(3), Some(2), Some(1)]);
        let left = of("disconnected").count() == 2;
        let said = of("health").next()?["body"]["last_error"] == "seen by 3";
        (came && left && said && first == second && first == third).then_some(first)
    });
    let path = format!("/agents/{uid}/history?limit=1000");
    let whole = json!(pages);
    let tells_all = |all: &Cluster, what: &str| {
        all.until(2, &path, what, |page| {
            (page["complete"] == true && page["items"] == whole).then_some(())
        });
    };
    tells_all(&all, "all of it at once");

    all.kill(1);
    let of_others = pages.iter().filter(|item| item["node"] != 1);
    let left = json!(of_others.collect::<Vec<_>>());
    all.until(2, &path, "what the others have", |page| {
        // never called whole while somebody is missing
        assert_eq!(page["complete"], false, "{page}");
        (page["items"] == left).then_some(())
    });
    all.start_again(1);
    tells_all(&all, "all of it again");
}
