//! The proxies before a cluster of three, with the configurations that are shipped for one, and without their TLS, which
//! tests/doors shows.

use std::net::SocketAddr;
use std::path::Path;

use crate::cluster::Cluster;
use crate::proxy::{self, Proxy, free_port};

fn port_of(address: &str) -> &str {
    address.rsplit(':').next().expect("a port")
}

/// Where the nodes of a cluster are in place of where the shipped configurations have them.
fn places(all: &Cluster) -> Vec<(String, String)> {
    let mut places = Vec::new();
    for slot in [1, 2, 3] {
        let admin = all.node(slot).admin_url.trim_start_matches("http://");
        let opamp = all.node(slot).opamp_addr.to_string();
        places.push((format!("10.0.0.{slot}:4320"), opamp));
        places.push((format!("10.0.0.{slot}:4321"), admin.to_owned()));
    }
    places
}

fn borrowed(places: &[(String, String)]) -> Vec<(&str, &str)> {
    let pairs = places.iter();
    pairs
        .map(|(shipped, here)| (shipped.as_str(), here.as_str()))
        .collect()
}

/// nginx before three nodes, and where agents come to.
pub(crate) fn nginx(all: &Cluster, dir: &Path) -> (Proxy, SocketAddr) {
    proxy::install();
    let port = free_port();
    let pid = dir.join("nginx.pid").display().to_string();
    let listen = format!("listen 127.0.0.1:{port}");
    let certificate = "ssl_certificate     /etc/ampora/proxy/cert.pem;";
    let key = "ssl_certificate_key /etc/ampora/proxy/key.pem;";
    let mut places = places(all);
    for (shipped, here) in [
        ("/run/nginx.pid", pid.as_str()),
        ("/var/log/nginx/error.log", "stderr"),
        (certificate, ""),
        (key, ""),
        ("listen      443 ssl http2", &listen),
        ("worker_processes auto", "worker_processes 2"),
        ("worker_rlimit_nofile 65536", "worker_rlimit_nofile 1024"),
        ("worker_connections 32768", "worker_connections 256"),
        // whoever asks by address is an agent
        ("agents.example.com", "agents.example.com _"),
    ] {
        places.push((shipped.to_owned(), here.to_owned()));
    }
    let name = "nginx-cluster.conf";
    proxy::write(dir, name, &borrowed(&places));
    let file = dir.join(name).display().to_string();
    let args = ["-p", ".", "-c", &file, "-g", "daemon off;"];
    let running = proxy::run(dir, "nginx", &args, &[port]);
    (running, SocketAddr::from(([127, 0, 0, 1], port)))
}

/// `HAProxy` before three nodes, and where agents come to.
pub(crate) fn haproxy(all: &Cluster, dir: &Path) -> (Proxy, SocketAddr) {
    proxy::install();
    let (agents, operators) = (free_port(), free_port());
    let tls = " ssl crt /etc/ampora/proxy/both.pem alpn h2,http/1.1 ssl-min-ver TLSv1.2";
    let mut places = vec![
        (tls.to_owned(), String::new()),
        ("maxconn 30000".to_owned(), "maxconn 256".to_owned()),
        ("bind :443".to_owned(), format!("bind 127.0.0.1:{agents}")),
        (
            "bind :8443".to_owned(),
            format!("bind 127.0.0.1:{operators}"),
        ),
    ];
    for slot in [1, 2, 3] {
        let shipped = format!("10.0.0.{slot}:4320 check port 4321");
        let opamp = all.node(slot).opamp_addr;
        let admin = port_of(&all.node(slot).admin_url);
        places.push((shipped, format!("{opamp} check port {admin}")));
    }
    let opamp = |(shipped, _): &(String, String)| shipped.ends_with(":4321");
    places.extend(self::places(all).into_iter().filter(opamp));
    let name = "haproxy-cluster.cfg";
    proxy::write(dir, name, &borrowed(&places));
    let file = dir.join(name).display().to_string();
    let args = ["-db", "-f", &file];
    let running = proxy::run(dir, "haproxy", &args, &[agents, operators]);
    (running, SocketAddr::from(([127, 0, 0, 1], agents)))
}
