//! A cluster that begins anew from a backup, with the Postgres of before: what both have done is there once.

use serde_json::Value;

use crate::cluster::{Cluster, SOON};
use crate::fleet::Fleet;
use crate::postgres::{Server, Version};
use crate::stage::setting;
use crate::support::{ampora, eventually};
use crate::tables::Tables;

const AGENTS: usize = 10;

fn newest(all: &Cluster, slot: u64) -> u64 {
    let page = all.get(slot, "/audit?limit=1");
    page["items"][0]["seq"].as_u64().expect("a number")
}

#[test]
fn each_record_and_delivery_comes_once_through_a_restore() {
    let server = Server::shared(Version::Newest);
    let database = server.database();
    let tables = Tables {
        server,
        database: &database,
    };
    let mut all = Cluster::one_with(&[&setting(&database.url)]);
    let fleet = Fleet::quiet(AGENTS, &[all.node(1).opamp_addr]);
    let uids = all.agents(1, AGENTS);
    all.goes_on(1, &uids[0]);
    all.goes_on(1, &uids[1]);
    let file = all.home_of(1).join("fleet.backup");
    let file = file.to_str().expect("a text").to_owned();
    let saved = newest(&all, 1);
    all.run(1, &["backup", "save", &file]);
    all.goes_on(1, &uids[2]);
    all.goes_on(1, &uids[3]);
    let audit = newest(&all, 1);
    let envelopes = "SELECT count(*) FROM dispatch_envelopes WHERE state = 'succeeded'";
    eventually("all that the first cluster did", SOON, || {
        let is_there = tables.are_there() && tables.chain() == audit;
        (is_there && tables.number(envelopes) == 4).then_some(())
    });
    fleet.stop();
    all.stop(1);

    let home = all.home_of(2);
    let mut restore = ampora(&home);
    restore.args([
        "backup",
        "restore",
        &file,
        "--data-dir",
        "data",
        "-o",
        "json",
    ]);
    let output = restore.output().expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    let restored: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let lineage = restored["lineage"].as_str().expect("a text").to_owned();
    all.start(2, &[]);
    all.goes(2);
    let fleet = Fleet::quiet(AGENTS, &[all.node(2).opamp_addr]);
    all.goes_on(2, &uids[4]);
    all.goes_on(2, &uids[5]);
    let last = newest(&all, 2);
    let of_it =
        format!("SELECT coalesce(max(seq), 0) FROM audit_events WHERE lineage = '{lineage}'");
    eventually("all that the second cluster did", SOON, || {
        (tables.number(&of_it) == last && tables.number(envelopes) == 6).then_some(())
    });
    // what both have is of the first, and the second goes on where the backup ended
    let first = format!("SELECT min(seq) FROM audit_events WHERE lineage = '{lineage}'");
    let first = tables.number(&first);
    // saving leaves records, of which the backup has the first
    assert!(
        first > saved && first <= audit,
        "{saved} < {first} <= {audit}"
    );
    assert_eq!(tables.chain(), audit + last + 1 - first);
    fleet.stop();
}

/// Such as a replica that took over and lacked the last moment.
#[test]
fn an_older_copy_of_the_database_gets_again_what_the_fleet_has() {
    let server = Server::shared(Version::Oldest);
    let database = server.database();
    let tables = Tables {
        server,
        database: &database,
    };
    let all = Cluster::one_with(&[&setting(&database.url)]);
    let fleet = Fleet::quiet(AGENTS, &[all.node(1).opamp_addr]);
    let uids = all.agents(1, AGENTS);
    all.goes_on(1, &uids[0]);
    all.goes_on(1, &uids[1]);
    let all_is_there = || {
        let audit = newest(&all, 1);
        let envelopes = "SELECT count(*) FROM dispatch_envelopes WHERE state = 'succeeded'";
        eventually("all that was done", 2 * SOON, || {
            let is_there = tables.are_there() && tables.chain() == audit;
            (is_there && tables.number(envelopes) == 2).then_some(())
        });
    };
    all_is_there();
    tables.sql(
        "DELETE FROM audit_events WHERE seq > (SELECT max(seq) - 3 FROM audit_events); \
         UPDATE history_cursor SET seq = seq - 3 WHERE stream LIKE 'audit:%'; \
         DELETE FROM dispatch_envelopes; \
         UPDATE history_cursor SET seq = 0 WHERE stream LIKE 'dispatch:%'",
    );
    all.put(1, "later");
    all_is_there();
    fleet.stop();
    tables.whole();
}
