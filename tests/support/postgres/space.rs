//! A server with a tablespace on a file system that is small, and that can be filled to the last byte. Its mount is
//! seen by the server alone, and gone with it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::home::Account;
use super::{Database, Server};

/// Name of the tablespace, and of its directory.
const NAME: &str = "space";

/// What the server is started with: a mount of its own, then itself.
const MOUNT: &str = "mount -t tmpfs -o \"$1\" tmpfs \"$2\" && shift 2 && exec \"$@\"";

/// The command of a server that sees a small file system in its directory.
pub(super) fn wrap(home: &Path, bytes: u64, server: &Command) -> Command {
    let mut options = format!("size={bytes},mode=0700");
    match Account::get() {
        Account::Own => {}
        Account::Postgres { uid, gid } => options += &format!(",uid={uid},gid={gid}"),
    }
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", MOUNT, "sh", &options])
        .arg(home.join(NAME))
        .arg(server.get_program())
        .args(server.get_args())
        .env_clear()
        .current_dir("/")
        .stdin(std::process::Stdio::null());
    for (name, value) in server.get_envs() {
        command.envs(value.map(|value| (name, value)));
    }
    command
}

impl Server {
    /// A server of one's own with a file system of so many bytes. What is there ends with its process. Needs the rights of root.
    pub(crate) fn with_space(version: super::Version, listen: super::Listen, bytes: u64) -> Self {
        Self::start_on(version, listen, &[], Some(bytes))
    }

    /// A new database on the small file system.
    pub(crate) fn database_in_space(&self) -> Database {
        let place = self.socket_dir().join(NAME);
        let sql = format!("CREATE TABLESPACE {NAME} LOCATION '{}'", place.display());
        self.sql("postgres", &sql);
        let database = self.database();
        let sql = format!("ALTER DATABASE {} SET TABLESPACE {NAME}", database.name);
        self.sql("postgres", &sql);
        database
    }

    /// The small file system as this process sees it.
    fn seen(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.process.id()));
        let home = self.home.strip_prefix("/").expect("absolute");
        root.join(home).join(NAME)
    }

    /// Leaves no byte of the small file system.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.seen().join("filler")).expect("a file");
        let piece = vec![b'x'; 4096];
        while file.write_all(&piece).is_ok() {}
    }

    /// Takes away what fills it.
    pub(crate) fn empty(&self) {
        fs::remove_file(self.seen().join("filler")).expect("a file");
    }
}
