//! The language of selectors: what it means, where it refuses, and that text, tree and bytes agree.

use proptest::prelude::*;

use super::*;
use crate::ids::{InstanceUid, NodeId};
use crate::records::{ConfigState, Description, Label};

fn agent(reported: &[(&str, &str)], server: &[(&str, &str)]) -> AgentRecord {
    let label = |(key, value): &(&str, &str)| Label {
        key: (*key).into(),
        value: (*value).into(),
        scalar: true,
    };
    let description = Description {
        name: "web-1".into(),
        agent_type: "collector".into(),
        agent_version: "0.150.0".into(),
        labels: reported.iter().map(label).collect(),
        truncated: false,
    };
    AgentRecord {
        uid: InstanceUid::from_u128(7),
        description: Arc::new(description),
        server_labels: server
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect(),
        capabilities: 0,
        health: None,
        config: ConfigState::default(),
        effective: None,
        components_hash: None,
        components: None,
        packages: None,
        home: NodeId(1),
        session: None,
        released: None,
        first_seen_ms: 0,
        last_change_ms: 0,
        custom_capabilities: Vec::new(),
    }
}

fn chooses(text: &str, agent: &AgentRecord) -> bool {
    match Selector::parse(text) {
        Ok(selector) => selector.matches(agent),
        Err(error) => panic!("{text}: {error}"),
    }
}

#[test]
fn comparisons_mean_what_they_say() {
    let agent = agent(&[("env", "prod"), ("empty", "")], &[("team", "core")]);
    for yes in [
        "*",
        "env",
        "env=prod",
        "env==prod",
        "env = \"prod\"",
        "env!=dev",
        "absent!=x",
        "env in (dev, prod)",
        "env notin (dev)",
        "absent notin (a,b)",
        "!absent",
        "!!env",
        "!(env=dev)",
        "empty=\"\"",
        "env=prod, team=core",
        "env=prod && team=core",
        "env=dev || team=core",
        "env=prod || env=dev && team=none",
        "(env=dev || env=prod), team=core",
        "name=web-1",
        "agent_type=collector",
        "agent_version=~0.150.*",
        "name=~'web-?'",
    ] {
        assert!(chooses(yes, &agent), "{yes}");
    }
    for no in [
        "!env",
        "env=dev",
        "env=PROD",
        "absent",
        "absent=x",
        "absent in (x)",
        "absent=~'*'",
        "env notin (prod)",
        "env=prod, team=none",
        "name=~'web-'",
        "name=~'?web-1'",
        "env='prod '",
    ] {
        assert!(!chooses(no, &agent), "{no}");
    }
}

#[test]
fn a_server_label_hides_a_reported_one() {
    let agent = agent(&[("env", "prod"), ("zone", "a")], &[("env", "dev")]);
    assert!(chooses("env=dev", &agent));
    assert!(!chooses("env=prod", &agent));
    assert!(chooses("reported.env=prod, server.env=dev", &agent));
    assert!(chooses("zone=a, !server.zone, reported.zone", &agent));
}

#[test]
fn arrays_and_fields_are_no_labels() {
    let mut agent = agent(&[("name", "label"), ("list", "[1]")], &[]);
    let mut description = (*agent.description).clone();
    description.labels[1].scalar = false;
    agent.description = Arc::new(description);
    assert!(chooses("name=web-1, reported.name=label", &agent));
    assert!(chooses("!list, !reported.list", &agent));
}

#[test]
fn patterns_match_whole_values() {
    let agent = agent(&[("v", "aXbXc"), ("u", "äöü"), ("s", "a*b")], &[]);
    for yes in ["a*c", "*", "a*X*c", "?X?X?", "*c", "a*", "aXbXc", "**X**"] {
        assert!(chooses(&format!("v=~\"{yes}\""), &agent), "{yes}");
    }
    for no in ["a", "a*b", "?", "", "*d", "b*", "aXbXc?"] {
        assert!(!chooses(&format!("v=~\"{no}\""), &agent), "{no}");
    }
    assert!(chooses("u=~\"??ü\", s=\"a*b\", s=a*b", &agent));
    assert!(!chooses("v=a*c", &agent), "`=` knows no patterns");
}

#[test]
fn an_error_says_where() {
    for (text, offset, message) in [
        ("", 0, "empty"),
        ("   ", 0, "empty"),
        ("env=", 4, "a value"),
        ("env=prod team", 9, "expected `,`"),
        ("env prod", 4, "after the key"),
        ("env=prod)", 8, "closes nothing"),
        ("(env=prod", 9, "`)`"),
        ("env in prod", 7, "`(`"),
        ("env in (a b)", 10, "`)`"),
        ("env=\"prod", 4, "never closed"),
        ("env & b", 4, "`&&`"),
        ("env | b", 4, "`||`"),
        ("env=prod, \u{e4}=b", 10, "in quotes"),
        ("a=b, c || d", 3, "two ways"),
        ("!a=b", 1, "parentheses"),
        ("\"a\"=b", 0, "without quotes"),
        ("a,", 2, "before the end"),
        ("a*=b", 1, "letters"),
    ] {
        let error = Selector::parse(text).expect_err(text);
        assert_eq!(error.offset, offset, "{text}: {error}");
        assert!(error.message.contains(message), "{text}: {error}");
    }
}

#[test]
fn limits_are_refused_with_their_place() {
    let parse = |text: &str| Selector::parse(text).map(drop).map_err(|e| e.message);
    let many = |count: usize, one: &str| vec![one; count].join("&&");
    assert_eq!(parse(&many(TERMS_MAX, "a")), Ok(()));
    assert!(parse(&many(TERMS_MAX + 1, "a")).is_err());
    assert!(parse(&many(TERMS_MAX + 1, "*")).is_err(), "`*` counts");
    let values = |count: usize| format!("a in ({})", vec!["b"; count].join(","));
    assert_eq!(parse(&values(VALUES_MAX)), Ok(()));
    assert!(parse(&values(VALUES_MAX + 1)).is_err());
    let pattern = |bytes: usize| format!("a=~{}", "b".repeat(bytes));
    assert_eq!(parse(&pattern(PATTERN_BYTES_MAX)), Ok(()));
    assert!(parse(&pattern(PATTERN_BYTES_MAX + 1)).is_err());
    assert!(parse(&"a".repeat(SOURCE_BYTES_MAX + 1)).is_err());
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(parse(&nested(14)), Ok(()));
    assert!(parse(&nested(DEPTH_MAX)).is_err());
    assert!(parse(&format!("{}a", "!".repeat(DEPTH_MAX))).is_err());
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9./_-]{0,6}"
}

fn term() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        word(),
        word().prop_map(|key| format!("reported.{key}")),
        word().prop_map(|key| format!("server.{key}")),
        Just("name".to_owned()),
    ];
    let value = prop_oneof![word(), Just("\"a \\\" b\"".to_owned())];
    let values = prop::collection::vec(value.clone(), 1..4).prop_map(|v| v.join(","));
    (key, value, values, 0..8).prop_map(|(key, value, values, kind)| match kind {
        0 => key,
        1 => format!("{key}={value}"),
        2 => format!("{key}!={value}"),
        3 => format!("{key} in ({values})"),
        4 => format!("{key} notin ({values})"),
        5 => format!("{key} =~ {value}"),
        6 => "*".to_owned(),
        _ => format!("!{key}"),
    })
}

fn text() -> impl Strategy<Value = String> {
    term().prop_recursive(12, 60, 4, |inner| {
        let several = prop::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            (several, 0..3_usize).prop_map(|(all, kind)| {
                let between = ["||", "&&", ","][kind];
                format!("({})", all.join(between))
            }),
            inner.prop_map(|one| format!("!({one})")),
        ]
    })
}

fn steps(expr: &Expr) -> Vec<Step> {
    expr.clone().into()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_printed_is_the_same_tree(text in text()) {
        let Ok(selector) = Selector::parse(&text) else { return Ok(()) };
        let printed = selector.expr().to_string();
        let again = Selector::parse(&printed).map(|again| again.expr().clone());
        prop_assert_eq!(again.as_ref(), Ok(selector.expr()));
    }

    #[test]
    fn whatever_parses_can_be_encoded_and_decoded(text in text()) {
        let Ok(selector) = Selector::parse(&text) else { return Ok(()) };
        prop_assert!(selector.bytes() <= crate::fleet::limits::SELECTOR_BYTES_MAX);
        let decoded = Expr::try_from(steps(selector.expr()));
        prop_assert_eq!(decoded.as_ref(), Ok(selector.expr()));
    }

    #[test]
    fn any_text_is_a_selector_or_an_error_within_it(text in any::<String>()) {
        if let Err(error) = Selector::parse(&text) {
            prop_assert!(error.offset <= text.len());
        }
    }

    #[test]
    fn any_symbols_are_a_selector_or_an_error_within_them(text in "[a-c!=~&|(),*?\"' in]{0,60}") {
        match Selector::parse(&text) {
            Ok(selector) => {
                let decoded = Expr::try_from(steps(selector.expr()));
                prop_assert_eq!(decoded.as_ref(), Ok(selector.expr()));
                selector.matches(&agent(&[("a", "b")], &[]));
            }
            Err(error) => prop_assert!(error.offset <= text.len()),
        }
    }
}

#[test]
fn the_longest_texts_are_within_the_limit_of_the_log() {
    let stars = vec!["*"; SOURCE_BYTES_MAX / 2].join(",");
    assert!(
        Selector::parse(&stars).is_err(),
        "more nodes than an encoded tree has"
    );
    let values = vec!["b"; VALUES_MAX].join(",");
    let lists = vec![format!("a in({values})"); 7].join(",");
    let nots = vec![format!("{}a", "!".repeat(29)); TERMS_MAX].join(",");
    for text in [lists, nots] {
        let selector = Selector::parse(&text).expect("within the limits");
        assert!(selector.bytes() <= crate::fleet::limits::SELECTOR_BYTES_MAX);
        let decoded = Expr::try_from(steps(selector.expr()));
        assert_eq!(decoded.as_ref(), Ok(selector.expr()));
    }
}

#[test]
fn encoded_trees_that_no_text_means_are_refused() {
    let term = |test| {
        Step::Term(Term {
            key: Key::Label("a".into()),
            test,
        })
    };
    let everyone = || Step::Everyone;
    let deep = std::iter::repeat_n(Step::Not, DEPTH_MAX).chain([everyone()]);
    for steps in [
        vec![],
        vec![Step::Not],
        vec![Step::And(2), everyone()],
        vec![Step::And(1), everyone()],
        vec![Step::Or(u32::MAX), everyone()],
        vec![everyone(), everyone()],
        vec![term(Test::In(vec![]))],
        vec![term(Test::Like("b".repeat(PATTERN_BYTES_MAX + 1).into()))],
        deep.collect(),
        [Step::And(100)]
            .into_iter()
            .chain(std::iter::repeat_n(everyone(), 100))
            .collect(),
    ] {
        assert_eq!(Expr::try_from(steps), Err(Invalid));
    }
}
