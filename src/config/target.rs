//! Where the command line finds the node that runs with this configuration, and the token of its admin.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use url::{Host, Url};

use super::Config;

/// Largest `node.json` that is read, in bytes: it holds a few addresses.
const NODE_FILE_BYTES_MAX: u64 = 64 * 1024;

/// A node to talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The base of its REST API.
    pub url: String,
    /// The file with the token of the first admin. Only for loopback URLs: the token of this machine is for no other.
    pub token_file: Option<PathBuf>,
}

/// Finds the node: at the given URL, else where the node of this data directory listens, else at `admin.listen`.
///
/// A running node says in `node.json` where it listens: it may have been started with other flags, or with port 0.
pub fn locate_admin(config: &Config, url: Option<&str>) -> Target {
    let url = match url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://{}", reachable(listening_at(config))),
    };
    let token_file = is_loopback(&url).then(|| config.node.data_dir.join("admin.token"));
    Target { url, token_file }
}

fn listening_at(config: &Config) -> SocketAddr {
    let running = config.node.data_dir.join("node.json");
    written_address(&running).unwrap_or(config.admin.listen)
}

fn written_address(path: &Path) -> Option<SocketAddr> {
    let length = std::fs::metadata(path).ok()?.len();
    if length > NODE_FILE_BYTES_MAX {
        return None;
    }
    let node: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    node.get("admin_address")?.as_str()?.parse().ok()
}

/// The unspecified address is where a node listens, not where it is reached.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => listen.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

fn is_loopback(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(listen: &str, data_dir: &Path) -> Config {
        let mut config = Config::default();
        config.admin.listen = listen.parse().unwrap();
        config.node.data_dir = data_dir.to_owned();
        config
    }

    #[test]
    fn token_of_this_machine_goes_to_loopback_only() {
        let config = config("0.0.0.0:4321", Path::new("/d"));
        let token_of = |url: Option<&str>| locate_admin(&config, url).token_file;
        assert_eq!(locate_admin(&config, None).url, "http://127.0.0.1:4321");
        let token = Some(PathBuf::from("/d/admin.token"));
        for url in [
            "http://127.0.0.1:1",
            "http://localhost:1/",
            "http://[::1]:1",
            "https://127.1.2.3",
        ] {
            assert_eq!(token_of(Some(url)), token, "{url}");
        }
        for url in [
            "http://10.0.0.1:4321",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://127.0.0.1@evil.example",
            "localhost:4321",
            "",
        ] {
            assert_eq!(token_of(Some(url)), None, "{url}");
        }
    }

    #[test]
    fn running_node_says_where_it_listens() {
        let dir = tempfile::tempdir().unwrap();
        for listen in ["127.0.0.1:0", "127.0.0.1:5000"] {
            let config = config(listen, dir.path());
            let url = format!("http://{listen}");
            assert_eq!(locate_admin(&config, None).url, url);
            let running = dir.path().join("node.json");
            let written = r#"{"pid": 1, "admin_address": "0.0.0.0:39001"}"#;
            std::fs::write(&running, written).unwrap();
            assert_eq!(locate_admin(&config, None).url, "http://127.0.0.1:39001");
            std::fs::write(&running, "{").unwrap();
            assert_eq!(locate_admin(&config, None).url, url);
            std::fs::remove_file(&running).unwrap();
        }
    }
}
