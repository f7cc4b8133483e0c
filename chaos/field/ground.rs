//! Everything that runs: three nodes, then four, the agents, the operator, and whoever watches.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ampora::simulate::Crowd;
use anyhow::Context;
use reqwest::Method;
use serde_json::json;

use crate::dispatches::Targets;
use crate::node::Node;
use crate::operator::{Cluster, Operator};
use crate::report::Report;
use crate::wait::{Since, until};
use crate::watch::{Seen, Watch};
use crate::{Arguments, crowds};

/// What comes by itself is there by then.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A page of a list.
const PAGE: usize = 1000;

/// All of it.
pub(crate) struct Ground {
    pub(crate) arguments: Arguments,
    pub(crate) operator: Operator,
    pub(crate) report: Report,
    home: PathBuf,
    nodes: BTreeMap<u64, Node>,
    join: Option<String>,
    pub(crate) crowd: Option<Crowd>,
    /// Small crowds, with the node that each knows.
    pub(crate) witnesses: Vec<(u64, Crowd)>,
    pub(crate) targets: Targets,
    /// Restarts that agents carried out who have been sent away.
    restarts: u64,
    watch: Option<Watch>,
    seen: Seen,
}

impl Ground {
    /// Three nodes that vote.
    pub(crate) async fn founded(arguments: Arguments, home: PathBuf) -> anyhow::Result<Self> {
        let first = Node::start(&home, 1, None).await?;
        let operator = Operator::new(first.token()?)?;
        let mut ground = Self {
            arguments,
            operator,
            report: Report::default(),
            home,
            nodes: BTreeMap::from([(1, first)]),
            join: None,
            crowd: None,
            witnesses: Vec::new(),
            targets: Targets::new(Vec::new()),
            restarts: 0,
            watch: None,
            seen: Seen::default(),
        };
        let form = json!({"uses": 3, "ttl_seconds": 7200});
        let path = "/cluster/join-tokens";
        let made = ground.operator.ask(1, Method::POST, path, Some(&form));
        let token = made.await.body["token"].as_str().map(str::to_owned);
        ground.join = Some(token.context("a join token")?);
        ground.start(2).await?;
        ground.start(3).await?;
        ground
            .until_seen(1, "three that vote", |cluster| {
                let voters = cluster.nodes.iter().filter(|node| node.role == "voter");
                voters.count() == 3 && cluster.nodes.iter().all(|node| node.live)
            })
            .await?;
        Ok(ground)
    }

    /// Starts a node, or starts it again: the flags stay the same for ever.
    pub(crate) async fn start(&mut self, slot: u64) -> anyhow::Result<()> {
        let join = self.join.as_deref().filter(|_| slot != 1);
        let node = Node::start(&self.home, slot, join).await?;
        self.nodes.insert(slot, node);
        Ok(())
    }

    /// Starts a node again where it was, and waits until everything is as before.
    pub(crate) async fn start_again(&mut self, slot: u64) -> anyhow::Result<()> {
        self.start(slot).await?;
        self.one_cluster(SOON).await.map(drop)
    }

    /// Ends a node as a power cut would.
    pub(crate) fn kill(&mut self, slot: u64) -> anyhow::Result<()> {
        self.nodes.remove(&slot).context("a running node")?.kill()
    }

    /// The nodes that run.
    pub(crate) fn slots(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    /// The nodes that run, but for one.
    pub(crate) fn others(&self, slot: u64) -> Vec<u64> {
        let others = self.slots().into_iter().filter(|other| *other != slot);
        others.collect()
    }

    pub(crate) fn node(&self, slot: u64) -> anyhow::Result<&Node> {
        self.nodes.get(&slot).context("a running node")
    }

    /// Agents in all.
    pub(crate) fn agents(&self) -> usize {
        let crowds = self.crowd.iter();
        let all = crowds.chain(self.witnesses.iter().map(|(_, crowd)| crowd));
        all.map(|crowd| crowd.summary().agents).sum()
    }

    /// Sums up a counter of all crowds.
    pub(crate) fn total(&self, counter: impl Fn(&ampora::simulate::Summary) -> u64) -> u64 {
        let crowds = self.crowd.iter();
        let all = crowds.chain(self.witnesses.iter().map(|(_, crowd)| crowd));
        all.map(|crowd| counter(&crowd.summary())).sum()
    }

    /// Restarts that agents carried out since the beginning.
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts + self.total(|crowd| crowd.restarts)
    }

    /// Waits until a node shows the cluster as it should be.
    pub(crate) async fn until_seen(
        &self,
        slot: u64,
        what: &str,
        so: impl Fn(&Cluster) -> bool,
    ) -> anyhow::Result<Cluster> {
        until(what, SOON, async || {
            self.operator.cluster(slot).await.filter(|seen| so(seen))
        })
        .await
    }

    /// Waits until all nodes that run agree on who leads, and that all live and every agent is owned; how long it took.
    pub(crate) async fn one_cluster(&self, within: Duration) -> anyhow::Result<Duration> {
        let (began, agents) = (Since::now(), self.agents());
        let mut last = Vec::new();
        let agreed = until("one cluster", within, async || {
            last.clear();
            for slot in self.slots() {
                last.push(self.operator.cluster(slot).await?);
            }
            let leader = last.first()?.leader_id;
            let running = self.nodes.len();
            let all = last.iter().all(|seen| {
                seen.quorum
                    && seen.leader_id == leader
                    && seen.nodes.len() == running
                    && seen.nodes.iter().all(|node| node.live)
                    && seen.owned() == agents
                    && seen.agents == agents
            });
            all.then_some(())
        });
        let agreed = agreed.await;
        agreed.with_context(|| format!("{agents} agents; seen last: {last:#?}"))?;
        Ok(began.elapsed())
    }

    /// Who leads.
    pub(crate) async fn leader(&self) -> anyhow::Result<u64> {
        let slots = self.slots();
        until("a leader", SOON, async || {
            for slot in &slots {
                let seen = self.operator.cluster(*slot).await?;
                if seen.quorum && seen.leader_id.is_some() {
                    return seen.leader_id;
                }
            }
            None
        })
        .await
    }

    /// Lets the crowd come, spread over the first three nodes; how long it took until every agent was owned.
    pub(crate) async fn crowd_comes(&mut self) -> anyhow::Result<Duration> {
        let began = Since::now();
        let Arguments { agents, rate, .. } = self.arguments;
        self.crowd = Some(crowds::crowd(&[1, 2, 3], agents, rate).await?);
        let all = self.agents();
        self.until_seen(1, "every agent is owned", |seen| seen.owned() == all)
            .await?;
        let took = began.elapsed();
        self.one_cluster(SOON).await?;
        if self.watch.is_none() {
            self.targets = Targets::new(self.uids("role=crowd").await?);
        }
        self.watch = Some(Watch::begin(&self.operator, &self.slots()));
        Ok(took)
    }

    /// Sends the crowd away and lets it come again, so that every node has its third.
    pub(crate) async fn spread(&mut self) -> anyhow::Result<()> {
        self.end_watch();
        if let Some(crowd) = self.crowd.take() {
            self.restarts += crowd.stop().await.restarts;
        }
        self.until_seen(1, "nobody is owned", |seen| seen.owned() == 0)
            .await?;
        self.crowd_comes().await.map(drop)
    }

    /// All agents of a selector.
    pub(crate) async fn uids(&self, selector: &str) -> anyhow::Result<Vec<String>> {
        let mut uids = Vec::new();
        let mut further = String::new();
        loop {
            let path = format!("/agents?limit={PAGE}&selector={selector}{further}");
            let page = self.operator.get(1, &path).await.body;
            let items = page["items"].as_array().context("a page of agents")?;
            let found = items
                .iter()
                .filter_map(|item| item["instance_uid"].as_str());
            uids.extend(found.map(str::to_owned));
            match page["continue"].as_str() {
                Some(place) => further = format!("&continue={place}"),
                None => return Ok(uids),
            }
        }
    }

    /// What was shown of agents so far; from here on somebody else is watching.
    fn end_watch(&mut self) {
        if let Some(watch) = self.watch.take() {
            let most = watch.most();
            self.seen.looks += most.looks;
            self.seen.stale = self.seen.stale.max(most.stale);
            self.seen.disconnected = self.seen.disconnected.max(most.disconnected);
        }
    }

    /// What was shown of agents since this was asked last.
    pub(crate) fn shown(&mut self) -> Seen {
        self.end_watch();
        self.watch = Some(Watch::begin(&self.operator, &self.slots()));
        std::mem::take(&mut self.seen)
    }

    /// Ends everything in order; how the nodes ended.
    pub(crate) async fn end(&mut self) -> anyhow::Result<Vec<i32>> {
        self.end_watch();
        let crowds = self.crowd.take().into_iter();
        for crowd in crowds.chain(self.witnesses.drain(..).map(|(_, crowd)| crowd)) {
            crowd.stop().await;
        }
        for node in self.nodes.values() {
            node.ask_to_end()?;
        }
        let mut codes = Vec::new();
        for node in self.nodes.values_mut() {
            codes.push(node.ended().await?.code().unwrap_or(-1));
        }
        Ok(codes)
    }
}
