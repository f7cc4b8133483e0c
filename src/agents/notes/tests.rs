//! What is noted of agents: each thing once, under the session that it was said in.

use ampora_raft::ids::NodeId;
use ampora_raft::proposal::{Proposal, Retention};
use ampora_raft::records::ReleaseReason;
use bytes::Bytes;

use super::*;
use crate::agents::testing::{Nodes, Speaker, run, until};

/// Kinds of what a node has noted since the last look.
fn kinds(room: &Room) -> Vec<EventKind> {
    let notes = room.history.take_all();
    notes.iter().map(|note| note.said.kind()).collect()
}

fn ends(room: &Room) -> Vec<Ended> {
    let notes = room.history.take_all().into_iter();
    let ends = notes.filter_map(|note| {
        if let Said::Disconnected(why) = note.said {
            Some(why)
        } else {
            None
        }
    });
    ends.collect()
}

fn health(status: &str, at: u64) -> wire::AgentToServer {
    let below = wire::ComponentHealth {
        status: status.to_owned(),
        status_time_unix_nano: at,
        ..Default::default()
    };
    wire::AgentToServer {
        health: Some(wire::ComponentHealth {
            healthy: true,
            status: "StatusOK".to_owned(),
            start_time_unix_nano: at,
            status_time_unix_nano: at,
            component_health_map: [("pipeline:logs".to_owned(), below)].into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn config_status(status: wire::RemoteConfigStatuses, error: &str) -> wire::AgentToServer {
    wire::AgentToServer {
        remote_config_status: Some(wire::RemoteConfigStatus {
            last_remote_config_hash: Bytes::from_static(b"hash"),
            status: status.into(),
            error_message: error.to_owned(),
        }),
        ..Default::default()
    }
}

fn effective(body: &'static str) -> wire::AgentToServer {
    let file = wire::AgentConfigFile {
        body: Bytes::from_static(body.as_bytes()),
        ..Default::default()
    };
    wire::AgentToServer {
        effective_config: Some(wire::EffectiveConfig {
            config_map: Some(wire::AgentConfigMap {
                config_map: [("a.yaml".to_owned(), file)].into(),
            }),
        }),
        ..Default::default()
    }
}

fn packages(version: &str, percent: f64) -> wire::AgentToServer {
    let package = wire::PackageStatus {
        agent_has_version: version.to_owned(),
        download_details: Some(wire::PackageDownloadDetails {
            download_percent: percent,
            ..Default::default()
        }),
        ..Default::default()
    };
    wire::AgentToServer {
        package_statuses: Some(wire::PackageStatuses {
            packages: [("collector".to_owned(), package)].into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A message with all that the others say.
fn everything(parts: [wire::AgentToServer; 4]) -> wire::AgentToServer {
    let [health, status, effective, packages] = parts;
    wire::AgentToServer {
        health: health.health,
        remote_config_status: status.remote_config_status,
        effective_config: effective.effective_config,
        package_statuses: packages.package_statuses,
        ..Default::default()
    }
}

fn usual(at: u64) -> wire::AgentToServer {
    let applied = wire::RemoteConfigStatuses::Applied;
    everything([
        health("StatusOK", at),
        config_status(applied, ""),
        effective("x: 1"),
        packages("1", 0.5),
    ])
}

#[test]
fn each_thing_is_noted_once_however_often_it_is_said() {
    run(async {
        let nodes = Nodes::start(1).await;
        let room = nodes.node(1);
        let mut agent = Speaker::new(room, 1, 10);
        agent.arrive().await;
        let notes = room.history.take_all();
        let fence = nodes.session(agent.uid).expect("a session").fence;
        assert!(
            notes
                .iter()
                .all(|note| note.fence == fence && note.agent == agent.uid)
        );
        let noted: Vec<_> = notes.iter().map(|note| note.said.kind()).collect();
        assert_eq!(noted, [EventKind::Connected, EventKind::Description]);

        agent.say(usual(1)).await;
        use EventKind::{ConfigStatus, EffectiveConfig, Health, Packages};
        assert_eq!(
            kinds(room),
            [Health, ConfigStatus, EffectiveConfig, Packages]
        );
        // times and progress are no news, and nor is who it is
        agent.say(usual(2)).await;
        agent.introduce().await;
        agent.beat().await;
        assert_eq!(kinds(room), []);

        // one thing at a time, and back: whatever the record shows by then
        for _ in 0..2 {
            agent.say(health("StatusRecoverableError", 3)).await;
            assert_eq!(kinds(room), [Health]);
            agent.say(health("StatusOK", 4)).await;
            assert_eq!(kinds(room), [Health]);
        }
        let failed = wire::RemoteConfigStatuses::Failed;
        for error in ["pid 17", "pid 18"] {
            agent.say(config_status(failed, error)).await;
            assert_eq!(kinds(room), [ConfigStatus]);
        }
        agent.say(effective("x: 2")).await;
        assert_eq!(kinds(room), [EffectiveConfig]);
        agent.say(packages("2", 0.5)).await;
        assert_eq!(kinds(room), [Packages]);
    });
}

#[test]
fn capabilities_are_noted_with_the_description() {
    run(async {
        let nodes = Nodes::start(1).await;
        let room = nodes.node(1);
        let mut agent = Speaker::new(room, 1, 10);
        // it has still to say who it is
        agent.beat().await;
        agent.is_served().await;
        assert_eq!(kinds(room), [EventKind::Connected]);
        agent.introduce().await;
        assert_eq!(kinds(room), [EventKind::Description]);
        until(|| room.batches.is_idle()).await;
        agent.capabilities |= 0x800;
        agent.beat().await;
        let notes = room.history.take_all();
        let [
            Said::Description {
                description,
                capabilities,
            },
        ] = &notes
            .iter()
            .map(|note| note.said.clone())
            .collect::<Vec<_>>()[..]
        else {
            panic!("{notes:?}");
        };
        assert_eq!(
            (&*description.name, *capabilities),
            ("host", agent.capabilities)
        );
    });
}

#[test]
fn an_agent_that_comes_back_says_nothing_new() {
    run(async {
        let nodes = Nodes::start(2).await;
        let mut agent = Speaker::new(nodes.node(1), 1, 10);
        agent.arrive().await;
        agent.say(usual(1)).await;
        kinds(nodes.node(1));
        for (number, connection) in [(1, 11), (2, 12), (1, 13)] {
            let here = agent.room.clone();
            let served = here.registry.get(agent.uid).expect("is served");
            here.leave(&served, agent.caller.connection, ReleaseReason::Lost);
            assert_eq!(ends(&here), [Ended::Lost]);
            agent = agent.again(nodes.node(number), connection);
            agent.arrive().await;
            agent.say(usual(connection)).await;
            assert_eq!(
                kinds(nodes.node(number)),
                [EventKind::Connected],
                "{connection}"
            );
        }
        agent.say(effective("x: 2")).await;
        assert_eq!(kinds(nodes.node(1)), [EventKind::EffectiveConfig]);
    });
}

#[test]
fn what_changed_meanwhile_is_news() {
    run(async {
        let nodes = Nodes::start(2).await;
        let mut first = Speaker::new(nodes.node(1), 1, 10);
        first.arrive().await;
        first.say(effective("x: 1")).await;
        let mut second = first.again(nodes.node(2), 20);
        second.arrive().await;
        second.say(effective("x: 2")).await;
        until(|| ends(nodes.node(1)) == [Ended::Moved]).await;
        until(|| nodes.node(2).batches.is_idle()).await;
        let mut third = second.again(nodes.node(1), 30);
        third.introduce().await;
        // what this node heard before says nothing any more
        third.say(effective("x: 1")).await;
        until(|| nodes.owner(third.uid) == Some(1)).await;
        until(|| {
            let noted = nodes.node(1).history.len();
            noted == 2
        })
        .await;
        let expected = [EventKind::Connected, EventKind::EffectiveConfig];
        assert_eq!(kinds(nodes.node(1)), expected);
    });
}

#[test]
fn every_end_has_its_reason() {
    run(async {
        let nodes = Nodes::start(1).await;
        let room = nodes.node(1);
        let mut agent = Speaker::new(room, 1, 10);
        agent.arrive().await;
        agent
            .say(wire::AgentToServer {
                agent_disconnect: Some(wire::AgentDisconnect {}),
                ..Default::default()
            })
            .await;
        assert_eq!(ends(room), [Ended::Goodbye]);
        // the socket of one that said goodbye says nothing more
        if let Some(served) = room.registry.get(agent.uid) {
            room.leave(&served, agent.caller.connection, ReleaseReason::Lost);
        }
        assert_eq!(ends(room), []);
        for (connection, reason, ended) in [
            (11, ReleaseReason::Drained, Ended::Drained),
            (12, ReleaseReason::Lost, Ended::Lost),
        ] {
            agent = agent.again(room, connection);
            agent.arrive().await;
            let served = room.registry.get(agent.uid).expect("is served");
            room.leave(&served, agent.caller.connection, reason);
            assert_eq!(ends(room), [ended]);
        }
        agent = agent.again(room, 13);
        agent.arrive().await;
        let session = nodes.session(agent.uid).expect("a session");
        let forget = Proposal::ForgetAgent {
            agent: agent.uid,
            fence: Some(session.fence),
        };
        nodes.propose(forget).await;
        until(|| room.history.len() > 1).await;
        assert_eq!(ends(room), [Ended::Forgotten]);
    });
}

#[test]
fn what_is_said_before_the_session_is_noted_after_it() {
    run(async {
        let nodes = Nodes::start(1).await;
        let room = nodes.node(1);
        room.batches.hold_back(true);
        let mut agent = Speaker::new(room, 1, 10);
        agent.introduce().await;
        for status in [
            "StatusOK",
            "StatusRecoverableError",
            "StatusRecoverableError",
        ] {
            agent.say(health(status, 1)).await;
        }
        assert_eq!(kinds(room), []);
        room.batches.hold_back(false);
        until(|| room.history.len() == 3).await;
        let notes = room.history.take_all();
        let fence = nodes.session(agent.uid).expect("a session").fence;
        assert!(notes.iter().all(|note| note.fence == fence));
        let noted: Vec<_> = notes.iter().map(|note| note.said.kind()).collect();
        use EventKind::{Connected, Description, Health};
        assert_eq!(noted, [Connected, Description, Health]);
        // the newest of its kind, and it is not news once more
        agent.say(health("StatusRecoverableError", 2)).await;
        assert_eq!(kinds(room), []);
        assert_eq!(room.history.kept_bytes(), 0);
    });
}

#[test]
fn what_was_said_without_a_session_goes_with_the_connection() {
    run(async {
        let nodes = Nodes::start(1).await;
        let room = nodes.node(1);
        room.batches.hold_back(true);
        let mut agent = Speaker::new(room, 1, 10);
        agent.introduce().await;
        agent.say(effective("x: 1")).await;
        assert!(room.history.kept_bytes() > 0);
        let served = room.registry.get(agent.uid).expect("is served");
        room.leave(&served, agent.caller.connection, ReleaseReason::Lost);
        assert_eq!(room.history.kept_bytes(), 0);
        room.batches.hold_back(false);
        let is_released = || {
            let view = nodes.consensus.view();
            let record = view.fleet.agent(agent.uid);
            record.is_some_and(|record| record.released.is_some())
        };
        until(is_released).await;
        assert_eq!(kinds(room), []);
    });
}

#[test]
fn the_end_of_a_session_whose_owner_died_is_noted_by_who_finds_it() {
    run(async {
        let nodes = Nodes::start(2).await;
        let mut agent = Speaker::new(nodes.node(2), 1, 10);
        agent.arrive().await;
        let fence = nodes.session(agent.uid).expect("a session").fence;
        nodes.let_die(2).await;
        let before = nodes.consensus.view();
        let given = Retention::ForgetAgents {
            agents: vec![agent.uid],
            after_ms: u64::MAX,
            bare_after_ms: u64::MAX,
        };
        let room = nodes.node(1);
        room.owners_died(&before.fleet, &given);
        assert_eq!(ends(room), [], "nothing has happened yet");
        nodes.propose(Proposal::Retention(given.clone())).await;
        room.owners_died(&before.fleet, &given);
        let notes = room.history.take_all();
        assert_eq!(notes.len(), 1);
        assert_eq!((notes[0].agent, notes[0].fence), (agent.uid, fence));
        let Said::Disconnected(why) = notes[0].said else {
            panic!("{notes:?}");
        };
        assert_eq!(why, Ended::OwnerDied(NodeId(2)));
        // the next pass finds nothing
        let before = nodes.consensus.view();
        nodes.propose(Proposal::Retention(given.clone())).await;
        room.owners_died(&before.fleet, &given);
        assert_eq!(ends(room), []);
    });
}
