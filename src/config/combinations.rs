//! What no key can tell alone: combinations that are impossible, and doors that would stand open unsaid.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use super::{
    Config,
    problem::{Origin, Problem},
    sections::{JoinBy, Tls},
};

/// Where each key that is set was set.
pub(super) type Origins = BTreeMap<&'static str, Origin>;

/// Finds everything that forbids a start with this configuration.
pub(super) fn check(config: &Config, origins: &Origins) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut say = |key: &str, text: String| {
        problems.push(Problem {
            origin: origins.get(key).cloned(),
            text,
        });
    };
    let is_set = |key: &str| origins.contains_key(key);
    doors(config, &is_set, &mut say);
    for (door, tls) in [("opamp", &config.opamp.tls), ("admin", &config.admin.tls)] {
        if let Some((missing, given)) = half_a_pair(tls) {
            let given = format!("{door}.tls.{given}");
            say(
                &given,
                format!("`{given}` needs `{door}.tls.{missing}` as well"),
            );
        }
    }
    joining(config, &mut say);
    if config.postgres.read_url.is_some() && config.postgres.url.is_none() {
        let text = "`postgres.read_url` needs `postgres.url`: nothing would be written";
        say("postgres.read_url", text.to_owned());
    }
    problems
}

/// Sentences about what is allowed and probably not meant.
pub(super) fn advice(config: &Config) -> Vec<String> {
    let mut advice = Vec::new();
    let (interval, window) = (
        config.opamp.heartbeat_interval,
        config.opamp.heartbeat_window,
    );
    if window <= interval {
        advice.push(format!(
            "`opamp.heartbeat_window_seconds` is {}, not longer than the interval of {} seconds: agents that do \
             well will be shown stale",
            window.as_secs(),
            interval.as_secs()
        ));
    }
    let admin = &config.admin;
    if !is_loopback(admin.listen) && admin.insecure && !admin.tls.is_stated() {
        let listen = config.admin.listen;
        advice.push(format!(
            "tokens cross the network readable: `admin.listen` is {listen} without TLS"
        ));
    }
    advice
}

/// A token says where the cluster is; an address says nothing of who may join.
fn joining(config: &Config, say: &mut impl FnMut(&str, String)) {
    let file = config.cluster.join_token_file.is_some();
    match (&config.cluster.join, file) {
        (Some(JoinBy::Address(_)), false) => say(
            "cluster.join",
            "`cluster.join` is an address: name the file of the join token with `cluster.join_token_file`, or give \
             the token itself"
                .to_owned(),
        ),
        (Some(JoinBy::Token(_)), true) => say(
            "cluster.join_token_file",
            "`cluster.join` is a join token already: leave `cluster.join_token_file` out".to_owned(),
        ),
        (None, true) => say(
            "cluster.join_token_file",
            "`cluster.join_token_file` needs `cluster.join`, the address of a member".to_owned(),
        ),
        (Some(JoinBy::Address(_)), true) | (Some(JoinBy::Token(_)) | None, false) => {}
    }
}

fn doors(config: &Config, is_set: &impl Fn(&str) -> bool, say: &mut impl FnMut(&str, String)) {
    let (opamp, admin, metrics) = (&config.opamp, &config.admin, &config.metrics);
    if !is_loopback(opamp.listen) && opamp.auth.is_none() {
        say(
            "opamp.listen",
            format!(
                "`opamp.listen` is {}, which others can reach: say how agents are let in with `opamp.auth` (`open` \
                 or `token`), with or without TLS",
                opamp.listen
            ),
        );
    }
    if !is_loopback(admin.listen) && !admin.insecure && !admin.tls.is_stated() {
        say(
            "admin.listen",
            format!(
                "`admin.listen` is {}, which others can reach: protect it with `admin.tls.cert_file`, or say \
                 `admin.insecure: true`",
                admin.listen
            ),
        );
    }
    if let Some(listen) = metrics.listen
        && !is_loopback(listen)
        && !(metrics.insecure || admin.insecure)
    {
        say(
            "metrics.listen",
            format!(
                "`metrics.listen` is {listen}, which others can reach, and it asks for no token: say \
                 `metrics.insecure: true`"
            ),
        );
    }
    let mut taken: Vec<(&str, SocketAddr)> = Vec::new();
    let all = [
        ("opamp.listen", Some(opamp.listen)),
        ("admin.listen", Some(admin.listen)),
        ("peer.listen", Some(config.peer.listen)),
        ("metrics.listen", metrics.listen),
    ];
    for (key, listen) in all {
        let Some(listen) = listen.filter(|listen| listen.port() != 0) else {
            continue;
        };
        if let Some((other, _)) = taken.iter().find(|(_, address)| collide(*address, listen)) {
            // a default never moved: it is the other one that was set
            let set = if is_set(key) { key } else { *other };
            say(set, format!("`{key}` and `{other}` are both {listen}"));
        }
        taken.push((key, listen));
    }
}

fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

fn is_loopback(listen: SocketAddr) -> bool {
    let ip: IpAddr = listen.ip().to_canonical();
    ip.is_loopback()
}

/// The file that is missing, and one that asks for it.
fn half_a_pair(tls: &Tls) -> Option<(&'static str, &'static str)> {
    match (&tls.cert_file, &tls.key_file, &tls.client_ca_file) {
        (Some(_), None, _) => Some(("key_file", "cert_file")),
        (None, Some(_), _) => Some(("cert_file", "key_file")),
        (None, None, Some(_)) => Some(("cert_file", "client_ca_file")),
        (Some(_), Some(_), _) | (None, None, None) => None,
    }
}
