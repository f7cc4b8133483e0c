//! K. When a remote configuration is offered, and when not.

use ampora_proto::wire::RemoteConfigStatuses::{Applied, Applying, Failed, Unset};
use serde_json::json;

use crate::agent::{Agent, BOTH, Via};
use crate::row::{Row, row};
use crate::say;
use crate::server::{self, Server};

pub(crate) const ROWS: &[Row] = &[
    row!(
        118,
        "MUST",
        "Without AcceptsRemoteConfig nothing is offered.",
        c_118_only_who_accepts
    ),
    row!(119, "MUST", "Every offer has its hash.", c_119_hash_is_set),
    row!(
        120,
        "must",
        "The hash tells contents apart, and is the same after a restart.",
        c_120_hash_tells_contents_apart
    ),
    row!(
        121,
        "MUST",
        "A reported hash that differs is answered with the configuration, an equal one is not.",
        c_121_reported_hash_is_compared
    ),
    row!(
        122,
        "derived",
        "An equal hash is not offered again, whatever the status.",
        c_122_equal_hash_whatever_the_status
    ),
    row!(
        123,
        "SHOULD NOT",
        "An unchanged configuration is sent once.",
        c_123_sent_once
    ),
    row!(
        124,
        "derived",
        "Who never reports a hash is offered once all the same.",
        c_124_agent_that_never_reports
    ),
    row!(
        125,
        "derived",
        "A fresh agent with an empty hash is offered once.",
        c_125_fresh_agent
    ),
    row!(
        126,
        "MUST",
        "A status that is left out is unchanged, and compared as such.",
        c_126_omitted_status
    ),
    row!(
        127,
        "may",
        "A new configuration is pushed at once, or comes with the next poll.",
        c_127_at_once
    ),
    row!(
        128,
        "derived",
        "Of several quick changes the last one ends up with the agent.",
        c_128_quick_changes
    ),
    row!(
        129,
        "derived",
        "A word about an older hash says nothing of the newer one.",
        c_129_word_about_an_older_hash
    ),
    row!(
        130,
        "derived",
        "Status and error are kept by hash.",
        c_130_status_by_hash
    ),
    row!(
        131,
        "derived",
        "An agent that rolls back is not offered what failed on it again.",
        c_131_rollback
    ),
];

/// An agent that was offered a configuration and has not answered.
fn offered(server: &Server, via: Via) -> (Agent<'_>, Vec<u8>) {
    let mut agent = Agent::introduced(server, via);
    let hash = server.assign_yaml(&agent.label, "first: 1\n");
    assert_eq!(agent.offer().config_hash, hash);
    (agent, hash)
}

/// The agent says goodbye, its session ends, and it comes back.
fn left_and_back(server: &Server, agent: &mut Agent<'_>) {
    agent.tell(say::goodbye);
    server.agent("nobody owns it", agent.uid, |agent| {
        agent["owner_node"].is_null()
    });
    agent.reconnect();
    let before = agent.offers_seen;
    agent.beat();
    assert_eq!(agent.offers_seen, before, "{:?}: back", agent.via);
}

fn nothing_offered(agent: &mut Agent<'_>, beats: usize) {
    let before = agent.offers_seen;
    agent.beats(beats);
    assert_eq!(
        agent.offers_seen, before,
        "{:?}: nothing is offered",
        agent.via
    );
}

fn c_118_only_who_accepts() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        agent.capabilities &= !0x2;
        agent.hello();
        agent.settled();
        let hash = server.assign_yaml(&agent.label, "a: 1\n");
        agent.wanted(&hash);
        nothing_offered(&mut agent, 5);
        agent.report(b"other", Applied);
        nothing_offered(&mut agent, 5);
    }
}

fn c_119_hash_is_set() {
    // every message of the suite is watched for this, as are these
    let server = server::shared();
    for via in BOTH {
        let (_, hash) = offered(&server, via);
        assert_eq!(hash.len(), 32);
    }
}

fn c_120_hash_tells_contents_apart() {
    let server = Server::start(&[]);
    let variants: [&crate::server::Files<'_>; 8] = [
        &[("a", "text/yaml", b"x: 1"), ("b", "text/yaml", b"y: 1")],
        &[("a", "text/yaml", b"y: 1"), ("b", "text/yaml", b"x: 1")],
        &[("a", "text/yaml", b"x: 1"), ("c", "text/yaml", b"y: 1")],
        &[("a", "text/plain", b"x: 1"), ("b", "text/yaml", b"y: 1")],
        &[("a", "text/yaml", b"x: 1")],
        &[("", "text/yaml", b"x: 1")],
        &[("ax", "text/yaml", b": 1")],
        &[("a", "text/yaml", b"x: 1 ")],
    ];
    let hashes =
        |server: &Server, name: &str| variants.map(|files| server.version(name, files).1).to_vec();
    let first = hashes(&server, "one");
    let mut different = first.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), variants.len(), "every difference shows");
    let server = server.killed_and_started();
    assert_eq!(
        hashes(&server, "two"),
        first,
        "after a restart, under another name"
    );
    let turned = [
        ("b", "text/yaml", b"y: 1".as_slice()),
        ("a", "text/yaml", b"x: 1"),
    ];
    assert_eq!(
        server.version("three", &turned).1,
        first[0],
        "the order of files is nothing"
    );
}

fn c_121_reported_hash_is_compared() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let hash = server.assign_yaml(&agent.label, "a: 1\n");
        agent.apply_offer();
        nothing_offered(&mut agent, 3);
        // it has something else now
        let reply = agent.report(&[7; 32], Applied);
        let offer = reply.remote_config.expect("the offer in the same reply");
        assert_eq!(offer.config_hash, hash);
        let reply = agent.report(&hash, Applied);
        assert_eq!(reply.remote_config, None, "{via:?}: equal");
        nothing_offered(&mut agent, 3);
    }
}

fn c_122_equal_hash_whatever_the_status() {
    let server = server::shared();
    for via in BOTH {
        for status in [Applied, Applying, Failed, Unset] {
            let (mut agent, hash) = offered(&server, via);
            assert_eq!(
                agent.report(&hash, status).remote_config,
                None,
                "{via:?}: {status:?}"
            );
            nothing_offered(&mut agent, 3);
            left_and_back(&server, &mut agent);
            nothing_offered(&mut agent, 3);
        }
    }
}

fn c_123_sent_once() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        server.assign_yaml(&agent.label, "a: 1\n");
        agent.apply_offer();
        agent.beats(20);
        agent.reconnect();
        agent.beats(3);
        assert_eq!(agent.offers_seen, 1, "{via:?}");
    }
}

fn c_124_agent_that_never_reports() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        agent.capabilities &= !0x1000;
        agent.hello();
        agent.settled();
        server.assign_yaml(&agent.label, "a: 1\n");
        agent.offer();
        agent.beats(10);
        // a supervisor that does not report says UNSET in every full report
        let full = agent.full();
        agent.ask(&full);
        agent.beats(3);
        server.agent("what was sent stands for it", agent.uid, |agent| {
            agent["config"]["drifted"] == false
        });
        agent.reconnect();
        agent.beats(3);
        assert_eq!(agent.offers_seen, 1, "{via:?}");
        let hash = server.assign_yaml(&agent.label, "a: 2\n");
        agent.offers.clear();
        assert_eq!(agent.offer().config_hash, hash, "a change is offered");
    }
}

fn c_125_fresh_agent() {
    let server = server::shared();
    for via in BOTH {
        let label = say::name();
        let hash = server.assign_yaml(&label, "a: 1\n");
        let mut agent = Agent::known_as(&server, via, say::uid(), label);
        agent.hello();
        assert_eq!(agent.offer().config_hash, hash);
        agent.report(&hash, Applying);
        agent.report(&hash, Applied);
        agent.beats(5);
        assert_eq!(agent.offers_seen, 1, "{via:?}");
    }
}

fn c_126_omitted_status() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        server.assign_yaml(&agent.label, "a: 1\n");
        agent.apply_offer();
        nothing_offered(&mut agent, 5);
        let hash = server.assign_yaml(&agent.label, "a: 2\n");
        assert_eq!(
            agent.offer().config_hash,
            hash,
            "{via:?}: heartbeats are enough"
        );
    }
}

fn c_127_at_once() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        // one may come while the machine stands still
        let is_prompt = (1..=3).any(|number| {
            let hash = server.assign_yaml(&agent.label, &format!("a: {number}\n"));
            let since = crate::deadline::Since::now();
            assert_eq!(agent.offer().config_hash, hash);
            let took = since.elapsed();
            agent.report(&hash, Applied);
            // a second, and what the rest of the suite costs on a small machine
            took.as_millis() < 3000
        });
        assert!(is_prompt, "{via:?}: three offers were late");
    }
}

fn c_128_quick_changes() {
    let server = server::shared();
    for via in BOTH {
        let (mut agent, first) = offered(&server, via);
        agent.report(&first, Applying);
        server.assign_yaml(&agent.label, "a: 2\n");
        server.assign_yaml(&agent.label, "a: 3\n");
        let last = server.assign_yaml(&agent.label, "a: 4\n");
        crate::deadline::until_true("the last one", || agent.offer().config_hash == last);
        agent.report(&first, Applied);
        agent.report(&last, Applying);
        agent.report(&last, Applied);
        server.agent("the last one", agent.uid, |agent| {
            agent["config"]["reported_hash"] == hex::encode(&last)
                && agent["config"]["drifted"] == false
        });
        nothing_offered(&mut agent, 3);
    }
}

fn c_129_word_about_an_older_hash() {
    let server = server::shared();
    for via in BOTH {
        let (mut agent, first) = offered(&server, via);
        let second = server.assign_yaml(&agent.label, "second: 2\n");
        assert_eq!(agent.offer().config_hash, second);
        agent.report(&first, Applying);
        let shown = server.agent("the word", agent.uid, |agent| {
            agent["config"]["status"] == "applying"
        });
        assert_eq!(shown["config"]["reported_hash"], hex::encode(&first));
        assert_eq!(shown["config"]["drifted"], true, "{via:?}");
        agent.report(&first, Applied);
        let shown = server.agent("the word", agent.uid, |agent| {
            agent["config"]["status"] == "applied"
        });
        assert_eq!(
            shown["config"]["drifted"], true,
            "{via:?}: not what is wanted"
        );
    }
}

fn c_130_status_by_hash() {
    let server = server::shared();
    for via in BOTH {
        let (mut agent, first) = offered(&server, via);
        agent.report(&first, Failed);
        let shown = server.agent("the failure", agent.uid, |agent| {
            agent["config"]["status"] == "failed"
        });
        assert_eq!(shown["config"]["error"], "does not parse");
        assert_eq!(shown["config"]["why"], "failed", "{via:?}");
        let second = server.assign_yaml(&agent.label, "second: 2\n");
        agent.offer();
        agent.report(&second, Applied);
        let shown = server.agent("success", agent.uid, |agent| {
            agent["config"]["status"] == "applied"
        });
        assert_eq!(
            shown["config"]["error"], "",
            "{via:?}: that was the other one"
        );
        assert_eq!(shown["config"]["drifted"], false);
    }
}

fn c_131_rollback() {
    let server = server::shared();
    for via in BOTH {
        let (mut agent, first) = offered(&server, via);
        agent.report(&first, Applied);
        let second = server.assign_yaml(&agent.label, "second: [broken]\n");
        assert_eq!(agent.offer().config_hash, second);
        agent.report(&second, Applying);
        agent.report(&second, Failed);
        agent.report(&first, Applied);
        let before = agent.offers_seen;
        for _ in 0..5 {
            agent.report(&first, Applied);
            agent.beats(2);
        }
        assert_eq!(agent.offers_seen, before, "{via:?}: it failed here once");
        server.agent("why is not forgotten", agent.uid, |agent| {
            agent["config"]["reported_hash"] == hex::encode(&first)
                && agent["config"]["error"] == "does not parse"
        });
        // neither another connection, nor a new start of the agent, nor a new session makes it forget
        agent.reconnect();
        agent.beats(3);
        agent.sequence = 0;
        let mut full = agent.full();
        full.remote_config_status = Some(say::status(&first, Applied, ""));
        agent.ask(&full);
        agent.beats(3);
        left_and_back(&server, &mut agent);
        agent.report(&first, Applied);
        agent.beats(3);
        assert_eq!(agent.offers_seen, before, "{via:?}: after a while");
        let third = server.assign_yaml(&agent.label, "third: 3\n");
        agent.offers.clear();
        assert_eq!(
            agent.offer().config_hash,
            third,
            "something else is offered"
        );
        let none = json!({"configuration": null});
        server.group(&agent.label, &none);
    }
}
