//! What an agent reported is read at any node, while its bytes are at the one that served it.

use crate::agent::Agent;
use crate::cluster::Cluster;

#[test]
fn any_node_shows_what_an_agent_reported_to_another() {
    let mut all = Cluster::of_three();
    let owner = all.other(all.leader(1));
    let mut agent = Agent::connected("read", all.node(owner).opamp_addr);
    agent.hello();
    let path = format!("/agents/{}/effective-config", agent.uid);
    for slot in [owner, 1, 2, 3] {
        all.until(slot, &path, "it is shown", |shown| {
            shown["files"].as_array().map(drop)
        });
        let shown = all.get(slot, &path);
        assert_eq!(shown, all.get(owner, &path), "node {slot}");
    }
    all.kill(owner);
    let left = all.other(owner);
    let (status, gone) = all.try_ask(left, reqwest::Method::GET, &path, None);
    assert_eq!(
        (status, gone["code"].as_str()),
        (503, Some("body_unavailable")),
        "{gone}"
    );
}
