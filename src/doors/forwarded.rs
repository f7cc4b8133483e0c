//! Who a proxy speaks for, by its `X-Forwarded-For`: read from the right, where the nearest proxy wrote, as far as
//! the writers are trusted. What stands further left anybody could have written. Pure.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};

/// Each proxy adds who it heard from at the right end.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Proxies behind each other that are looked through at most.
const HOPS_MAX: usize = 32;

/// The client behind the trusted proxies, when the connection comes from `nearest`. Where a trusted proxy names
/// nobody, or nothing that is an address, it stands for its client itself.
pub(super) fn client(
    nearest: IpAddr,
    headers: &HeaderMap,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let mut client = nearest;
    for hop in hops.take(HOPS_MAX) {
        if !is_trusted(client) {
            break;
        }
        let Some(before) = address(hop) else { break };
        client = before;
    }
    client
}

/// An address, with or without a port: some balancers write it.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address: IpAddr = match bare.unwrap_or(text).parse() {
        Ok(address) => address,
        Err(_) => text.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::Network;

    fn seen(nearest: &str, lines: &[&str]) -> String {
        let trusted: [Network; 2] = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
        client(nearest.parse().unwrap(), &headers, is_trusted).to_string()
    }

    #[test]
    fn the_nearest_that_is_not_trusted_is_the_client() {
        assert_eq!(seen("10.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(seen("10.0.0.1", &["192.0.2.7, 10.0.0.2"]), "192.0.2.7");
        assert_eq!(seen("10.0.0.1", &["192.0.2.7", "10.0.0.2"]), "192.0.2.7");
        assert_eq!(
            seen("10.0.0.1", &["198.51.100.1, 192.0.2.7"]),
            "192.0.2.7",
            "whoever came to the proxy had written the first one"
        );
        assert_eq!(
            seen("fd00::1", &["2001:db8::7,::ffff:10.0.0.2"]),
            "2001:db8::7"
        );
        assert_eq!(seen("10.0.0.1", &["10.0.0.9, 10.0.0.2"]), "10.0.0.9");
        assert_eq!(seen("10.0.0.1", &["192.0.2.7:51234"]), "192.0.2.7");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::7]:443"]), "2001:db8::7");
        assert_eq!(seen("10.0.0.1", &["[2001:db8::7]"]), "2001:db8::7");
    }

    #[test]
    fn who_is_not_trusted_names_nobody() {
        assert_eq!(seen("192.0.2.1", &["198.51.100.1"]), "192.0.2.1");
        assert_eq!(seen("192.0.2.1", &["10.0.0.1"]), "192.0.2.1");
    }

    #[test]
    fn what_is_no_address_ends_the_search_at_who_wrote_it() {
        for line in [
            "unknown",
            "",
            "192.0.2.7, unknown",
            "192.0.2.7,,",
            "_secret",
        ] {
            assert_eq!(seen("10.0.0.1", &[line]), "10.0.0.1", "{line:?}");
        }
        assert_eq!(seen("10.0.0.1", &["unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(seen("10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn a_long_line_is_not_read_for_ever() {
        let line = ["10.0.0.9"; 10_000].join(",");
        assert_eq!(seen("10.0.0.1", &["192.0.2.7", &line]), "10.0.0.9");
    }
}
