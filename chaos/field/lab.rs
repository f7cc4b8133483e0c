//! The network: a namespace for each node and one for the agents and the operator, all on one bridge, and what the
//! bridge does not let through. It is made inside namespaces of its own, so that it goes with the process.

use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

/// Where agents and the operator are.
pub(crate) const AGENTS: &str = "agents";

/// Where the bridge is.
const BASE: &str = "base";

/// From one node to another.
pub(crate) type Way = (u64, u64);

/// Packets are dropped on the bridge, where no sender is told. What is dropped is IP alone: a node that cannot hear who has
/// an address could not send either, and a cut of one way would soon be one of both.
const RULES: &str = "
table bridge field {
    set nodes { type ifname; }
    set cut { type ifname . ifname; }
    set lossy { type ifname . ifname; }
    counter peers { }
    chain between {
        type filter hook forward priority 0; policy accept;
        meta protocol ip iifname . oifname @cut drop
        meta protocol ip iifname . oifname @lossy numgen random mod 100 < 30 drop
        iifname @nodes oifname @nodes counter name peers
    }
}";

/// Of a hundred packets on a way that loses some.
pub(crate) const LOST_PER_CENT: u32 = 30;

/// The namespace of a node.
pub(crate) fn namespace(slot: u64) -> String {
    format!("node-{slot}")
}

/// The address of a node.
pub(crate) fn address(slot: u64) -> String {
    format!("10.77.0.{slot}")
}

fn port(slot: u64) -> String {
    format!("to-{slot}")
}

/// Runs a command that succeeds, and answers what it printed.
pub(crate) fn run(program: &str, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .with_context(|| format!("`{program}` does not start"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", args.join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a line of words.
fn line(words: &str) -> anyhow::Result<()> {
    let words: Vec<&str> = words.split(' ').collect();
    let (program, args) = words.split_first().context("a command")?;
    run(program, args).map(drop)
}

/// Makes everything, with so many nodes. This process is in fresh namespaces and in no other hand.
pub(crate) fn lay(nodes: u64) -> anyhow::Result<()> {
    line("mount -t tmpfs field /run")?;
    std::fs::create_dir_all("/run/netns")?;
    line(&format!("ip netns attach {BASE} {}", std::process::id()))?;
    line("ip link set lo up")?;
    line("ip link add bridge type bridge")?;
    line("ip link set bridge up")?;
    let node = |slot| (namespace(slot), port(slot), address(slot));
    let agents = (AGENTS.to_owned(), "to-agents".to_owned(), address(100));
    for (inside, port, address) in (1..=nodes).map(node).chain([agents]) {
        line(&format!("ip netns add {inside}"))?;
        line(&format!(
            "ip link add {port} type veth peer name eth0 netns {inside}"
        ))?;
        line(&format!("ip link set {port} master bridge up"))?;
        line(&format!("ip -n {inside} link set lo up"))?;
        line(&format!("ip -n {inside} link set eth0 up"))?;
        line(&format!("ip -n {inside} address add {address}/24 dev eth0"))?;
    }
    run("nft", &[RULES])?;
    for slot in 1..=nodes {
        let element = format!("add element bridge field nodes {{ \"{}\" }}", port(slot));
        run("nft", &[&element])?;
    }
    Ok(())
}

fn in_base(args: &[&str]) -> anyhow::Result<String> {
    let mut all = vec!["netns", "exec", BASE, "nft"];
    all.extend(args);
    run("ip", &all)
}

fn add(set: &str, ways: &[Way]) -> anyhow::Result<()> {
    let pair = |(from, to): &Way| format!("\"{}\" . \"{}\"", port(*from), port(*to));
    let pairs: Vec<String> = ways.iter().map(pair).collect();
    let element = format!("add element bridge field {set} {{ {} }}", pairs.join(", "));
    in_base(&[&element]).map(drop)
}

/// Lets nothing through on these ways.
pub(crate) fn cut(ways: &[Way]) -> anyhow::Result<()> {
    add("cut", ways)
}

/// Loses some of what takes these ways.
pub(crate) fn lose_some(ways: &[Way]) -> anyhow::Result<()> {
    add("lossy", ways)
}

/// Lets everything through again.
pub(crate) fn heal() -> anyhow::Result<()> {
    for set in ["cut", "lossy"] {
        in_base(&["flush", "set", "bridge", "field", set])?;
    }
    Ok(())
}

/// Bytes of packets that went from node to node so far.
pub(crate) fn bytes_between_nodes() -> anyhow::Result<u64> {
    let text = in_base(&["-j", "list", "counter", "bridge", "field", "peers"])?;
    let listed: Value = serde_json::from_str(&text)?;
    let objects = listed["nftables"].as_array().into_iter().flatten();
    let mut bytes = objects.filter_map(|object| object["counter"]["bytes"].as_u64());
    bytes.next().context("the counter of the bridge")
}
