//! What a URL says of a server.
//!
//! The library's own parser refuses options that people use, such as `sslrootcert`, and splits a URL so that an error
//! may show a part of a password; this one never repeats a value.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::config::{ChannelBinding, Config, TargetSessionAttrs};

use super::tls::{Authorities, Tls};

/// How long one address may take until it accepts a connection, unless the URL says.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long what was sent may stay unacknowledged by the other machine.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);
/// Silence after which the other machine is asked whether it is there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
/// Between two such questions.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// Unanswered ones that end a connection.
const KEEPALIVE_TRIES: u32 = 3;

/// The port of servers whose URL names none.
const PORT: u16 = 5432;

const ENCODE: &str =
    "one of / ? # @ in a user name or password has to be percent-encoded, as in %2F";

/// A server, as its URL says.
#[derive(Clone)]
pub(super) struct Address {
    /// What the library takes; TLS is not decided there.
    pub(super) config: Config,
    /// Where it is, for people: hosts, ports and the database.
    pub(super) shown: String,
    /// `sslmode`, where it is one that does not fall back to plain text by itself.
    pub(super) tls: Option<Tls>,
    /// `sslrootcert`.
    pub(super) authorities: Option<Authorities>,
    /// Whether nothing leaves the machine: all of it is Unix sockets and loopback.
    pub(super) is_local: bool,
    /// Whether all of it is Unix sockets, on which servers speak no TLS.
    pub(super) is_socket: bool,
}

/// What a URL says, part by part.
#[derive(Default)]
struct Parts {
    hosts: Vec<String>,
    addresses: Vec<IpAddr>,
    ports: Vec<u16>,
    database: Option<String>,
    tls: Option<Tls>,
    authorities: Option<Authorities>,
}

impl Address {
    /// Reads a URL such as `postgres://user:password@host:5432/database?sslmode=verify-full`.
    ///
    /// # Errors
    /// What is wrong with it, without any of its values.
    pub(super) fn of(url: &str) -> Result<Self, String> {
        let schemes = ["postgres://", "postgresql://"];
        let rest = schemes.iter().find_map(|scheme| url.strip_prefix(scheme));
        let rest = rest.ok_or("it begins with neither postgres:// nor postgresql://")?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if rest.contains('@') || url.contains('#') {
            // what would be taken for a host, a database or the name of an option may be a part of a password
            return Err(ENCODE.to_owned());
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut config = Config::new();
        config
            .application_name("ampora")
            .connect_timeout(CONNECT_WITHIN)
            .tcp_user_timeout(UNACKNOWLEDGED_MAX)
            .keepalives_idle(KEEPALIVE_AFTER)
            .keepalives_interval(KEEPALIVE_EVERY)
            .keepalives_retries(KEEPALIVE_TRIES);
        let mut parts = Parts::default();
        let hosts = match authority.rsplit_once('@') {
            None => authority,
            Some((user, hosts)) => {
                let (user, password) = user.split_once(':').unwrap_or((user, ""));
                if !user.is_empty() {
                    config.user(text(user, "the user name")?);
                }
                if !password.is_empty() {
                    config.password(decoded(password).ok_or(ENCODE)?);
                }
                hosts
            }
        };
        for host in hosts.split(',').filter(|host| !host.is_empty()) {
            parts.host_and_port(host)?;
        }
        let database = text(path.trim_start_matches('/'), "the name of the database")?;
        parts.database = Some(database).filter(|name| !name.is_empty());
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            parts.option(&mut config, name, value)?;
        }
        parts.into_address(config)
    }
}

impl Parts {
    fn host_and_port(&mut self, text: &str) -> Result<(), String> {
        let (host, port) = match text.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
            Some((host, after)) => (host, after.strip_prefix(':').unwrap_or(after)),
            None => text.split_once(':').unwrap_or((text, "")),
        };
        self.hosts.push(self::text(host, "a host")?);
        self.ports.push(if port.is_empty() {
            PORT
        } else {
            port_of(port)?
        });
        Ok(())
    }

    fn option(&mut self, config: &mut Config, name: &str, value: &str) -> Result<(), String> {
        let value = text(value, "the value of an option")?;
        let wrong = |expected: &str| Err(format!("the option `{name}` has to be {expected}"));
        match name {
            "host" => self.hosts = value.split(',').map(str::to_owned).collect(),
            "port" => self.ports = value.split(',').map(port_of).collect::<Result<_, _>>()?,
            "hostaddr" => {
                let all: Result<_, _> = value.split(',').map(str::parse).collect();
                let Ok(all) = all else {
                    return wrong("an IP address for each host");
                };
                self.addresses = all;
            }
            "user" => {
                config.user(value);
            }
            "password" => {
                config.password(value);
            }
            "dbname" => self.database = Some(value),
            "sslmode" => match value.as_str() {
                // these fall back to plain text silently: the default, which is stricter, stands instead
                "allow" | "prefer" => {}
                word => match Tls::from_word(word) {
                    Some(tls) => self.tls = Some(tls),
                    None => return wrong("disable, require, verify-ca or verify-full"),
                },
            },
            "sslrootcert" if value == "system" => self.authorities = Some(Authorities::System),
            "sslrootcert" => self.authorities = Some(Authorities::File(PathBuf::from(value))),
            "application_name" => {
                config.application_name(value);
            }
            "options" => {
                config.options(value);
            }
            "connect_timeout" => match value.parse() {
                Ok(seconds @ 1..) => {
                    config.connect_timeout(Duration::from_secs(seconds));
                }
                Ok(0) | Err(_) => return wrong("a number of seconds from 1 on"),
            },
            "target_session_attrs" => {
                config.target_session_attrs(match value.as_str() {
                    "any" => TargetSessionAttrs::Any,
                    "read-write" | "primary" => TargetSessionAttrs::ReadWrite,
                    "read-only" | "standby" => TargetSessionAttrs::ReadOnly,
                    _ => return wrong("any, read-write or read-only"),
                });
            }
            "channel_binding" => {
                config.channel_binding(match value.as_str() {
                    "disable" => ChannelBinding::Disable,
                    "prefer" => ChannelBinding::Prefer,
                    "require" => ChannelBinding::Require,
                    _ => return wrong("disable, prefer or require"),
                });
            }
            _ if name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_') =>
            {
                return Err(format!(
                    "it has the option `{name}`, which is not known here"
                ));
            }
            _ => return Err("it has an option that is not known here".to_owned()),
        }
        Ok(())
    }

    fn into_address(self, mut config: Config) -> Result<Address, String> {
        if self.hosts.is_empty() && self.addresses.is_empty() {
            return Err("it names no host".to_owned());
        }
        let count = self.hosts.len().max(self.addresses.len());
        let ports = if self.ports.is_empty() {
            vec![PORT]
        } else {
            self.ports
        };
        let names_fit = self.hosts.is_empty() || self.hosts.len() == count;
        let addresses_fit = self.addresses.is_empty() || self.addresses.len() == count;
        if !names_fit || !addresses_fit || ![1, count].contains(&ports.len()) {
            return Err("it has not as many ports or addresses as hosts".to_owned());
        }
        let mut shown = Vec::new();
        for at in 0..count {
            let host = self.hosts.get(at).cloned();
            let host = host.or_else(|| self.addresses.get(at).map(ToString::to_string));
            let port = ports.get(at).unwrap_or(&ports[0]);
            shown.push(format!("{}:{port}", host.unwrap_or_default()));
        }
        let mut shown = shown.join(",");
        for host in &self.hosts {
            config.host(host);
        }
        for ip in &self.addresses {
            config.hostaddr(*ip);
        }
        for port in &ports {
            config.port(*port);
        }
        if let Some(database) = &self.database {
            config.dbname(database);
            shown = format!("{shown}/{database}");
        }
        let is_socket = self.addresses.is_empty() && self.hosts.iter().all(|host| is_path(host));
        let is_local = if self.addresses.is_empty() {
            self.hosts
                .iter()
                .all(|host| is_path(host) || is_loopback(host))
        } else {
            self.addresses.iter().all(IpAddr::is_loopback)
        };
        Ok(Address {
            config,
            shown,
            tls: self.tls,
            authorities: self.authorities,
            is_local,
            is_socket,
        })
    }
}

fn is_path(host: &str) -> bool {
    host.starts_with('/')
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

fn port_of(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| format!("a port is not a number up to 65535, or {ENCODE}"))
}

fn text(encoded: &str, what: &str) -> Result<String, String> {
    let bytes = decoded(encoded).and_then(|bytes| String::from_utf8(bytes).ok());
    bytes.ok_or_else(|| format!("{what} is not percent-encoded UTF-8"))
}

/// Undoes percent-encoding. A plus means itself, as in libpq.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (code, after) = piece.split_at_checked(2)?;
        bytes.extend(hex::decode(code).ok()?);
        bytes.extend(after.as_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio_postgres::config::Host;

    use super::*;

    fn of(url: &str) -> Address {
        Address::of(url).unwrap()
    }

    #[test]
    fn every_part_of_a_url_is_taken() {
        let address = of(
            "postgres://am%40x:p%2Fw%3F+s@db.example:5433/hist%20ory?application_name=x&connect_timeout=9\
             &target_session_attrs=read-write&sslmode=verify-ca&sslrootcert=/etc/ca.pem&options=-csearch_path%3Da",
        );
        let config = &address.config;
        assert_eq!(config.get_user(), Some("am@x"));
        assert_eq!(config.get_password(), Some(&b"p/w?+s"[..]));
        assert_eq!(config.get_hosts(), [Host::Tcp("db.example".to_owned())]);
        assert_eq!(config.get_ports(), [5433]);
        assert_eq!(config.get_dbname(), Some("hist ory"));
        assert_eq!(config.get_application_name(), Some("x"));
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(9)));
        assert_eq!(config.get_options(), Some("-csearch_path=a"));
        assert_eq!(address.tls, Some(Tls::VerifyCa));
        let file = Authorities::File(PathBuf::from("/etc/ca.pem"));
        assert_eq!(address.authorities, Some(file));
        assert_eq!(address.shown, "db.example:5433/hist ory");
        assert!(!address.is_local && !address.is_socket);
        assert!(!format!("{config:?}").contains("p/w"));
    }

    #[test]
    fn sockets_several_hosts_and_addresses_are_taken() {
        let socket = of("postgres:///d?host=/run/pg&port=6432&user=u&password=s");
        assert!(socket.is_socket && socket.is_local);
        let path = Host::Unix(Path::new("/run/pg").to_owned());
        assert_eq!(socket.config.get_hosts(), std::slice::from_ref(&path));
        assert_eq!(socket.shown, "/run/pg:6432/d");
        assert_eq!(of("postgres://u@%2Frun%2Fpg/d").config.get_hosts(), [path]);
        // as the connectors of a cloud are named
        assert!(of("postgres://u:p@/d?host=/cloudsql/a:b").is_socket);
        let two = of("postgresql://u@a:1,[::1]:2/d");
        assert_eq!(two.config.get_ports(), [1, 2]);
        assert_eq!(two.shown, "a:1,::1:2/d");
        assert!(!two.is_local);
        assert!(of("postgres://u@[::1]/d").is_local && of("postgres://localhost").is_local);
        let named = of("postgres://db.example/d?hostaddr=127.0.0.1");
        assert!(named.is_local && !named.is_socket);
        assert_eq!(of("postgres://u@h/d?sslmode=prefer").tls, None);
    }

    #[test]
    fn what_is_wrong_is_told_without_a_value() {
        for bad in [
            "hunter2",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2/x@h/d",
            "postgres://u:1234/hunter2@h/d",
            "postgres://u:1234?hunter2=x@h/d",
            "postgres://u:1234?hunter2@h/d",
            "postgres://u:1234#hunter2@h/d",
            "postgres://u:hunter2%@h/d",
            "postgres://u:hunter2@h:hunter2/d",
            "postgres://u:hunter2@/d",
            "postgres://u:hunter2@h/d?sslmode=hunter2",
            "postgres://u@h/d?HUNTER2=1",
            "postgres://u@h/d?port=hunter2",
            "postgres://u@h/d?hostaddr=hunter2",
            "postgres://u@h/d?connect_timeout=hunter2",
            "postgres://u@h,i/d?hostaddr=1.1.1.1",
        ] {
            let error = Address::of(bad)
                .err()
                .unwrap_or_else(|| panic!("{bad} is taken"));
            assert!(!error.to_lowercase().contains("hunter2"), "{error}");
        }
        let error = Address::of("postgres://u@h/d?gssencmode=disable").err();
        assert!(error.unwrap().contains("`gssencmode`"));
    }
}
