//! A node that belongs to a cluster and has nothing of it yet: alive, not ready, and it says why.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::json;

use crate::cluster::{Cluster, SOON, roles};
use crate::support::{self, eventually};

/// A learner that has to begin anew may take as long as a busy machine takes for a start, and then for a snapshot.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn a_joiner_is_not_ready_until_it_has_caught_up() {
    let mut all = Cluster::of_one();
    all.put(1, "shared");
    let join = format!("cluster.join={}", all.token(1, &json!({})));
    all.start(2, &["--set", &join]);
    all.until(1, "/cluster", "it is a member", |shown| {
        roles(shown).get(&2)?.1.then_some(())
    });
    all.stop(2);
    all.stop(1);
    // a place, and nothing behind it: as it is between being let in and the first entry
    let home = all.home_of(2);
    std::fs::remove_dir_all(home.join("data/store")).expect("a store");
    let free = TcpListener::bind("127.0.0.2:0").expect("a port");
    let admin: SocketAddr = free.local_addr().expect("bound");
    drop(free);
    let mut args = all.args_of(2);
    args.extend(["--set".to_owned(), format!("admin.listen={admin}")]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ready = format!("http://{admin}/health/ready");
    let begun = std::thread::scope(|scope| {
        let begun = scope.spawn(|| support::start_in(&home, &args));
        let why = eventually("it says why it is not ready", SOON, || {
            let (status, said) = all.fetch(&ready);
            let reason = said["parts"]["opamp"]["reason"].as_str()?.to_owned();
            assert_eq!(status, 503, "{said}");
            assert_eq!(said["parts"]["opamp"]["status"], "failed", "{said}");
            Some(reason)
        });
        assert_eq!(why, "the node joins a cluster and learns what it has");
        let log = || std::fs::read_to_string(home.join("serve.log")).unwrap_or_default();
        eventually("its log says what it waits for", SOON, || {
            log()
                .contains("no leader of the cluster speaks to this node yet")
                .then_some(())
        });
        assert_eq!(all.fetch(&format!("http://{admin}/health/live")).0, 200);
        assert_eq!(all.fetch(&ready).0, 503, "nobody is there to learn from");
        all.start_again(1);
        begun.join().expect("it serves")
    });
    all.take(2, begun);
    eventually("it is ready", CAUGHT_UP_WITHIN, || {
        (all.fetch(&ready).0 == 200).then_some(())
    });
    assert_eq!(all.get(2, "/groups/shared")["name"], "shared");
}

/// Whoever starts all nodes at once does not mind who is there first.
#[test]
fn a_joiner_waits_for_the_member_that_its_token_names() {
    let mut all = Cluster::of_one();
    let join = format!("cluster.join={}", all.token(1, &json!({})));
    all.stop(1);
    let args = all.args_with(2, &["--set", &join]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let home = all.home_of(2);
    let begun = std::thread::scope(|scope| {
        let begun = scope.spawn(|| support::start_in(&home, &args));
        // more often than a member is asked that is there
        eventually("its log says again whom it cannot reach", SOON, || {
            let log = std::fs::read_to_string(home.join("serve.log")).unwrap_or_default();
            (log.matches("not let in yet").count() >= 2).then_some(())
        });
        all.start_again(1);
        begun.join().expect("it serves")
    });
    all.take(2, begun);
    all.until(1, "/cluster", "it is a member", |shown| {
        roles(shown).get(&2)?.1.then_some(())
    });
}
