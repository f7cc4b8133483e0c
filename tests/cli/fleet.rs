//! The command line about agents that are there: what they are, what they run, and instructions that reach them.

use std::{process::Stdio, time::Duration};

use ampora_proto::wire;

use crate::agent::{Agent, CAPABLE, MUTE};
use crate::support::{Node, eventually, start};
use crate::{Beside, has, json, line, run_with, typed};

pub(crate) const SOON: Duration = Duration::from_secs(30);

/// An agent that has connected and whose report the node has taken in, which no reply waits for.
pub(crate) fn arrived(node: &Node, number: u8, capabilities: u64) -> Agent {
    let agent = Agent::connect(node.opamp_addr, number, capabilities);
    eventually("the report of the agent", SOON, || {
        let list = json(node, &format!("agents list -q host-{number}"));
        let mut items = list["items"].as_array()?.iter();
        items.find(|item| item["instance_uid"] == agent.uid().as_str())?;
        Some(())
    });
    agent
}

#[test]
fn agents_are_listed_and_filtered() {
    let node = start(&[]);
    let first = arrived(&node, 1, CAPABLE);
    let second = arrived(&node, 2, MUTE);
    let list = line(&node, "agents list").ok();
    assert_eq!(list.lines().count(), 3, "{list}");
    has(&list, &[&first.uid(), "connected  healthy"]);
    has(&list, &["host-1\\u{1b}[2J"]);
    assert!(!list.contains('\u{1b}'), "{list}");
    let names = |words: &str| line(&node, &format!("agents list {words} -o name")).ok();
    let both = format!("{}\n{}\n", first.uid(), second.uid());
    assert_eq!(names("--selector env=prod"), both);
    assert_eq!(names("-q HOST-2"), format!("{}\n", second.uid()));
    assert_eq!(names("--state disconnected"), "");
    assert_eq!(names("--group none"), "");
    let one = line(&node, "agents list --limit 1");
    assert_eq!(one.out.lines().count(), 2, "{one:?}");
    has(&one.err, &["there are more"]);
}

#[test]
fn agent_is_shown_whole_and_in_parts() {
    let node = start(&[]);
    let uid = arrived(&node, 1, CAPABLE).uid();
    let shown = line(&node, &format!("agents show {uid}")).ok();
    has(&shown, &["AcceptsRestartCommand", "env=prod"]);
    has(&shown, &["connected by http to node 1"]);
    let health = line(&node, &format!("agents show {uid} --health")).ok();
    has(&health, &["agent healthy"]);
    for part in ["--effective-config", "--components"] {
        let none = line(&node, &format!("agents show {uid} {part}")).failed(1);
        has(&none, &["code: not_reported"]);
    }
}

#[test]
fn watched_list_is_shown_again_when_it_changes() {
    let node = start(&[]);
    let shown = node.data_dir().join("shown");
    let read = || std::fs::read_to_string(&shown).unwrap_or_default();
    let output = std::fs::File::create(&shown).unwrap();
    let mut command = typed(&node, &["agents", "watch"]);
    let mut watch = Beside::start(command.stdout(output));
    eventually("the list of nobody", SOON, || {
        (read() == "no agents\n").then_some(())
    });
    let agent = Agent::connect(node.opamp_addr, 1, MUTE);
    eventually("the list with the agent", SOON, || {
        let text = read();
        (text.contains("LAST SEEN") && text.contains(&agent.uid())).then_some(())
    });
    watch.interrupt();
    let ended = eventually("the end of the watch", SOON, || watch.ended());
    assert_eq!(ended, Some(0));
}

#[test]
fn configuration_reaches_the_agents_of_a_group() {
    let node = start(&[]);
    let mut agent = arrived(&node, 1, CAPABLE);
    run_with(&node, &["configs", "put", "edge", "-"], "a: 1\n").ok();
    let put = "groups put all --selector * --config edge";
    let trial = line(&node, &format!("{put} --dry-run")).ok();
    has(&trial, &["1 agent would change", &agent.uid()]);
    let many = line(&node, &format!("{put} --max-affected 0")).failed(1);
    has(&many, &["code: too_many_affected"]);
    let preview = "groups preview all --selector * --config edge";
    has(
        &line(&node, preview).ok(),
        &[
            "all would match 1 agent, 1 agent would change",
            &agent.uid(),
        ],
    );
    let changing = line(&node, &format!("{preview} -o name")).ok();
    assert_eq!(changing.trim(), agent.uid());
    let made = line(&node, put).ok();
    has(&made, &["1 agent, 0 confirmed, 1 to change"]);

    let hash = eventually("an offer", SOON, || {
        Some(agent.poll().remote_config?.config_hash)
    });
    agent.applied(&hash);
    eventually("a confirmation", SOON, || {
        (json(&node, "groups show all")["confirmed"] == 1).then_some(())
    });
    let list = line(&node, "agents list -o wide").ok();
    has(&list, &["applied", "edge@1"]);
    eventually("a settled version", SOON, || {
        (json(&node, "groups show all")["settled"]["version"] == 1).then_some(())
    });

    run_with(&node, &["configs", "put", "edge", "-"], "a: 2\n").ok();
    line(&node, "groups put all --config edge").ok();
    let back = line(&node, "groups revert all --dry-run").ok();
    has(&back, &["nothing was changed"]);
    let back = line(&node, "groups revert all").ok();
    has(&back, &["all changed: *\nconfiguration  edge@1\n"]);
}

#[test]
fn restart_is_followed_until_the_agent_is_back() {
    let node = start(&[]);
    let mut agent = arrived(&node, 1, CAPABLE);
    let mut command = typed(&node, &["agents", "restart", &agent.uid()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut restart = Beside::start(&mut command);
    eventually("the command", SOON, || {
        let command = agent.poll().command?;
        assert_eq!(command.r#type, i32::from(wire::CommandType::Restart));
        Some(())
    });
    assert_eq!(restart.ended(), None, "it waits for the outcome");
    agent.is_healthy(false);
    agent.is_healthy(true);
    let said = restart.did().ok();
    has(&said, &["deliveries  1 succeeded\n", &agent.uid()]);
}

#[test]
fn interrupted_wait_says_that_the_dispatch_goes_on() {
    let node = start(&["--set", "log.level=debug"]);
    let agent = arrived(&node, 1, CAPABLE);
    let mut command = typed(&node, &["agents", "restart", &agent.uid()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut restart = Beside::start(&mut command);
    eventually("a look at the dispatch", SOON, || {
        node.log().contains("/api/v1/dispatches/1").then_some(())
    });
    restart.interrupt();
    let said = restart.did().failed(1);
    has(&said, &["`ampora dispatch show 1`"]);
}

#[test]
fn instruction_that_does_not_succeed_everywhere_fails() {
    let node = start(&[]);
    let mute = arrived(&node, 1, MUTE);
    let refused = line(&node, &format!("agents restart {}", mute.uid())).failed(1);
    has(&refused, &["code: lacks_capability"]);
    let selected = line(&node, "agents restart --selector env=prod");
    has(&selected.out, &["lacks_capability"]);
    has(&selected.failed(1), &["1 of 1 delivery did not succeed"]);
}

#[test]
fn queued_delivery_is_left_cancelled_and_followed_to_its_expiry() {
    let node = start(&[]);
    let agent = arrived(&node, 1, CAPABLE);
    let restart = format!("agents restart {}", agent.uid());
    let id = line(&node, &format!("{restart} --no-wait -o name")).ok();
    let shown = json(&node, &format!("dispatch show {id}"));
    assert_eq!(shown["counts"]["queued"], 1, "{shown}");
    let cancelled = line(&node, &format!("dispatch cancel {id}")).ok();
    has(&cancelled, &["deliveries  1 cancelled\n"]);
    let expired = line(&node, &format!("{restart} --expires-in 1"));
    has(&expired.out, &["deliveries  1 expired\n"]);
    has(&expired.failed(1), &["did not succeed"]);
}
