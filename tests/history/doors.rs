//! How nodes meet a Postgres that is empty, newer, behind a pooler, or not theirs.

use std::thread;

use rcgen::{CertificateParams, KeyPair};

use crate::cluster::{Cluster, SOON};
use crate::fleet::Fleet;
use crate::postgres::{Database, Listen, PASSWORD, Server, Version};
use crate::stage::{Answers, setting};
use crate::support::{ampora, eventually};
use crate::tables::Tables;

const AGENTS: usize = 20;

/// Runs `ampora migrate`, and answers what it printed.
fn migrate(url: &str) -> String {
    let home = tempfile::tempdir().expect("a directory");
    let output = ampora(home.path())
        .args(["migrate", "--set", &setting(url)])
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("a text")
}

/// Agents come and go, and the table tells of it once.
fn works(all: &Cluster, tables: &Tables<'_>) {
    all.goes(1);
    let before = tables.events("disconnected");
    let fleet = Fleet::quiet(AGENTS, &[all.node(1).opamp_addr]);
    let uid = all.agents(1, AGENTS).swap_remove(0);
    all.goes_on(1, &uid);
    fleet.stop();
    tables.until("disconnected", before + AGENTS as u64);
    tables.whole();
    assert_eq!(all.page(1, &uid, "kind=connected")["complete"], true);
}

#[test]
fn two_nodes_that_start_at_once_make_the_tables_once() {
    let server = Server::shared(Version::Oldest);
    let database = server.database();
    let url = setting(&database.url);
    let nodes = [0, 1].map(|_| {
        let url = url.clone();
        thread::spawn(move || {
            let all = Cluster::one_with(&[&url]);
            all.goes(1);
            all
        })
    });
    let nodes = nodes.map(|node| node.join().expect("it starts"));
    let versions = "SELECT count(*) = count(DISTINCT version) AND count(*) = max(version) FROM ampora_schema_history";
    assert_eq!(server.sql(&database.name, versions), "t");
    let tables = Tables {
        server,
        database: &database,
    };
    for all in &nodes {
        works(all, &tables);
    }
    assert!(migrate(&database.url).contains("already"));
}

#[test]
fn a_cluster_that_begins_anew_goes_on_in_the_tables_of_the_old_one() {
    let server = Server::shared(Version::Oldest);
    let database = server.database();
    let tables = Tables {
        server,
        database: &database,
    };
    let url = setting(&database.url);
    let mut newest = 0;
    for lineages in 1..=2 {
        let all = Cluster::one_with(&[&url]);
        works(&all, &tables);
        eventually("its audit is there", 2 * SOON, || {
            let known = tables.number("SELECT count(DISTINCT lineage) FROM audit_events");
            (known == lineages).then_some(())
        });
        // its agents have the same names: what they said last comes from the newer cluster, although its fences are small
        let told = "FROM agent_latest WHERE kind = 'disconnected' AND \
                      (state #>> '{disconnected,order,0}')::bigint";
        eventually("what its agents said last is there", 2 * SOON, || {
            let known = tables.number(&format!("SELECT count(*) {told} > {newest}"));
            (known == AGENTS as u64).then_some(())
        });
        newest = tables
            .number("SELECT max((state #>> '{disconnected,order,0}')::bigint) FROM agent_latest");
        drop(all);
        // leases were exchanged often in its time
        tables.sql("UPDATE history_lease SET fence = fence + 1000");
    }
}

#[test]
fn a_newer_schema_is_left_alone_and_the_version_is_named() {
    let server = Server::shared(Version::Newest);
    let database = server.database();
    let tables = Tables {
        server,
        database: &database,
    };
    let made = migrate(&database.url);
    assert!(made.contains("from version 0 to"), "{made}");
    tables.sql(
        "INSERT INTO ampora_schema_history SELECT 999, 'later', applied_on, checksum \
         FROM ampora_schema_history WHERE version = 1",
    );
    let all = Cluster::one_with(&[&setting(&database.url)]);
    all.degraded(1, &["version 999"]);
    let fleet = Fleet::quiet(AGENTS, &[all.node(1).opamp_addr]);
    let uid = all.agents(1, AGENTS).swap_remove(0);
    all.goes_on(1, &uid);
    let path = format!("/agents/{uid}/history");
    all.until(1, &path, "it is told", |page| {
        page["items"][0]["at"].as_str().map(drop)
    });
    all.degraded(1, &["version 999"]);
    let tables_of_it = [
        "agent_status_history",
        "audit_events",
        "dispatch_envelopes",
        "agent_latest",
    ];
    for table in tables_of_it {
        let rows = tables.number(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(rows, 0, "{table}");
    }
    tables.sql("DELETE FROM ampora_schema_history WHERE version = 999");
    all.goes(1);
    fleet.stop();
    tables.until("disconnected", AGENTS as u64);
    tables.whole();
}

#[test]
fn a_pooler_is_enough_once_the_tables_are_there() {
    let server = Server::shared(Version::Distribution);
    let database = server.database();
    let pooler = server.pooler("transaction", 4);
    let url = pooler.url(&database.name);
    let all = Cluster::one_with(&[&setting(&url)]);
    let reason = all.degraded(1, &["transaction mode"]);
    assert!(reason.contains("ampora migrate"), "{reason}");
    migrate(&database.url);
    let tables = Tables {
        server,
        database: &database,
    };
    works(&all, &tables);
    tables.counted(&all, 1);
}

/// A server with a certificate that nobody knows.
fn with_certificate() -> (Server, Database) {
    let server = Server::start(Version::Newest, Listen::Loopback, &[]);
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    server.write("server.crt", &certificate.pem());
    server.write("server.key", &key.serialize_pem());
    server.stop();
    server.configure("ssl = on");
    server.start_again();
    let database = server.database();
    (server, database)
}

#[test]
fn a_wrong_password_host_or_certificate_keeps_no_node_from_starting() {
    let (server, database) = with_certificate();
    let name = &database.name;
    let right = server.tcp_url(name);
    let cases = [
        (
            right.replace(PASSWORD, "hunter2secret-and-more"),
            "lets nobody in",
        ),
        (right.replace(name, "nowhere"), "lets nobody in"),
        (
            format!("postgres://postgres:{PASSWORD}@nowhere.invalid/{name}"),
            "is away",
        ),
        (
            format!("postgres://postgres:{PASSWORD}@127.0.0.1:1/{name}"),
            "is away",
        ),
        (format!("{right}?sslmode=verify-full"), "TLS"),
        (
            format!("{right}?sslmode=verify-full&sslrootcert=/nowhere.pem"),
            "/nowhere.pem",
        ),
    ];
    for (url, reason) in cases {
        let all = Cluster::one_with(&[&setting(&url)]);
        all.degraded(1, &[reason]);
        let fleet = Fleet::quiet(AGENTS, &[all.node(1).opamp_addr]);
        let uid = all.agents(1, AGENTS).swap_remove(0);
        all.goes_on(1, &uid);
        all.tells_the_last(1, &uid, Answers::Nothing);
        fleet.stop();
        all.tells_no_password(1);
    }
    let all = Cluster::one_with(&[&setting(&format!("{right}?sslmode=require"))]);
    let tables = Tables {
        server: &server,
        database: &database,
    };
    works(&all, &tables);
}
