//! Who may name what. The compiler enforces the edges between crates; these rules are about rooms inside them, and
//! about doors to the outside world that stand in one file each.

use super::{
    code::{code_of, lines_with, product_of},
    tree::Tree,
};

/// A name and where it may stand.
struct Rule {
    names: &'static [&'static str],
    /// Prefixes of paths that the rule is about.
    within: &'static [&'static str],
    /// Prefixes of paths that may.
    allowed: &'static [&'static str],
    /// Whether unit tests are bound as well.
    binds_tests: bool,
    why: &'static str,
}

/// Everything that ships.
const PRODUCT: &[&str] = &["src/", "proto/", "raft/src/", "storage/src/"];
const EVERYWHERE: &[&str] = &[""];

const RULES: &[Rule] = &[
    Rule {
        names: &["sled::"],
        within: EVERYWHERE,
        // the second declares the first
        allowed: &["storage/src/kv/sled.rs", "storage/src/kv/mod.rs"],
        binds_tests: true,
        why: "everything else asks `Kv`, so that a crash model can stand in",
    },
    Rule {
        names: &["openraft::", "openraft_rt::", "openraft_rt_tokio::"],
        within: EVERYWHERE,
        allowed: &[
            "raft/src/consensus/",
            "raft/tests/",
            "storage/src/log.rs",
            "storage/src/log/",
            "storage/tests/",
        ],
        binds_tests: true,
        why: "an alpha release stays behind the adapter",
    },
    Rule {
        names: &["bincode::"],
        within: EVERYWHERE,
        allowed: &["storage/src/codec.rs", "storage/src/codec/"],
        binds_tests: true,
        why: "limits and envelopes are set in one place",
    },
    Rule {
        names: &["prost::"],
        within: EVERYWHERE,
        allowed: &[
            "proto/",
            "src/agents/",
            "src/simulate/",
            "tests/",
            "benches/",
            "chaos/",
        ],
        binds_tests: true,
        why: "wire types stay at the wire",
    },
    Rule {
        names: &["tokio::", "openraft::", "std::net::", "std::fs::"],
        within: &["proto/src/"],
        allowed: &[],
        binds_tests: false,
        why: "the session is pure",
    },
    Rule {
        names: &["ampora_proto::", "ampora_storage::", "ampora::"],
        within: &["raft/"],
        allowed: &[],
        binds_tests: true,
        why: "the fleet knows no other room",
    },
    Rule {
        names: &["ampora_raft::", "ampora_storage::", "ampora::"],
        within: &["proto/"],
        allowed: &[],
        binds_tests: true,
        why: "the protocol knows no other room",
    },
    Rule {
        names: &["ampora_proto::", "ampora::"],
        within: &["storage/"],
        allowed: &[],
        binds_tests: true,
        why: "storage knows the fleet's records alone",
    },
    Rule {
        names: &["tokio::spawn", "tokio::task::spawn", "task::spawn"],
        within: PRODUCT,
        allowed: &["src/tasks.rs"],
        binds_tests: false,
        why: "what is spawned is tracked, so that a stop can wait for it",
    },
    Rule {
        names: &["Instant::now", "SystemTime::now"],
        within: PRODUCT,
        allowed: &["src/clock.rs"],
        binds_tests: false,
        why: "time is an argument",
    },
    Rule {
        names: &["env::var", "env::vars", "env::var_os", "env::vars_os"],
        within: PRODUCT,
        allowed: &["src/main.rs"],
        binds_tests: true,
        why: "the environment is an argument",
    },
    Rule {
        names: &["unsafe"],
        within: EVERYWHERE,
        allowed: &["storage/src/barrier.rs", "chaos/src/chance.rs"],
        binds_tests: true,
        why: "two files may, which replace a symbol of libc, and say why",
    },
];

pub(crate) fn out_of_place(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.rust() {
        let code = code_of(text);
        let is_tests = path.ends_with("tests.rs") || path.contains("/tests/");
        for rule in RULES {
            let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.starts_with(prefix));
            let bound = rule.binds_tests || !is_tests;
            if !bound || !starts(rule.within) || starts(rule.allowed) {
                continue;
            }
            let scanned = if rule.binds_tests {
                &code
            } else {
                product_of(&code)
            };
            for name in rule.names {
                let lines = lines_with(scanned, name);
                found.extend(
                    lines
                        .iter()
                        .map(|line| format!("{path}:{line}: `{name}`: {}", rule.why)),
                );
            }
        }
    }
    found
}

#[test]
fn each_rule_catches_its_breach_and_spares_who_may() {
    let breaches = [
        (
            "storage/src/rows.rs",
            "use sled::Db;",
            "storage/src/kv/sled.rs",
        ),
        (
            "src/node/run.rs",
            "use openraft::Raft;",
            "raft/src/consensus/mod.rs",
        ),
        (
            "storage/src/log.rs",
            "bincode::serde::x();",
            "storage/src/codec.rs",
        ),
        ("src/api/mod.rs", "use prost::Message;", "src/agents/mod.rs"),
        (
            "proto/src/session.rs",
            "tokio::time::x();",
            "src/opamp/mod.rs",
        ),
        (
            "raft/src/fleet/mod.rs",
            "use ampora_proto::x;",
            "src/agents/mod.rs",
        ),
        (
            "proto/tests/a.rs",
            "use ampora_raft::x;",
            "src/agents/mod.rs",
        ),
        (
            "storage/src/log.rs",
            "use ampora_proto::x;",
            "src/agents/mod.rs",
        ),
        ("src/node/run.rs", "tokio::spawn(x);", "src/tasks.rs"),
        (
            "raft/src/fleet/mod.rs",
            "std::time::Instant::now();",
            "src/clock.rs",
        ),
        ("src/cli/mod.rs", "std::env::vars_os();", "src/main.rs"),
        (
            "proto/src/frame.rs",
            "unsafe { x() }",
            "storage/src/barrier.rs",
        ),
    ];
    assert_eq!(breaches.len(), RULES.len(), "one breach for each rule");
    for (path, code, allowed) in breaches {
        assert_eq!(
            out_of_place(&Tree::of(&[(path, code)])).len(),
            1,
            "{path}: {code}"
        );
        assert_eq!(
            out_of_place(&Tree::of(&[(allowed, code)])),
            [""; 0],
            "{allowed}: {code}"
        );
    }
}

#[test]
fn unit_tests_may_read_clocks() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    Instant::now();\n}\n";
    assert!(out_of_place(&Tree::of(&[("src/a.rs", text)])).is_empty());
    assert_eq!(
        out_of_place(&Tree::of(&[("src/a.rs", "Instant::now();")])).len(),
        1
    );
}
