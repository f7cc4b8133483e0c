//! The servers of the other tests: they start, follow each other, stand behind a pooler, stop and come back.

use crate::postgres::{Listen, Server, Version};

#[test]
fn a_database_of_each_version_answers() {
    for (version, major) in Version::ALL.into_iter().zip([14, 15, 18]) {
        let server = Server::shared(version);
        let database = server.database();
        let number = server.sql(&database.name, "SHOW server_version_num");
        let number: u32 = number.parse().expect("a number");
        assert!(number / 10_000 == major || version == Version::Distribution);
    }
}

#[test]
fn a_replica_follows_and_both_end_and_come_back() {
    let primary = Server::start(Version::Newest, Listen::Loopback, &[]);
    let replica = primary.replica(Listen::Socket);
    primary.stop();
    primary.start_again();
    primary.kill();
    primary.start_again();
    primary.sql("postgres", "CREATE TABLE t (n int)");
    let follows = || replica.sql("postgres", "SELECT to_regclass('t') IS NOT NULL") == "t";
    for _ in 0..1_000 {
        if follows() {
            return;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    panic!("the replica does not follow:\n{}", replica.log());
}

#[test]
fn a_pooler_shares_one_server_process_among_clients() {
    let server = Server::shared(Version::Distribution);
    let database = server.database();
    let pooler = server.pooler("transaction", 1);
    let pid = |url: &str| crate::postgres::sql_at(url, "SELECT pg_backend_pid()");
    let url = pooler.url(&database.name);
    assert_eq!(pid(&url), pid(&url));
    assert_ne!(pid(&database.url), pid(&database.url));
}
