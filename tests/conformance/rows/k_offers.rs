//! K. Offers over time: nothing assigned, agents that ignore, other servers' hashes, who may assign.

use ampora_proto::wire::RemoteConfigStatuses::{Applied, Failed, Unset};
use serde_json::json;

use crate::agent::{Agent, BOTH};
use crate::row::{Row, row};
use crate::say;
use crate::server;

pub(crate) const ROWS: &[Row] = &[
    row!(
        135,
        "derived",
        "Nothing assigned is not an empty configuration: nothing is sent.",
        c_135_nothing_assigned
    ),
    row!(
        138,
        "may",
        "A description may change what is wanted; the offer comes in the same reply.",
        c_138_description_changes_what_is_wanted
    ),
    row!(
        139,
        "derived",
        "An agent that ignores an offer is not flooded.",
        c_139_ignored_offer
    ),
    row!(
        140,
        "derived",
        "A hash that nobody knows is answered by what is wanted, or by nothing.",
        c_140_foreign_hash
    ),
    row!(
        141,
        "derived",
        "An offer may ride in the reply that asks for the full state.",
        c_141_offer_beside_the_flag
    ),
    row!(
        142,
        "derived",
        "Configurations are validated, and who may assign is checked.",
        c_142_who_may_assign
    ),
];

fn c_135_nothing_assigned() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        agent.report(&[3; 32], Applied);
        assert!(
            agent
                .beats(3)
                .iter()
                .all(|message| message.remote_config.is_none())
        );
        server.assign_yaml(&agent.label, "a: 1\n");
        agent.apply_offer();
        server.group(&agent.label, &json!({"configuration": null}));
        server.agent("nothing is wanted", agent.uid, |agent| {
            agent["config"]["desired_hash"].is_null()
        });
        let full = agent.full();
        agent.ask(&full);
        agent.report(b"", Unset);
        agent.beats(5);
        assert_eq!(
            agent.offers_seen, 1,
            "{via:?}: nothing is sent when nothing is wanted"
        );
        // an empty one is an explicit act
        let hash = server.assign(&agent.label, &[]);
        let offer = agent.offer();
        assert_eq!(offer.config_hash, hash);
        assert!(offer.config.expect("a map").config_map.is_empty());
    }
}

fn c_138_description_changes_what_is_wanted() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let label = say::name();
        let hash = server.assign_yaml(&label, "a: 1\n");
        let reply = agent.tell(|message| {
            message.agent_description = Some(say::description(&[("conf", &label)]));
        });
        let offer = reply.remote_config.expect("the offer in the same reply");
        assert_eq!(offer.config_hash, hash, "{via:?}");
    }
}

fn c_139_ignored_offer() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        server.assign_yaml(&agent.label, "a: 1\n");
        agent.offer();
        agent.beats(30);
        for _ in 0..3 {
            agent.report(b"", Unset);
        }
        assert_eq!(agent.offers_seen, 1, "{via:?}: a minute has to pass");
    }
}

fn c_140_foreign_hash() {
    let server = server::shared();
    for via in BOTH {
        for foreign in [
            &[9; 32][..],
            &[1],
            b"another server's 40-byte hash 0123456789",
        ] {
            let mut agent = Agent::introduced(&server, via);
            let reply = agent.report(foreign, Applied);
            assert_eq!((reply.error_response, reply.remote_config), (None, None));
            let hash = server.assign_yaml(&agent.label, "a: 1\n");
            assert_eq!(agent.offer().config_hash, hash);
            agent.report(&hash, Failed);
        }
    }
}

fn c_141_offer_beside_the_flag() {
    let server = server::shared();
    for via in BOTH {
        let label = say::name();
        let hash = server.assign_yaml(&label, "a: 1\n");
        let mut agent = Agent::known_as(&server, via, say::uid(), label.clone());
        agent.sequence = 17;
        // not complete: health is announced and missing
        let reply = agent.tell(|message| {
            message.agent_description = Some(say::description(&[("conf", &label)]));
        });
        assert!(say::asks_full_state(&reply), "{via:?}");
        assert_eq!(
            agent.offer().config_hash,
            hash,
            "asking does not hold it up"
        );
        let full = agent.full();
        let reply = agent.ask(&full);
        assert_eq!((reply.flags, reply.error_response), (0, None));
    }
}

fn c_142_who_may_assign() {
    let server = server::shared();
    for (method, path) in [
        ("PUT", "/api/v1/groups/x"),
        ("POST", "/api/v1/configurations/x/versions"),
        ("POST", "/api/v1/dispatches"),
        ("GET", "/api/v1/configurations"),
    ] {
        assert_eq!(
            server.ask_as_nobody(method, path).status,
            401,
            "{method} {path}"
        );
    }
    let broken =
        json!({"files": [{"name": "", "content_type": "text/yaml", "body": "a: [1\nb: 2\n"}]});
    let (status, problem) = server.ask("POST", "/configurations/broken/versions", &broken);
    assert_eq!(status, 422, "{problem}");
    assert!(problem["errors"][0]["line"].is_u64(), "{problem}");
    let (status, problem) = server.ask(
        "POST",
        "/configurations/empty/versions",
        &json!({"files": []}),
    );
    assert_eq!(status, 422, "nothing by accident: {problem}");
    let form = json!({"selector": "env in (", "configuration": null});
    let (status, problem) = server.ask("PUT", "/groups/broken", &form);
    assert_eq!(status, 422, "{problem}");
    let form = json!({"selector": "*", "configuration": {"name": "nowhere"}});
    let (status, problem) = server.ask("PUT", "/groups/broken", &form);
    assert!((400..500).contains(&status), "{problem}");
}
