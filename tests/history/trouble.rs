//! Postgres is stopped, frozen, cut off, locked, filled and killed while agents report: agents and operators notice
//! nothing, readiness says why, and afterwards every event is in the table once.

use crate::cluster::{Cluster, SOON};
use crate::fleet::Fleet;
use crate::postgres::{Database, Listen, PASSWORD, Server, Version};
use crate::stage::{Answers, setting};
use crate::support::eventually;
use crate::tables::{Tables, dropped};
use crate::wire::Wire;

/// Agents that report meanwhile. `make trouble` has ten thousand of them.
fn agents() -> usize {
    let many = std::env::var("TROUBLE_AGENTS").ok();
    many.map_or(200, |text| text.parse().expect("a number of agents"))
}

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
        let (tables, agents) = (self.tables, agents());
        let all = Cluster::one_with(self.settings);
        let fleet = Fleet::chatty(agents, &[all.node(1).opamp_addr]);
        tables.until("connected", agents as u64);
        all.goes(1);
        let uids = all.agents(1, agents);

        let trouble = (self.begin)();
        all.degraded(1, self.reasons);
        all.goes_on(1, &uids[0]);
        all.tells_the_last(1, &uids[1], self.answers);
        all.degraded(1, self.reasons);
        (self.end)(trouble);

        all.goes(1);
        assert_eq!(fleet.summary().restarts, 1);
        fleet.stop();
        tables.until("disconnected", agents as u64);
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
fn stopped_while_nobody_reports() {
    let (server, database) = over_tcp(&[]);
    let all = Cluster::one_with(&[&setting(&server.tcp_url(&database.name))]);
    all.goes(1);
    server.stop();
    all.degraded(1, &AWAY);
    server.start_again();
    all.goes(1);
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

/// Room for a database that is empty, and for what an agent says in a test.
const SPACE_BYTES: u64 = 24 << 20;
const AGENT_BYTES: u64 = 40_000;

#[test]
fn filled_to_the_last_byte() {
    let bytes = SPACE_BYTES + agents() as u64 * AGENT_BYTES;
    let server = Server::with_space(Version::Newest, Listen::Loopback, bytes);
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

/// As small as a spool may be, and what it has for an agent where there are many.
const SPOOL_BYTES: u64 = 16 << 20;
const SPOOL_BYTES_PER_AGENT: u64 = 80_000;

/// A spool is above its cap by no more: what is written before it is looked at.
const ABOVE_BYTES: u64 = 12 << 20;

/// Each agent says so much again every ten seconds.
const EFFECTIVE_BYTES: usize = 32 * 1024;

#[test]
fn away_for_longer_than_the_spool_holds() {
    let (server, database) = over_tcp(&[]);
    let (tables, agents) = (tables(&server, &database), agents());
    let cap = SPOOL_BYTES.max(agents as u64 * SPOOL_BYTES_PER_AGENT);
    let small = format!("history.spool_max_bytes={cap}");
    let all = Cluster::one_with(&[&setting(&server.tcp_url(&database.name)), &small]);
    let fleet = Fleet::wordy(agents, &[all.node(1).opamp_addr], EFFECTIVE_BYTES);
    all.goes(1);
    server.stop();
    all.degraded(1, &AWAY);
    eventually("the spool is full", 2 * SOON, || {
        (dropped(&all, 1, "collapsed") > 0.0).then_some(())
    });
    #[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
    let most = (cap + ABOVE_BYTES) as f64;
    for _ in 0..20 {
        let bytes = all.metric(1, "ampora_history_spool_bytes");
        assert!(bytes < most, "{bytes}");
        all.degraded(1, &AWAY);
    }
    server.start_again();
    all.goes(1);
    fleet.stop();
    tables.until("disconnected", agents as u64);
    tables.counted(&all, 1);
}
