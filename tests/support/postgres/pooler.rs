//! pgbouncer before a server: the version of the distribution, which knows no prepared statements in transaction mode.

use std::fs;
use std::path::PathBuf;

use super::home::{self, Account, Programs};
use super::process::Process;
use super::{Server, socket_url};

/// A running pgbouncer, on a Unix socket. Dropping it ends it.
pub(crate) struct Pooler {
    process: Process,
    home: PathBuf,
}

impl Server {
    /// A pooler before this server. `mode` is `transaction` or `session`; `size` connections to a database at most.
    pub(crate) fn pooler(&self, mode: &str, size: usize) -> Pooler {
        let home = home::make("pooler");
        let text = format!(
            "[databases]\n* = host={} port={} user=postgres\n[pgbouncer]\npool_mode = {mode}\n\
             default_pool_size = {size}\nauth_type = any\nlisten_addr =\nlisten_port = 6432\n\
             unix_socket_dir = {}\nserver_login_retry = 0.1\n",
            self.home.display(),
            self.port,
            home.display(),
        );
        let file = home.join("pgbouncer.ini");
        fs::write(&file, text).expect("a file");
        Account::get().own(&file);
        let pooler = Pooler {
            process: Process::new(&home, &home.join("pooler.log")),
            home,
        };
        let mut command = Account::get().command(&Programs::get().pgbouncer);
        command.current_dir(&pooler.home).arg(&file);
        let socket = pooler.home.join(".s.PGSQL.6432");
        let is_up = |_| std::os::unix::net::UnixStream::connect(&socket).is_ok();
        assert!(pooler.process.start(command, is_up), "a socket is taken");
        pooler
    }
}

impl Pooler {
    /// The URL of a database through it.
    pub(crate) fn url(&self, database: &str) -> String {
        socket_url(&self.home, 6432, database)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.process.kill();
        drop(fs::remove_dir_all(&self.home));
    }
}
