//! Nodes that end, by a signal or by a power cut, and what of history outlives them.

use nix::sys::signal::Signal;

use crate::cluster::{Cluster, SOON};
use crate::fleet::Fleet;
use crate::postgres::{Database, Listen, Server, Version};
use crate::stage::setting;
use crate::support::eventually;
use crate::tables::Tables;

const AGENTS: usize = 200;

#[test]
fn what_was_flushed_outlives_a_kill_and_the_next_start_brings_it_over() {
    let server = Server::start(Version::Newest, Listen::Socket, &[]);
    let database = server.database();
    let tables = Tables {
        server: &server,
        database: &database,
    };
    let mut all = Cluster::one_with(&[&setting(&database.url)]);
    let fleet = Fleet::chatty(AGENTS, &[all.node(1).opamp_addr]);
    tables.until("connected", AGENTS as u64);
    let before = tables.streams()[0].id.clone();
    // nothing of what comes now can have been exported before the kill
    server.stop();
    let uid = all.agents(1, AGENTS).swap_remove(0);
    let shown = || all.page(1, &uid, "limit=1000&kind=health");
    let had = shown()["items"].as_array().expect("a list").len();
    eventually("more is flushed", SOON, || {
        let items = shown()["items"].as_array()?.len();
        (items > had + 2).then_some(())
    });
    let spooled = shown()["items"].as_array().expect("a list").clone();
    all.kill(1);
    fleet.leave();
    server.start_again();

    all.start_again(1);
    all.goes(1);
    let newest = spooled[0]["seq"].as_u64().expect("a number");
    let place = format!("stream = '{before}' AND seq = {newest}");
    let sql = format!("SELECT count(*) FROM agent_status_history WHERE {place}");
    eventually("what the dead one flushed is in the table", SOON, || {
        (tables.number(&sql) == 1).then_some(())
    });
    let fleet = Fleet::chatty(AGENTS, &[all.node(1).opamp_addr]);
    eventually("the second start has a stream of its own", SOON, || {
        (tables.streams().len() == 2).then_some(())
    });
    fleet.leave();
    all.stop(1);
    tables.whole();
}

/// Kinds and sequence numbers of an agent's events in the table, newest first.
fn in_table(server: &Server, database: &Database, uid: &str) -> Vec<(String, u64)> {
    let sql = format!(
        "SELECT kind, seq FROM agent_status_history WHERE instance_uid = '{uid}' ORDER BY at DESC, seq DESC"
    );
    let rows = server.sql(&database.name, &sql);
    let row = |line: &str| {
        let (kind, seq) = line.split_once('|').expect("columns");
        (kind.to_owned(), seq.parse().expect("a number"))
    };
    rows.lines().map(row).collect()
}

#[test]
fn postgres_that_is_added_later_gets_what_the_node_has() {
    let server = Server::shared(Version::Distribution);
    let database = server.database();
    let tables = Tables {
        server,
        database: &database,
    };
    let mut all = Cluster::of_one();
    let fleet = Fleet::chatty(AGENTS, &[all.node(1).opamp_addr]);
    let uid = all.agents(1, AGENTS).swap_remove(0);
    let healths = format!("/agents/{uid}/history?kind=health");
    all.until(1, &healths, "some of it", |page| {
        (page["items"].as_array()?.len() > 2).then_some(())
    });
    fleet.stop();
    let left = format!("/agents/{uid}/history?kind=disconnected");
    all.until(1, &left, "it left", |page| {
        (page["items"].as_array()?.len() == 1).then_some(())
    });
    let audit = all.get(1, "/audit?limit=1000")["items"].clone();
    let audit = audit.as_array().expect("a list").len() as u64;
    let page = all.page(1, &uid, "limit=1000");
    let embedded: Vec<_> = { page["items"].as_array().expect("a list").iter() }
        .map(|item| (item["kind"].clone(), item["seq"].clone()))
        .collect();
    all.stop(1);

    all.start(1, &["--set", &setting(&database.url)]);
    all.goes(1);
    tables.until("disconnected", AGENTS as u64);
    let table = in_table(server, &database, &uid);
    assert_eq!(
        embedded,
        { table.iter() }
            .map(|(kind, seq)| (kind.as_str().into(), (*seq).into()))
            .collect::<Vec<_>>()
    );
    tables.whole();
    eventually("the audit from its beginning", SOON, || {
        (tables.chain() >= audit).then_some(())
    });
    assert_eq!(all.page(1, &uid, "limit=1000")["items"], page["items"]);
}

#[test]
fn a_drain_is_in_history_after_the_next_start() {
    let server = Server::shared(Version::Newest);
    let database = server.database();
    let tables = Tables {
        server,
        database: &database,
    };
    for settings in [vec![], vec![setting(&database.url)]] {
        let settings: Vec<_> = settings.iter().map(String::as_str).collect();
        let mut all = Cluster::one_with(&settings);
        let fleet = Fleet::quiet(AGENTS, &[all.node(1).opamp_addr]);
        let uids = all.agents(1, AGENTS);
        all.node(1).signal(Signal::SIGTERM);
        let (status, log) = all.ended(1);
        assert!(status.success(), "{log}");
        fleet.leave();
        all.start_again(1);
        for uid in uids.iter().take(5) {
            let path = format!("/agents/{uid}/history?limit=1");
            all.until(1, &path, "its drain", |page| {
                let last = &page["items"][0];
                (last["kind"] == "disconnected" && last["body"]["reason"] == "drained")
                    .then_some(())
            });
        }
        if !settings.is_empty() {
            all.goes(1);
            tables.until("disconnected", AGENTS as u64);
            let drained =
                "SELECT count(*) FROM agent_status_history WHERE body ->> 'reason' = 'drained'";
            assert_eq!(tables.number(drained), AGENTS as u64);
            tables.whole();
        }
    }
}
