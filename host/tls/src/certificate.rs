//! Names and validity of a certificate: the parts of X.509 (RFC 5280) that an operator and a login by
//! certificate need. rustls checks everything else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

/// Names and validity of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The number that its authority has given to it.
    pub serial: Vec<u8>,
    /// The begin of its validity, in seconds since 1970.
    pub not_before: i64,
    /// The end of its validity, in seconds since 1970.
    pub not_after: i64,
    /// The common names of its subject.
    pub common_names: Vec<String>,
    /// The names of hosts.
    pub dns_names: Vec<String>,
    /// The addresses of hosts.
    pub addresses: Vec<IpAddr>,
    /// The addresses of mail.
    pub emails: Vec<String>,
    /// The URIs.
    pub uris: Vec<String>,
    /// Whether it is that of an authority.
    pub is_authority: bool,
}

/// Tags of DER.
mod tag {
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const OID: u8 = 0x06;
    pub(super) const UTF8: u8 = 0x0c;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const SET: u8 = 0x31;
    pub(super) const PRINTABLE: u8 = 0x13;
    pub(super) const TELETEX: u8 = 0x14;
    pub(super) const IA5: u8 = 0x16;
    pub(super) const UTC_TIME: u8 = 0x17;
    pub(super) const GENERALIZED_TIME: u8 = 0x18;
    pub(super) const OCTETS: u8 = 0x04;
    pub(super) const VERSION: u8 = 0xa0;
    pub(super) const EXTENSIONS: u8 = 0xa3;
    pub(super) const EMAIL: u8 = 0x81;
    pub(super) const DNS: u8 = 0x82;
    pub(super) const URI: u8 = 0x86;
    pub(super) const ADDRESS: u8 = 0x87;
}

/// `id-at-commonName`, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// `id-ce-basicConstraints`, 2.5.29.19.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// `id-ce-subjectAltName`, 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// The rest of a sequence of DER values.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Takes the next value, and its tag.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match usize::from(first) {
            short @ 0..0x80 => (short, rest),
            long => {
                let (bytes, rest) = rest.split_at_checked(long & 0x7f)?;
                if bytes.is_empty() || bytes.len() > 4 {
                    return None;
                }
                (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
            }
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// Takes the next value if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = Self(self.0);
        let value = ahead.next().filter(|(found, _)| *found == tag)?.1;
        self.0 = ahead.0;
        Some(value)
    }
}

impl CertificateInfo {
    /// Reads a certificate in DER; `None` if it is damaged.
    pub fn read(der: &[u8]) -> Option<Self> {
        let mut certificate = Der(Der(der).take(tag::SEQUENCE)?);
        let mut body = Der(certificate.take(tag::SEQUENCE)?);
        let _version = body.take(tag::VERSION);
        let serial = body.next()?.1.to_owned();
        let (_algorithm, _issuer) = (body.next()?, body.next()?);
        let mut validity = Der(body.take(tag::SEQUENCE)?);
        let mut subject = Der(body.take(tag::SEQUENCE)?);
        let _key = body.next()?;
        let mut info = Self {
            serial,
            not_before: time(validity.next()?)?,
            not_after: time(validity.next()?)?,
            ..Self::default()
        };
        while let Some(names) = subject.take(tag::SET) {
            let mut names = Der(names);
            while let Some(name) = names.take(tag::SEQUENCE) {
                let mut name = Der(name);
                if name.take(tag::OID)? == COMMON_NAME {
                    info.common_names.extend(text(name.next()?));
                }
            }
        }
        while let Some((found, value)) = body.next() {
            if found == tag::EXTENSIONS {
                info.read_extensions(value)?;
            }
        }
        Some(info)
    }

    fn read_extensions(&mut self, extensions: &[u8]) -> Option<()> {
        let mut extensions = Der(Der(extensions).take(tag::SEQUENCE)?);
        while let Some(extension) = extensions.take(tag::SEQUENCE) {
            let mut extension = Der(extension);
            let kind = extension.take(tag::OID)?;
            // Whether it is critical is the other value.
            while let Some((found, value)) = extension.next() {
                if found != tag::OCTETS {
                    continue;
                }
                match kind {
                    ALTERNATIVE_NAMES => self.read_names(Der(value).take(tag::SEQUENCE)?),
                    BASIC_CONSTRAINTS => {
                        let mut constraints = Der(Der(value).take(tag::SEQUENCE)?);
                        let flag = constraints.take(tag::BOOLEAN);
                        self.is_authority = flag.is_some_and(|it| it != [0]);
                    }
                    _ => {}
                }
            }
        }
        Some(())
    }

    fn read_names(&mut self, names: &[u8]) {
        let mut names = Der(names);
        while let Some((found, value)) = names.next() {
            match found {
                tag::DNS => self.dns_names.extend(plain(value)),
                tag::EMAIL => self.emails.extend(plain(value)),
                tag::URI => self.uris.extend(plain(value)),
                tag::ADDRESS => self.addresses.extend(address(value)),
                _ => {}
            }
        }
    }

    /// Returns the seconds until it expires; a negative number afterwards.
    pub fn seconds_left(&self) -> i64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.not_after - i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
    }

    /// Returns the end of its validity.
    pub fn end(&self) -> SystemTime {
        let since = Duration::from_secs(u64::try_from(self.not_after).unwrap_or_default());
        SystemTime::UNIX_EPOCH + since
    }

    /// Returns the names and addresses of hosts. The common name is none of them: clients ignore it.
    pub fn hosts(&self) -> Vec<String> {
        let addresses = self.addresses.iter().map(ToString::to_string);
        self.dns_names.iter().cloned().chain(addresses).collect()
    }

    /// Returns the reason why clients refuse it as that of a server, whatever its authority is, and the
    /// next step.
    pub fn fault_as_server(&self) -> Option<(&'static str, &'static str)> {
        if self.is_authority {
            return Some((
                "the certificate is that of an authority (CA:TRUE), which many clients refuse as a server's own",
                "use one with CA:FALSE: openssl req -x509 … -addext basicConstraints=critical,CA:FALSE",
            ));
        }
        self.hosts().is_empty().then_some((
            "the certificate has no host in its subjectAltName, so browsers and many clients refuse it",
            "request it again with the host as subjectAltName; the common name does not count",
        ))
    }

    /// Returns whether the certificate is for a host of this name. Names are not case-sensitive; `*`
    /// stands for the first part of a name.
    pub fn is_for(&self, host: &str) -> bool {
        let rest = host.split_once('.').map(|(_, rest)| rest);
        self.dns_names.iter().any(|name| match name.strip_prefix("*.") {
            Some(parent) => rest.is_some_and(|rest| rest.eq_ignore_ascii_case(parent)),
            None => name.eq_ignore_ascii_case(host),
        })
    }
}

/// Reads a text of a name; `None` for other kinds of values.
fn text((found, value): (u8, &[u8])) -> Option<String> {
    let is_text = [tag::UTF8, tag::PRINTABLE, tag::TELETEX, tag::IA5].contains(&found);
    is_text.then(|| plain(value)).flatten()
}

/// Reads a text without control characters: one with a zero byte would be two names to some programs.
fn plain(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
}

fn address(value: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(value).map(|it| IpAddr::V4(Ipv4Addr::from(it)));
    four.or_else(|_| <[u8; 16]>::try_from(value).map(|it| IpAddr::V6(Ipv6Addr::from(it)))).ok()
}

/// Reads a time: `YYMMDDHHMMSSZ`, or with four digits of the year. RFC 5280, section 4.1.2.5.
fn time((found, value): (u8, &[u8])) -> Option<i64> {
    let digits = std::str::from_utf8(value).ok()?.strip_suffix('Z')?;
    if !digits.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| digits.get(range)?.parse::<i64>().ok();
    let (year, rest) = match (found, digits.len()) {
        (tag::UTC_TIME, 12) => {
            let short = number(0..2)?;
            (short + if short < 50 { 2000 } else { 1900 }, 2)
        }
        (tag::GENERALIZED_TIME, 14) => (number(0..4)?, 4),
        _ => return None,
    };
    let part = |at: usize| number(rest + at..rest + at + 2);
    let days = days(year, part(0)?, part(2)?);
    Some(((days * 24 + part(4)?) * 60 + part(6)?) * 60 + part(8)?)
}

/// The days from 1970 to a date of the Gregorian calendar. Years begin in March here, so that the leap
/// day is the last.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_years = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    of_years + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times() {
        let read = |tag, text: &str| time((tag, text.as_bytes()));
        assert_eq!(read(tag::UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(read(tag::UTC_TIME, "261129180000Z"), Some(1_795_975_200));
        assert_eq!(read(tag::UTC_TIME, "490228235959Z"), Some(2_498_169_599));
        assert_eq!(read(tag::GENERALIZED_TIME, "20000229000000Z"), Some(951_782_400));
        assert_eq!(read(tag::GENERALIZED_TIME, "19691231235959Z"), Some(-1));
        for (tag, text) in [
            (tag::UTC_TIME, "20000229000000Z"),
            (tag::GENERALIZED_TIME, "200002290000Z"),
            (tag::UTC_TIME, "7001010000Z"),
            (tag::UTC_TIME, "70010100000+Z"),
            (tag::OCTETS, "700101000000Z"),
        ] {
            assert_eq!(read(tag, text), None, "{text}");
        }
    }

    #[test]
    fn matches_hosts() {
        let names = ["shop.example.com", "*.example.org"].map(str::to_owned).to_vec();
        let info = CertificateInfo { dns_names: names, ..CertificateInfo::default() };
        assert!(info.is_for("shop.example.com") && info.is_for("SHOP.example.com"));
        assert!(info.is_for("a.example.org") && info.is_for("A.Example.Org"));
        for other in ["example.org", "a.b.example.org", "example.com", "xshop.example.com", ""] {
            assert!(!info.is_for(other), "{other}");
        }
    }

    #[test]
    fn names_certificates_that_clients_refuse() {
        let fault = |info: CertificateInfo| info.fault_as_server().map(|(fault, _)| fault);
        let hosts = || vec!["localhost".to_owned()];
        let none = CertificateInfo { common_names: hosts(), ..CertificateInfo::default() };
        assert!(none.hosts().is_empty());
        assert!(fault(none).unwrap().contains("subjectAltName"));
        let good = CertificateInfo { dns_names: hosts(), ..CertificateInfo::default() };
        assert_eq!(fault(good.clone()), None);
        let authority = CertificateInfo { is_authority: true, ..good };
        assert!(fault(authority).unwrap().contains("CA:TRUE"));
    }

    proptest::proptest! {
        #[test]
        fn damaged_certificates_are_no_panic(bytes in proptest::collection::vec(0..=255_u8, 0..200)) {
            let mut sequence = vec![tag::SEQUENCE, 0x82, 0, 0];
            sequence[3] = u8::try_from(bytes.len()).unwrap();
            sequence.extend(&bytes);
            let _read = (CertificateInfo::read(&bytes), CertificateInfo::read(&sequence));
        }
    }
}
