//! The run: sockets are opened at the pace of the plan and kept until it ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use url::Url;

use super::plan::Plan;
use super::socket::{self, Door};
use super::tally::{Summary, Tally};
use crate::clock::SystemClock;
use crate::tasks::Tasks;
use crate::trust::Trust;

/// How often sockets are opened: a fraction of the pace each time.
const OPENING_PERIOD: Duration = Duration::from_millis(20);

/// How often somebody is told how far a run has come.
const PROGRESS_PERIOD: Duration = Duration::from_millis(250);

/// How long the goodbyes may take.
const GOODBYE: Duration = Duration::from_secs(10);

/// Hears how far a run has come.
pub type Progress = Box<dyn Fn(&Summary) + Send>;

/// Simulated agents that are running.
#[derive(Debug)]
pub struct Crowd {
    plan: Arc<Plan>,
    tally: Arc<Tally>,
    tasks: Tasks,
    began_us: u64,
    connected_after_ms: Option<u64>,
}

impl Crowd {
    /// Begins to open sockets.
    ///
    /// # Errors
    /// Fails when the host of the plan has no address.
    pub async fn start(plan: Plan) -> io::Result<Self> {
        Self::trusting(plan, &Trust::System).await
    }

    /// Begins to open sockets to a server that shows a certificate.
    ///
    /// # Errors
    /// Fails when the host of the plan has no address, or the authorities cannot be read.
    pub async fn trusting(plan: Plan, trust: &Trust) -> io::Result<Self> {
        let plan = Arc::new(plan);
        let mut doors = Vec::new();
        for url in &plan.urls {
            doors.push(Door::of(url, address(url).await?, trust)?);
        }
        let doors: Arc<[Door]> = doors.into();
        let crowd = Self {
            tally: Arc::new(Tally::new()),
            tasks: Tasks::new(),
            began_us: SystemClock.micros(),
            connected_after_ms: None,
            plan,
        };
        crowd.tasks.spawn(open(
            crowd.plan.clone(),
            crowd.tally.clone(),
            doors,
            crowd.tasks.clone(),
        ));
        Ok(crowd)
    }

    /// What was seen so far.
    pub fn summary(&self) -> Summary {
        self.tally
            .summary(self.plan.agents, self.connected_after_ms)
    }

    /// Runs for `length`, or until all sockets are open when there is none, and tells `progress` meanwhile.
    pub async fn run(&mut self, length: Option<Duration>, progress: &Progress) {
        let sockets = u64::try_from(self.plan.sockets()).unwrap_or(u64::MAX);
        let mut tick = tokio::time::interval(PROGRESS_PERIOD);
        loop {
            tick.tick().await;
            let ran = SystemClock.elapsed(self.began_us);
            let connected = self.tally.connected.load(Ordering::Relaxed);
            if connected >= sockets && self.connected_after_ms.is_none() {
                self.connected_after_ms = u64::try_from(ran.as_millis()).ok();
            }
            progress(&self.summary());
            let over = match length {
                Some(length) => ran >= length,
                None => self.connected_after_ms.is_some(),
            };
            if over {
                return;
            }
        }
    }

    /// Closes all sockets, and says what was seen.
    pub async fn stop(self) -> Summary {
        let summary = self.summary();
        self.tasks.stop();
        self.tasks.finished(GOODBYE).await;
        summary
    }
}

async fn address(url: &Url) -> io::Result<SocketAddr> {
    let host = url.host_str().unwrap_or_default().to_owned();
    let port = url.port_or_known_default().unwrap_or_default();
    let mut found = tokio::net::lookup_host((host.as_str(), port)).await?;
    found
        .next()
        .ok_or_else(|| io::Error::other(format!("{host} has no address")))
}

async fn open(plan: Arc<Plan>, tally: Arc<Tally>, doors: Arc<[Door]>, tasks: Tasks) {
    let stopping = tasks.stopping();
    let mut tick = tokio::time::interval(OPENING_PERIOD);
    let per_second = u64::from(plan.connects_per_second);
    let per_tick = u64::try_from(OPENING_PERIOD.as_millis()).unwrap_or(1);
    let mut credit_ms = 0;
    for number in 0..plan.sockets() {
        while credit_ms < 1000 {
            tokio::select! {
                _ = tick.tick() => credit_ms += per_tick * per_second,
                () = stopping.cancelled() => return,
            }
        }
        credit_ms -= 1000;
        tasks.spawn(socket::keep(
            plan.clone(),
            tally.clone(),
            doors.clone(),
            number,
            stopping.clone(),
        ));
    }
}
