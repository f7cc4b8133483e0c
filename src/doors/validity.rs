//! From when to when a certificate chain is valid. Read for people and metrics: this side of a connection never
//! refuses its own certificate for its dates.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The time in which every certificate of a chain is valid, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    /// The latest beginning.
    pub(super) from_s: i64,
    /// The earliest end.
    pub(super) until_s: i64,
}

impl Validity {
    /// Reads the dates; `None` when a certificate is none.
    pub(super) fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let mut all: Option<Self> = None;
        for der in chain {
            let (_, certificate) = X509Certificate::from_der(der).ok()?;
            let dates = certificate.validity();
            let (from_s, until_s) = (dates.not_before.timestamp(), dates.not_after.timestamp());
            all = Some(all.map_or(Self { from_s, until_s }, |all| Self {
                from_s: all.from_s.max(from_s),
                until_s: all.until_s.min(until_s),
            }));
        }
        all
    }

    /// What is wrong with it at a time, if anything.
    pub(super) fn objection(&self, now_s: i64) -> Option<&'static str> {
        if now_s >= self.until_s {
            Some("it has expired")
        } else if now_s < self.from_s {
            Some("it is not valid yet")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(years: std::ops::Range<i32>) -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn a_chain_is_valid_while_all_of_it_is() {
        let chain = [certificate(2020..2040), certificate(2010..2030)];
        let valid = Validity::of(&chain).unwrap();
        assert_eq!(valid.from_s, 1_577_836_800);
        assert_eq!(valid.until_s, 1_893_456_000);
        assert_eq!(valid.objection(1_577_836_799), Some("it is not valid yet"));
        assert_eq!(valid.objection(1_600_000_000), None);
        assert_eq!(valid.objection(1_893_456_000), Some("it has expired"));
    }

    #[test]
    fn what_is_no_certificate_has_no_dates() {
        let other = CertificateDer::from(vec![0x30, 3, 1, 2, 3]);
        assert_eq!(Validity::of(&[other]), None);
        assert_eq!(Validity::of(&[]), None);
    }
}
