//! What is sent for the words typed, and what is shown of the answers.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Typed {
    #[command(subcommand)]
    command: GroupsCommand,
}

fn typed(words: &[&str]) -> Result<Value, String> {
    let words = [&["groups", "put", "g"], words].concat();
    let typed = Typed::try_parse_from(words).map_err(|error| error.to_string())?;
    let GroupsCommand::Put(args) = typed.command else {
        panic!("put");
    };
    form(&args).map_err(|error| error.to_string())
}

const LOOK: Look = Look {
    is_wide: false,
    now_ms: 0,
};

#[test]
fn body_holds_what_was_named_and_nothing_else() {
    assert_eq!(typed(&["--selector", "*"]), Ok(json!({"selector": "*"})));
    assert_eq!(
        typed(&[
            "--priority",
            "-3",
            "--config",
            "edge@2",
            "--pace",
            "all-at-once",
            "--max-affected",
            "0",
        ]),
        Ok(json!({
            "priority": -3, "configuration": {"name": "edge", "version": 2}, "pace": "all-at-once",
            "max_affected": 0,
        }))
    );
    assert_eq!(
        typed(&["--config", "edge"]),
        Ok(json!({"configuration": {"name": "edge"}}))
    );
    assert_eq!(typed(&["--no-config"]), Ok(json!({"configuration": null})));
}

#[test]
fn words_that_cannot_be_meant_are_refused() {
    for bad in [
        &[][..],
        &["--dry-run"],
        &["--max-affected", "1"],
        &["--pace", "fast"],
        &["--config", "edge", "--no-config"],
        &["--config", "edge@0"],
        &["--priority", "high"],
        &["--max-affected", "-1"],
    ] {
        assert!(typed(bad).is_err(), "{bad:?}");
    }
}

fn group() -> Value {
    json!({
        "name": "prod", "selector": "env=prod", "priority": 10, "pace": "all-at-once",
        "configuration": {"name": "edge", "version": 2, "hash": "h"},
        "settled": {"name": "edge", "version": 2, "hash": "h"}, "next": null, "quarantined": null,
        "matched": 3, "affected": 2, "confirmed": 1, "failed": 1,
        "changed_at": "1970-01-01T00:00:00.000Z", "changed_by": "admin",
    })
}

#[test]
fn put_says_how_many_agents_match_and_change() {
    assert_eq!(
        put_text(&group(), "created"),
        "prod created: env=prod\n\
         configuration  edge@2\n\
         agents         3 agents, 1 confirmed, 2 to change, 1 failed\n"
    );
    let mut none = group();
    none["configuration"] = Value::Null;
    assert!(put_text(&none, "changed").contains("nothing is assigned"));
}

#[test]
fn settled_version_is_named_while_a_change_is_under_way() {
    let mut moving = group();
    moving["next"] = json!({"name": "edge", "version": 3, "hash": "i"});
    moving["configuration"] = moving["next"].clone();
    assert!(shown_text(&moving, &LOOK).contains("configuration  edge@3, settled is edge@2\n"));
}

#[test]
fn dry_run_lists_who_would_change_and_counts_the_rest() {
    let mut answer = group();
    answer["would_change"] = json!({"count": 3, "agents": ["u1", "u2"]});
    assert_eq!(
        tried_text(&answer),
        "nothing was changed\n\
         prod would match 3 agents, 3 agents would change\n\
         \u{20} u1\n\u{20} u2\n\u{20} and 1 more\n"
    );
    assert_eq!(would_change(&answer), ["u1", "u2"]);
}
