//! Real Postgres servers for suites: the oldest version that is supported, that of the distribution and the newest, each
//! in a directory of its own, on a Unix socket, and on loopback where TLS or a password is tested. A suite takes it in
//! with `#[path = "…/tests/support/postgres/mod.rs"] mod postgres;`.
//!
//! A suite shares one server of a version ([`Server::shared`]) and makes a database for each test
//! ([`Server::database`]); a test that stops, freezes or configures a server starts its own.

mod home;
mod pooler;
mod process;
mod replica;
mod session;
mod space;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use home::{Account, Programs};
use process::Process;

/// The password of the user `postgres`, who needs it over TCP alone. Nothing may ever print it.
pub(crate) const PASSWORD: &str = "hunter2secret";

/// Ports of servers: below those that the kernel gives to connections, so that nobody has a port when its server is
/// started again.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// Ports that are tried until one is free.
const PORT_TRIES: usize = 50;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// The oldest that is supported: 14.
    Oldest,
    /// What the distribution has: 15 in Debian 12.
    Distribution,
    /// The newest that is supported: 18.
    Newest,
}

impl Version {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Oldest, Self::Distribution, Self::Newest];
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// On its Unix socket.
    Socket,
    /// On 127.0.0.1 as well.
    Loopback,
}

/// A server. Dropping it ends it and removes its data.
pub(crate) struct Server {
    process: Process,
    programs: PathBuf,
    home: PathBuf,
    listen: Listen,
    port: u16,
    settings: Vec<String>,
    /// Bytes of a small file system of its own.
    space: Option<u64>,
}

impl Server {
    /// The server of a version that a suite shares. Nobody stops it.
    pub(crate) fn shared(version: Version) -> &'static Self {
        static SHARED: [OnceLock<Server>; 3] = [const { OnceLock::new() }; 3];
        let place = &SHARED[version as usize];
        place.get_or_init(|| Self::start(version, Listen::Socket, &[]))
    }

    /// A server of one's own. Settings are lines such as `max_connections=10`.
    pub(crate) fn start(version: Version, listen: Listen, settings: &[&str]) -> Self {
        Self::start_on(version, listen, settings, None)
    }

    fn start_on(version: Version, listen: Listen, settings: &[&str], space: Option<u64>) -> Self {
        let programs = Programs::get().of(version).to_owned();
        let home = home::make("server");
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(blank(version)).arg(home.join("data"));
        done(&mut copy);
        if space.is_some() {
            let place = home.join("space");
            fs::create_dir(&place).expect("a directory");
            Account::get().own(&place);
        }
        let settings = settings.iter().map(|&line| line.to_owned()).collect();
        Self::run(programs, home, listen, settings, space)
    }

    /// Starts what is in a directory, on a port that is free.
    fn run(
        programs: PathBuf,
        home: PathBuf,
        listen: Listen,
        settings: Vec<String>,
        space: Option<u64>,
    ) -> Self {
        let mut server = Self {
            process: Process::new(&home.join("data"), &home.join("server.log")),
            programs,
            home,
            listen,
            port: 5432,
            settings,
            space,
        };
        for _ in 0..PORT_TRIES {
            if listen == Listen::Loopback {
                server.port = free_port();
            }
            if server.launch() {
                return server;
            }
        }
        panic!("no free port for a server:\n{}", server.log());
    }

    /// Starts the process; `false` when its port has been taken meanwhile.
    fn launch(&self) -> bool {
        let addresses = match self.listen {
            Listen::Socket => "",
            Listen::Loopback => "127.0.0.1",
        };
        let mut command = Account::get().command(&self.programs.join("postgres"));
        command
            .arg("-D")
            .arg(self.home.join("data"))
            .args(["-p", &self.port.to_string()])
            .arg(format!("-cunix_socket_directories={}", self.home.display()))
            .arg(format!("-clisten_addresses={addresses}"))
            .args(["-cfsync=off", "-cautovacuum=off", "-cshared_buffers=16MB"])
            .args(["-cjit=off", "-cmin_wal_size=32MB", "-ctimezone=UTC"])
            .args(self.settings.iter().map(|line| format!("-c{line}")));
        if let Some(bytes) = self.space {
            command = space::wrap(&self.home, bytes, &command);
        }
        let pid_file = self.home.join("data/postmaster.pid");
        self.process.start(command, |pid| {
            let text = fs::read_to_string(&pid_file).unwrap_or_default();
            // one that was killed leaves its file behind
            let is_of_it = text.lines().next() == Some(&pid.to_string());
            let mut state = text.lines().skip(7).map(str::trim);
            is_of_it && state.next() == Some("ready")
        })
    }

    /// A new database, empty.
    pub(crate) fn database(&self) -> Database {
        static NUMBER: AtomicU16 = AtomicU16::new(0);
        let name = format!("test{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        // template1 may be in use by whoever makes another one
        self.sql(
            "postgres",
            &format!("CREATE DATABASE {name} TEMPLATE template0"),
        );
        Database {
            url: self.url(&name),
            name,
        }
    }

    /// A URL over the Unix socket, as the user `postgres`, without a password.
    pub(crate) fn url(&self, database: &str) -> String {
        socket_url(&self.home, self.port, database)
    }

    /// A URL over TCP, with the password.
    pub(crate) fn tcp_url(&self, database: &str) -> String {
        assert_eq!(self.listen, Listen::Loopback);
        format!(
            "postgres://postgres:{PASSWORD}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// Its port: of TCP, and in the name of its Unix socket.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The directory of its Unix socket.
    pub(crate) fn socket_dir(&self) -> &Path {
        &self.home
    }

    /// What psql prints: rows as lines, columns divided by `|`.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        psql(&self.programs, &self.url(database), sql)
    }

    /// Writes a file into its data directory, for its eyes alone.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.home.join("data").join(name);
        fs::write(&path, text).expect("a file");
        Account::get().own(&path);
    }

    /// Lines that go to the end of `postgresql.conf`; the server takes up those that need no restart.
    pub(crate) fn configure(&self, lines: &str) {
        let path = self.home.join("data/postgresql.conf");
        let all = fs::read_to_string(&path).expect("its configuration") + lines + "\n";
        fs::write(&path, all).expect("a file");
        self.process.signal(home::Signal::HUP);
    }

    /// Asks it to end, which breaks all connections, and waits until it has.
    pub(crate) fn stop(&self) {
        self.process.end(home::Signal::INT);
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&self) {
        self.process.kill();
    }

    /// Starts it again where it was.
    pub(crate) fn start_again(&self) {
        assert!(self.launch(), "its port is taken:\n{}", self.log());
    }

    /// Stops all its processes where they are: connections stay open and nobody answers.
    pub(crate) fn freeze(&self) {
        self.process.signal_all(home::Signal::STOP);
    }

    /// Lets them go on.
    pub(crate) fn thaw(&self) {
        self.process.signal_all(home::Signal::CONT);
    }

    /// What it has written to its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.join("server.log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // it gives back its shared memory, which nothing else does
        self.thaw();
        self.process.end(home::Signal::QUIT);
        self.process.kill();
        drop(fs::remove_dir_all(&self.home));
    }
}

/// A database of a test.
pub(crate) struct Database {
    /// Its name.
    pub(crate) name: String,
    /// Where it is, over the Unix socket.
    pub(crate) url: String,
}

/// The data of a server that nobody has started, made once.
fn blank(version: Version) -> &'static Path {
    static BLANK: [OnceLock<PathBuf>; 3] = [const { OnceLock::new() }; 3];
    BLANK[version as usize].get_or_init(|| {
        let home = home::make("blank");
        let password = home.join("password");
        fs::write(&password, PASSWORD).expect("a file");
        Account::get().own(&password);
        let programs = Programs::get().of(version);
        let mut initdb = Account::get().command(&programs.join("initdb"));
        initdb
            .args(["--no-sync", "--username=postgres", "--encoding=UTF8"])
            .args(["--locale=C.UTF-8", "--auth-local=trust"])
            .arg("--auth-host=scram-sha-256")
            .arg(format!("--pwfile={}", password.display()))
            .arg(home.join("data"));
        done(&mut initdb);
        home.join("data")
    })
}

fn socket_url(dir: &Path, port: u16, database: &str) -> String {
    format!(
        "postgres:///{database}?host={}&port={port}&user=postgres",
        dir.display()
    )
}

/// What psql prints, wherever the URL leads.
pub(crate) fn sql_at(url: &str, sql: &str) -> String {
    psql(Programs::get().of(Version::Newest), url, sql)
}

fn psql(programs: &Path, url: &str, sql: &str) -> String {
    let mut command = Command::new(programs.join("psql"));
    command
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
        .args(["-d", url, "-c", sql]);
    done(&mut command)
}

/// What a program printed that has to succeed.
fn done(command: &mut Command) -> String {
    let output = command.output().expect("a program that starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

/// A port that was free a moment ago. Processes begin at different places.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = PORTS.end - PORTS.start;
    let begin = u16::try_from(std::process::id() * 61 % u32::from(count)).expect("a port");
    let free = (0..count).find_map(|_| {
        let next = NEXT.fetch_add(1, Ordering::Relaxed) % count;
        let port = PORTS.start + (begin + next) % count;
        TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
    });
    free.expect("a free port")
}
