//! Servers that follow another one by streaming.

use super::home::{self, Account};
use super::{Listen, Server, done};

impl Server {
    /// A hot standby of this server, on a socket or loopback of its own. It holds back nothing when it is gone.
    pub(crate) fn replica(&self, listen: Listen) -> Server {
        let home = home::make("replica");
        let mut copy = Account::get().command(&self.programs.join("pg_basebackup"));
        copy.args([
            "--wal-method=stream",
            "--checkpoint=fast",
            "--write-recovery-conf",
        ])
        .args(["--no-sync", "--dbname", &self.url("postgres"), "--pgdata"])
        .arg(home.join("data"));
        done(&mut copy);
        let settings = [
            "wal_retrieve_retry_interval=100ms",
            "wal_receiver_status_interval=1s",
        ];
        let settings = settings.map(str::to_owned).to_vec();
        Self::run(self.programs.clone(), home, listen, settings, None)
    }
}
