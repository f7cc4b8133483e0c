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
    /// The file with the certificate of the node of this machine, when this is that node and its door has TLS.
    pub certificate_file: Option<PathBuf>,
}

/// Finds the node: at the given URL, else where the node of this data directory listens, else at `admin.listen`.
///
/// A running node says in `node.json` where it listens: it may have been started with other flags, or with port 0.
pub fn locate_admin(config: &Config, url: Option<&str>) -> Target {
    let node = running_node(config);
    let url = match url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => {
            let scheme = if node.certificate_file.is_some() {
                "https"
            } else {
                "http"
            };
            format!("{scheme}://{}", reachable(node.address))
        }
    };
    let loopback_port = loopback_port(&url);
    let token_file = loopback_port.map(|_| config.node.data_dir.join("admin.token"));
    let is_it = url == format!("https://{}", reachable(node.address))
        || loopback_port == Some(node.address.port());
    Target {
        url,
        token_file,
        certificate_file: node.certificate_file.filter(|_| is_it),
    }
}

/// Where the operators' door of this machine's node is.
struct AdminDoor {
    address: SocketAddr,
    certificate_file: Option<PathBuf>,
}

fn running_node(config: &Config) -> AdminDoor {
    let running = config.node.data_dir.join("node.json");
    written(&running).unwrap_or_else(|| AdminDoor {
        address: config.admin.listen,
        certificate_file: config.admin.tls.cert_file.clone(),
    })
}

fn written(path: &Path) -> Option<AdminDoor> {
    let length = std::fs::metadata(path).ok()?.len();
    if length > NODE_FILE_BYTES_MAX {
        return None;
    }
    let node: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let certificate_file = node.get("admin_certificate");
    Some(AdminDoor {
        address: node.get("admin_address")?.as_str()?.parse().ok()?,
        certificate_file: certificate_file.and_then(|path| path.as_str().map(PathBuf::from)),
    })
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

/// The port of a URL of this machine.
fn loopback_port(url: &str) -> Option<u16> {
    let url = Url::parse(url).ok()?;
    let is_loopback = match url.host()? {
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.to_canonical().is_loopback(),
        Host::Domain(name) => name == "localhost",
    };
    url.port_or_known_default().filter(|_| is_loopback)
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
            let written = r#"{"admin_address": "[::]:39001", "admin_certificate": "/c.pem"}"#;
            std::fs::write(&running, written).unwrap();
            let target = locate_admin(&config, None);
            assert_eq!(target.url, "https://[::1]:39001");
            assert_eq!(target.certificate_file, Some(PathBuf::from("/c.pem")));
            std::fs::remove_file(&running).unwrap();
        }
    }

    #[test]
    fn certificate_of_this_machine_is_for_its_own_node() {
        let mut config = config("0.0.0.0:4321", Path::new("/d"));
        config.admin.tls.cert_file = Some(PathBuf::from("/c.pem"));
        let certificate_of = |url| locate_admin(&config, url).certificate_file.is_some();
        assert_eq!(locate_admin(&config, None).url, "https://127.0.0.1:4321");
        for url in ["https://localhost:4321", "https://127.0.0.1:4321/"] {
            assert!(certificate_of(Some(url)), "{url}");
        }
        assert!(certificate_of(None));
        for url in ["https://localhost:4322", "https://192.0.2.1:4321", "x"] {
            assert!(!certificate_of(Some(url)), "{url}");
        }
    }
}
