//! Z. What is asked of a server that agents and operators need not trust blindly.

use ampora_proto::wire::RemoteConfigStatuses;

use crate::agent::{Agent, BOTH};
use crate::row::{Row, open, row};
use crate::say;
use crate::server;

pub(crate) const ROWS: &[Row] = &[
    row!(
        321,
        "recommended",
        "An agent may refuse, and its reason is shown.",
        c_321_refusal_is_shown
    ),
    open!(
        322,
        "recommended",
        "Keys that sign code are not on the server.",
        "there are no packages yet (a later step)"
    ),
    open!(
        323,
        "recommended",
        "The key of the clients' authority is kept apart.",
        "credentials are not issued yet (a later step)"
    ),
    open!(
        324,
        "derived",
        "Inbound data is escaped where it is shown, and capped by field and by credential.",
        "enrollment tokens come with step 3"
    ),
    open!(
        325,
        "derived",
        "Tenants are kept apart.",
        "there are no tenants: one cluster serves one organisation"
    ),
    row!(
        326,
        "derived",
        "It is on record who offered what to whom.",
        c_326_assignments_are_on_record
    ),
];

fn c_321_refusal_is_shown() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let hash = server.assign_yaml(&agent.label, "a: 1\n");
        agent.offer();
        agent.tell(|message| {
            message.remote_config_status = Some(say::status(
                &hash,
                RemoteConfigStatuses::Failed,
                "refused by <policy> & \"rule 7\"",
            ));
        });
        server.agent("the reason", agent.uid, |agent| {
            agent["config"]["status"] == "failed"
                && agent["config"]["error"] == "refused by <policy> & \"rule 7\""
        });
    }
}

fn c_326_assignments_are_on_record() {
    let server = server::shared();
    let agent = Agent::introduced(&server, BOTH[0]);
    let hash = server.assign_yaml(&agent.label, "a: 326\n");
    let path = format!("/audit?target={}&action=group.put", agent.label);
    let records = server.get(&path);
    let record = &records["items"][0];
    let settled = &record["after"]["assignment"]["settled"];
    assert_eq!(settled["hash"], hex::encode(&hash), "{record}");
    assert_eq!(record["after"]["selector"], format!("conf={}", agent.label));
    assert_eq!(record["actor"], "admin");
    assert_eq!(record["from"], "127.0.0.1");
    let verified = server.get("/audit/verify");
    assert_eq!(verified["ok"], true, "{verified}");
}
