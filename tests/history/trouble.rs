//! Postgres is stopped, frozen, cut off, locked, filled and killed while agents report: agents and operators notice
//! nothing, readiness says why, and afterwards every event is in the table once.

use crate::cluster::{Cluster, SOON};
use crate::fleet::Fleet;
use crate::postgres::{Database, Listen, PASSWORD, Server, Version};
use crate::stage::{Answers, setting};
use crate::support::eventually;
use crate::tables::{Tables, dropped};
use crate::wire::Wire;

const AGENTS: usize = 200;

/// Something that befalls Postgres.
struct Trouble<'a, B, E> {
    tables: Tables<'a>,
    settings: &'a [&'a str],
    begin: B,
    /// What of these readiness says.
    reasons: &'a [&'a str],
    answers: Answers,
    end: E,
}

impl<T, B: FnOnce() -> T, E: FnOnce(T)> Trouble<'_, B, E> {
    /// It happens while agents report, and is over.
    fn befalls(self) {
        let tables = self.tables;
        let all = Cluster::one_with(self.settings);
        let fleet = Fleet::chatty(AGENTS, &[all.node(1).opamp_addr]);
        tables.until("connected", AGENTS as u64);
        all.goes(1);
        let uids = all.agents(1, AGENTS);

        let trouble = (self.begin)();
        all.degraded(1, self.reasons);
        all.goes_on(1, &uids[0]);
        all.tells_the_last(1, &uids[1], self.answers);
        all.degraded(1, self.reasons);
        (self.end)(trouble);

        all.goes(1);
        assert_eq!(fleet.summary().restarts, 1);
        fleet.stop();
        tables.until("disconnected", AGENTS as u64);
        tables.counted(&all, 1);
        tables.whole();
        let page = all.page(1, &uids[0], "kind=connected,disconnected");
        assert_eq!(page["complete"], true, "{page}");
        all.tells_no_password(1);
    }
}

fn over_tcp(settings: &[&str]) -> (Server, Database) {
    let server = Server::start(Version::Newest, Listen::Loopback, settings);
    let database = server.database();
    (server, database)
}

fn tables<'a>(server: &'a Server, database: &'a Database) -> Tables<'a> {
    Tables { server, database }
}

const AWAY: [&str; 1] = ["is away"];

#[test]
fn stopped_and_started_again() {
    let (server, database) = over_tcp(&[]);
    let trouble = Trouble {
        tables: tables(&server, &database),
        settings: &[&setting(&server.tcp_url(&database.name))],
        begin: || server.stop(),
        reasons: &AWAY,
        answers: Answers::Nothing,
        end: |()| server.start_again(),
    };
    trouble.befalls();
}

#[test]
fn killed_and_started_again() {
    let (server, database) = over_tcp(&[]);
    let trouble = Trouble {
        tables: tables(&server, &database),
        settings: &[&setting(&server.tcp_url(&database.name))],
        begin: || server.kill(),
        reasons: &AWAY,
        answers: Answers::Nothing,
        end: |()| server.start_again(),
    };
    trouble.befalls();
}

#[test]
fn frozen() {
    let (server, database) = over_tcp(&[]);
    let trouble = Trouble {
        tables: tables(&server, &database),
        settings: &[&setting(&server.tcp_url(&database.name))],
        begin: || server.freeze(),
        reasons: &["has not answered", "is away", "are in use"],
        answers: Answers::Nothing,
        end: |()| server.thaw(),
    };
    trouble.befalls();
}

#[test]
fn cut_off() {
    let (server, database) = over_tcp(&[]);
    let wire = Wire::to(server.port());
    let (port, name) = (wire.port(), &database.name);
    let url = format!("postgres://postgres:{PASSWORD}@127.0.0.1:{port}/{name}");
    let trouble = Trouble {
        tables: tables(&server, &database),
        settings: &[&setting(&url)],
        begin: || wire.cut(),
        reasons: &AWAY,
        answers: Answers::Nothing,
        end: |()| wire.mend(),
    };
    trouble.befalls();
}

#[test]
fn locked_by_somebody_with_one_connection_in_the_pool() {
    let (server, database) = over_tcp(&[]);
    let lock = "LOCK TABLE history_cursor IN ACCESS EXCLUSIVE MODE";
    let trouble = Trouble {
        tables: tables(&server, &database),
        settings: &[
            &setting(&server.tcp_url(&database.name)),
            "postgres.max_pool_size=1",
        ],
        begin: || server.hold(&database.name, lock),
        reasons: &["lock", "are in use"],
        answers: Answers::Perhaps,
        end: drop,
    };
    trouble.befalls();
}

#[test]
fn filled_to_the_last_byte() {
    let server = Server::with_space(Version::Newest, Listen::Loopback);
    let database = server.database_in_space();
    let trouble = Trouble {
        tables: tables(&server, &database),
        settings: &[&setting(&server.tcp_url(&database.name))],
        begin: || server.fill(),
        reasons: &["No space left"],
        answers: Answers::All,
        end: |()| server.empty(),
    };
    trouble.befalls();
}

/// As small as a spool may be.
const SMALL: &str = "history.spool_max_bytes=16777216";

/// Each agent says so much again every ten seconds.
const EFFECTIVE_BYTES: usize = 32 * 1024;

#[test]
fn away_for_longer_than_the_spool_holds() {
    let (server, database) = over_tcp(&[]);
    let tables = tables(&server, &database);
    let all = Cluster::one_with(&[&setting(&server.tcp_url(&database.name)), SMALL]);
    let fleet = Fleet::wordy(AGENTS, &[all.node(1).opamp_addr], EFFECTIVE_BYTES);
    all.goes(1);
    server.stop();
    all.degraded(1, &AWAY);
    eventually("the spool is full", 2 * SOON, || {
        (dropped(&all, 1, "collapsed") > 0.0).then_some(())
    });
    // what came between two looks is above the cap
    assert!(all.metric(1, "ampora_history_spool_bytes") < 30e6);
    server.start_again();
    all.goes(1);
    fleet.stop();
    tables.until("disconnected", AGENTS as u64);
    tables.counted(&all, 1);
}
