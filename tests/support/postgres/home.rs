//! Where servers live and as whom they run. Every server of a test process is in one directory, and a keeper, which
//! waits for the end of the process, ends what is left there and removes it, whatever ended the process.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

pub(super) use rustix::process::Signal;

use super::Version;

/// Reads until nobody writes any more, then ends every process that is at home in the directory. Servers that were
/// asked first give back their shared memory.
const KEEPER: &str = r#"
read -r _
there() { ls -l /proc/[0-9]*/cwd 2>/dev/null | sed -n "s|.*/proc/\([0-9]*\)/cwd -> $1/.*|\1|p"; }
signal() { there "$2" | xargs -r kill -s "$1" 2>/dev/null; }
signal CONT "$1"
for file in "$1"/*/data/postmaster.pid; do
    [ -e "$file" ] && kill -s QUIT "$(head -n 1 "$file")" 2>/dev/null
done
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -z "$(there "$1")" ] && break
    sleep 0.1
done
signal KILL "$1"
rm -rf "$1" || { sleep 0.5; rm -rf "$1"; }
"#;

/// A new directory that belongs to the account of servers.
pub(super) fn make(what: &str) -> PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    let root = ROOT.get_or_init(|| {
        let root = tempfile::Builder::new().prefix("ampora-pg-").tempdir();
        let root = root.expect("a directory").keep();
        // others may go through, not look
        fs::set_permissions(&root, PermissionsExt::from_mode(0o711)).expect("a mode");
        keep(&root);
        root
    });
    let made = tempfile::Builder::new().prefix(what).tempdir_in(root);
    let made = made.expect("a directory").keep();
    fs::set_permissions(&made, PermissionsExt::from_mode(0o755)).expect("a mode");
    Account::get().own(&made);
    made
}

/// Starts the keeper of a directory. Its standard input stays open as long as this process lives; it is in a group of
/// its own, so that a signal to ours leaves it.
fn keep(root: &Path) {
    let mut keeper = Command::new("/bin/sh");
    keeper
        .args(["-c", KEEPER, "keeper"])
        .arg(root)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    // with its standard input
    static KEPT: OnceLock<Child> = OnceLock::new();
    drop(KEPT.set(keeper.spawn().expect("a shell")));
}

/// As whom servers run: themselves refuse to be root.
#[derive(Debug)]
pub(super) enum Account {
    /// As whoever runs the tests.
    Own,
    /// As the user of the distribution's package.
    Postgres {
        /// Its number.
        uid: u32,
        /// That of its group.
        gid: u32,
    },
}

impl Account {
    pub(super) fn get() -> &'static Self {
        static ACCOUNT: OnceLock<Account> = OnceLock::new();
        ACCOUNT.get_or_init(|| {
            // the package makes the user
            Programs::get();
            if !rustix::process::getuid().is_root() {
                return Self::Own;
            }
            let users = fs::read_to_string("/etc/passwd").expect("the users");
            let line = users.lines().find(|line| line.starts_with("postgres:"));
            let fields: Vec<&str> = line.expect("the user postgres").split(':').collect();
            let number = |at: usize| fields[at].parse().expect("a number");
            Self::Postgres {
                uid: number(2),
                gid: number(3),
            }
        })
    }

    /// Gives a file to it, for its eyes alone; a directory keeps its mode.
    pub(super) fn own(&self, path: &Path) {
        if path.is_file() {
            fs::set_permissions(path, PermissionsExt::from_mode(0o600)).expect("a mode");
        }
        if let Self::Postgres { uid, gid } = self {
            chown(path, Some(*uid), Some(*gid)).expect("the rights of root");
        }
    }

    /// A program, run as this account in a directory that it may read, with nothing of the environment that it would
    /// take for its own.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = match self {
            Self::Own => Command::new(program),
            Self::Postgres { uid, gid } => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={uid}"))
                    .arg(format!("--regid={gid}"))
                    .arg("--clear-groups")
                    .arg(program);
                command
            }
        };
        // a server takes libpq of the system else, which may be another version
        let libraries = program.parent().map(|programs| programs.join("../lib"));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .envs(libraries.map(|path| ("LD_LIBRARY_PATH", path)));
        command.current_dir("/").stdin(Stdio::null());
        command
    }
}

/// Where programs are.
pub(super) struct Programs {
    oldest: PathBuf,
    distribution: PathBuf,
    newest: PathBuf,
    /// The pooler.
    pub(super) pgbouncer: PathBuf,
}

impl Programs {
    /// Finds them, and installs or fetches what is missing.
    pub(super) fn get() -> &'static Self {
        static PROGRAMS: OnceLock<Programs> = OnceLock::new();
        PROGRAMS.get_or_init(|| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR"))
                .ancestors()
                .map(|dir| dir.join("tests/postgres/servers.sh"))
                .find(|script| script.is_file());
            let output = Command::new(script.expect("the script")).output();
            let output = output.expect("the script runs");
            let said = String::from_utf8_lossy(&output.stderr);
            drop(write!(std::io::stderr(), "{said}"));
            assert!(output.status.success(), "{said}");
            let lines = String::from_utf8(output.stdout).expect("a text");
            let place = |name: &str| {
                let mut places = lines.lines().filter_map(|line| line.split_once(' '));
                let place = places.find(|(of, _)| *of == name);
                PathBuf::from(place.expect("a place").1)
            };
            Self {
                oldest: place("oldest"),
                distribution: place("distribution"),
                newest: place("newest"),
                pgbouncer: place("pgbouncer"),
            }
        })
    }

    /// The directory of those of a version.
    pub(super) fn of(&self, version: Version) -> &Path {
        match version {
            Version::Oldest => &self.oldest,
            Version::Distribution => &self.distribution,
            Version::Newest => &self.newest,
        }
    }
}
