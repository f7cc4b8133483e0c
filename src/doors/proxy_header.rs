//! The PROXY protocol, versions 1 and 2: a proxy that passes bytes on says first whose they are. Pure; the caller
//! decides whose word counts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a header at most, its options (names, certificates) included. The longest of version 1 has 107.
pub(super) const BYTES_MAX: usize = 2048;

/// How version 1 begins; no HTTP method and no TLS record does.
const TEXT_START: &[u8] = b"PROXY ";

/// Bytes of a line of version 1, its end included.
const TEXT_BYTES_MAX: usize = 107;

/// How version 2 begins, chosen so that no other protocol does.
const BINARY_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Bytes of version 2 before addresses and options.
const BINARY_HEAD: usize = 16;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Not enough of them to tell.
    More,
    /// Those of the protocol itself: there is no header.
    Absent,
    /// A header.
    Present {
        /// Its length.
        bytes: usize,
        /// Who connected to the proxy; nobody when the proxy speaks for itself, as in its health checks.
        client: Option<IpAddr>,
    },
    /// The beginning of a header that is none.
    Broken,
}

/// Reads the header at the start of what has come so far.
pub(super) fn read(bytes: &[u8]) -> Header {
    if bytes.starts_with(TEXT_START) {
        return text(bytes);
    }
    if bytes.starts_with(BINARY_START) {
        return binary(bytes).unwrap_or(Header::More);
    }
    if !bytes.is_empty() && !TEXT_START.starts_with(bytes) && !BINARY_START.starts_with(bytes) {
        return Header::Absent;
    }
    Header::More
}

fn text(bytes: &[u8]) -> Header {
    let window = &bytes[..bytes.len().min(TEXT_BYTES_MAX)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < TEXT_BYTES_MAX {
            Header::More
        } else {
            Header::Broken
        };
    };
    let Ok(line) = std::str::from_utf8(&bytes[TEXT_START.len()..end]) else {
        return Header::Broken;
    };
    let mut words = line.split(' ');
    let family = words.next();
    let client: Result<Option<IpAddr>, _> = match (family, words.next()) {
        (Some("UNKNOWN"), _) => Ok(None),
        (Some("TCP4"), Some(source)) => source.parse().map(|ip: Ipv4Addr| Some(ip.into())),
        (Some("TCP6"), Some(source)) => {
            (source.parse()).map(|ip: Ipv6Addr| Some(IpAddr::from(ip).to_canonical()))
        }
        (Some(_) | None, _) => return Header::Broken,
    };
    // the destination and both ports
    let is_whole = family == Some("UNKNOWN") || words.count() == 3;
    match client {
        Ok(client) if is_whole => Header::Present {
            bytes: end + 2,
            client,
        },
        Ok(_) | Err(_) => Header::Broken,
    }
}

/// `None` while bytes are missing.
fn binary(bytes: &[u8]) -> Option<Header> {
    let head = bytes.get(BINARY_START.len()..BINARY_HEAD)?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let end = BINARY_HEAD + length;
    if end > BYTES_MAX {
        return Some(Header::Broken);
    }
    let body = bytes.get(BINARY_HEAD..end)?;
    let client = match (head[0], head[1] >> 4) {
        // said by the proxy itself
        (0x20, _) => None,
        (0x21, 0x1) => {
            let Some(source) = body.first_chunk::<4>().filter(|_| length >= 12) else {
                return Some(Header::Broken);
            };
            Some(IpAddr::from(*source))
        }
        (0x21, 0x2) => {
            let Some(source) = body.first_chunk::<16>().filter(|_| length >= 36) else {
                return Some(Header::Broken);
            };
            Some(IpAddr::from(*source).to_canonical())
        }
        // unspecified, or a socket in a file
        (0x21, 0x0 | 0x3) => None,
        _ => return Some(Header::Broken),
    };
    Some(Header::Present { bytes: end, client })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(bytes: usize, client: Option<&str>) -> Header {
        let client = client.map(|text| text.parse().unwrap());
        Header::Present { bytes, client }
    }

    fn version2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = BINARY_START.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn tcp4() -> Vec<u8> {
        version2(
            0x21,
            0x11,
            &[192, 0, 2, 7, 10, 0, 0, 1, 0xc8, 0, 0x10, 0xe0],
        )
    }

    #[test]
    fn version_1_names_the_client() {
        let line = b"PROXY TCP4 192.0.2.7 10.0.0.1 51234 4320\r\nGET / HTTP/1.1\r\n";
        assert_eq!(read(line), present(42, Some("192.0.2.7")));
        let line = b"PROXY TCP6 2001:db8::7 fd00::1 51234 4320\r\n";
        assert_eq!(read(line), present(43, Some("2001:db8::7")));
        assert_eq!(read(b"PROXY UNKNOWN\r\n"), present(15, None));
        let rest = b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n";
        assert_eq!(read(rest), present(35, None));
    }

    #[test]
    fn version_2_names_the_client() {
        assert_eq!(read(&tcp4()), present(28, Some("192.0.2.7")));
        let mut body = [0; 36 + 7];
        body[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        body[15] = 7;
        let with_options = version2(0x21, 0x21, &body);
        assert_eq!(read(&with_options), present(59, Some("2001:db8::7")));
        assert_eq!(read(&version2(0x20, 0, &[])), present(16, None));
        assert_eq!(read(&version2(0x21, 0, &[])), present(16, None));
        assert_eq!(read(&version2(0x21, 0x31, &[0; 216])), present(232, None));
    }

    #[test]
    fn each_missing_byte_is_waited_for() {
        for header in [
            b"PROXY TCP4 192.0.2.7 10.0.0.1 51234 4320\r\n".to_vec(),
            tcp4(),
        ] {
            for length in 0..header.len() {
                assert_eq!(read(&header[..length]), Header::More, "{length}");
            }
            assert_ne!(read(&header), Header::More);
        }
    }

    #[test]
    fn requests_and_handshakes_are_no_headers() {
        for start in [
            &b"GET /v1/opamp HTTP/1.1\r\n"[..],
            b"POST / HTTP/1.1\r\n",
            b"PRI * HTTP/2.0\r\n",
            b"PROXYTCP4",
            &[0x16, 3, 1],
            b"\r\nGET / HTTP/1.1\r\n",
        ] {
            assert_eq!(read(start), Header::Absent, "{start:?}");
        }
    }

    #[test]
    fn broken_headers_are_not_waited_for() {
        for line in [
            &b"PROXY TCP4 192.0.2.7\r\n"[..],
            b"PROXY TCP4 192.0.2.700 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 2001:db8::7 fd00::1 1 2\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n",
            b"PROXY SCTP 192.0.2.7 10.0.0.1 1 2\r\n",
            b"PROXY \xff\r\n",
            &[&b"PROXY TCP4 "[..], &[b'1'; 200]].concat(),
        ] {
            assert_eq!(read(line), Header::Broken, "{line:?}");
        }
        assert_eq!(read(&version2(0x21, 0x11, &[1; 11])), Header::Broken);
        assert_eq!(read(&version2(0x21, 0x21, &[1; 35])), Header::Broken);
        assert_eq!(read(&version2(0x31, 0x11, &[1; 12])), Header::Broken);
        assert_eq!(read(&version2(0x22, 0x11, &[1; 12])), Header::Broken);
        assert_eq!(read(&version2(0x21, 0x41, &[1; 12])), Header::Broken);
        assert_eq!(read(&version2(0x21, 0x11, &[0; BYTES_MAX])), Header::Broken);
    }
}
