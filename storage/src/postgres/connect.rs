//! From configuration to connections: what is asked for, checked before anybody connects.

use std::sync::Arc;

use deadpool_postgres::{ConfigConnectImpl, Connect, Manager, ManagerConfig, RecyclingMethod};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::Address;
use super::tls::{self, Tls};
use super::{Error, Observer};

/// What the node says of Postgres.
pub struct Options {
    /// `postgres.url`: a secret, for it may hold a password.
    pub url: String,
    /// `postgres.read_url`: likewise.
    pub read_url: Option<String>,
    /// `postgres.max_pool_size`: connections to each of the two servers at most.
    pub max_pool_size: u32,
    /// `postgres.tls`; `None` is what the URL says (`sslmode`), else [`Tls::VerifyFull`], and nothing where all hosts
    /// are loopback or Unix sockets.
    pub tls: Option<Tls>,
    /// Who is told of queries.
    pub observer: Arc<dyn Observer>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("url", &"[REDACTED]")
            .field("read_url", &self.read_url.as_ref().map(|_| "[REDACTED]"))
            .field("max_pool_size", &self.max_pool_size)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Checks a URL without connecting.
///
/// # Errors
/// What is wrong with it, without any of its values.
pub fn check_url(url: &str) -> Result<(), Error> {
    Address::of(url).map(|_| ()).map_err(Error::Url)
}

/// A server and how it is spoken to.
pub(super) struct Door {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
    /// Where it is, for people.
    pub(super) shown: Arc<str>,
}

impl Door {
    /// Reads what is needed to connect; connects to nobody.
    ///
    /// # Errors
    /// When the URL or its authorities cannot be used.
    pub(super) fn new(url: &str, tls: Option<Tls>) -> Result<Self, Error> {
        let Address {
            mut config,
            shown,
            tls: stated,
            authorities,
            is_local,
            is_socket,
        } = Address::of(url).map_err(Error::Url)?;
        let mode = match tls.or(stated) {
            // what goes over a Unix socket leaves the machine no more than what is encrypted; servers refuse TLS there
            Some(_) if is_socket => Tls::Disable,
            Some(mode) => mode,
            None if is_local => Tls::Disable,
            None => Tls::VerifyFull,
        };
        let tls = tls::settings(mode, authorities.as_ref())?.map(MakeRustlsConnect::new);
        config.ssl_mode(if tls.is_some() {
            SslMode::Require
        } else {
            SslMode::Disable
        });
        Ok(Self {
            config,
            tls,
            shown: shown.into(),
        })
    }

    /// What makes the connections of a pool.
    pub(super) fn manager(&self) -> Manager {
        // asked first, because a connection that a server closed may not look closed yet
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Verified,
        };
        let config = self.config.clone();
        match &self.tls {
            None => Manager::from_config(config, NoTls, recycling),
            Some(tls) => Manager::from_config(config, tls.clone(), recycling),
        }
    }

    /// A connection that no pool has a hold on; it ends with its client.
    ///
    /// # Errors
    /// When the server is away or does not let us in.
    pub(super) async fn connect(&self) -> Result<Client, Error> {
        let connected = match &self.tls {
            None => ConfigConnectImpl { tls: NoTls }.connect(&self.config).await,
            Some(tls) => {
                let connect = ConfigConnectImpl { tls: tls.clone() };
                connect.connect(&self.config).await
            }
        };
        let (client, _) = connected.map_err(|error| Error::connecting(&self.shown, error))?;
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_on_the_machine_goes_without_tls_unasked() {
        let cases = [
            ("postgres://u@db.example/d", None, SslMode::Require),
            (
                "postgres://u@10.0.0.1/d?sslmode=prefer",
                None,
                SslMode::Require,
            ),
            (
                "postgres://u@localhost,db.example/d",
                None,
                SslMode::Require,
            ),
            (
                "postgres://u@localhost/d?hostaddr=10.0.0.1",
                None,
                SslMode::Require,
            ),
            (
                "postgres://u@db.example/d?sslmode=disable",
                None,
                SslMode::Disable,
            ),
            ("postgres://u@localhost/d", None, SslMode::Disable),
            (
                "postgres://u@127.0.0.1/d?sslmode=require",
                None,
                SslMode::Require,
            ),
            ("postgres:///d?host=/run/postgresql", None, SslMode::Disable),
            (
                "postgres:///d?host=/run/postgresql",
                Some(Tls::VerifyFull),
                SslMode::Disable,
            ),
            (
                "postgres://u@localhost/d",
                Some(Tls::Require),
                SslMode::Require,
            ),
            (
                "postgres://u@db.example/d?sslmode=require",
                Some(Tls::Disable),
                SslMode::Disable,
            ),
        ];
        for (url, tls, expected) in cases {
            let door = Door::new(url, tls).unwrap();
            assert_eq!(door.config.get_ssl_mode(), expected, "{url} {tls:?}");
        }
    }
}
