//! Reach of an address: whether a name that a plugin requests may lead there. IANA's registries of
//! special-purpose addresses, RFC 6890.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The reach of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// The internet.
    Public,
    /// The machine itself, or a private network.
    Private,
    /// No server that a name should lead to: link-local (the metadata of clouds), multicast,
    /// reserved.
    Special,
}

/// Returns the reach of an address. An IPv4 address inside an IPv6 one counts.
pub(super) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => of_v4(address),
        IpAddr::V6(address) => of_v6(address),
    }
}

fn of_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [127 | 10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => {
            Reach::Private
        }
        // This network; link-local; protocol assignments; documentation; 6to4 relays; benchmarks;
        // multicast, reserved and broadcast.
        [0 | 224.., ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18..=19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Reach::Special,
        _ => Reach::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Reach {
    let [a, b, middle @ .., high, low] = address.segments();
    let v4 = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b, middle) {
        (0, 0, [0, 0, 0, 0]) if (high, low) == (0, 1) => Reach::Private,
        // IPv4-mapped, IPv4-compatible and translated addresses; NAT64.
        (0, 0, [0, 0, 0, 0xffff | 0] | [0, 0, 0xffff, 0]) | (0x64, 0xff9b, [0, 0, 0, 0]) => {
            v4(high, low)
        }
        // 6to4.
        (0x2002, ..) => v4(b, middle[0]),
        // ISATAP.
        (_, _, [_, _, 0 | 0x200, 0x5efe]) => v4(high, low).max(of_prefix(a, b)),
        _ => of_prefix(a, b),
    }
}

/// Returns the reach of an address by its first 32 bits.
fn of_prefix(a: u16, b: u16) -> Reach {
    match (a, b) {
        (0xfc00..=0xfdff, _) => Reach::Private,
        // Protocol assignments with Teredo and ORCHID; documentation.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x3fff, 0..=0x0fff) => Reach::Special,
        // Global unicast.
        (0x2000..=0x3fff, _) => Reach::Public,
        _ => Reach::Special,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expected: Reach, addresses: &[&str]) {
        for text in addresses {
            assert_eq!(reach(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn public_addresses_are_reached() {
        let v4 = ["8.8.8.8", "1.1.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "192.0.1.1"];
        check(Reach::Public, &v4);
        let v6 = ["2606:4700::1111", "2a00:1450:4001:831::200e", "2001:4860:4860::8888"];
        check(Reach::Public, &v6);
        check(Reach::Public, &["::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]);
    }

    #[test]
    fn private_addresses_are_private_in_every_form() {
        let v4 = [
            "127.0.0.1",
            "127.255.255.255",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
        ];
        check(Reach::Private, &v4);
        check(Reach::Private, &["::1", "fc00::1", "fd12:3456:789a::1"]);
        let embedded = [
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "::ffff:0:127.0.0.1",
            "2606:4700::200:5efe:a00:1",
        ];
        check(Reach::Private, &embedded);
    }

    #[test]
    fn special_addresses_are_never_reached() {
        let v4 = [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
        ];
        check(Reach::Special, &v4);
        let v6 = [
            "::",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2001:10::1",
            "2001:20::1",
            "100::1",
            "3fff::1",
            "5f00::1",
            "64:ff9b:1::1",
            "4000::1",
        ];
        check(Reach::Special, &v6);
        let embedded = [
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "::ffff:0.0.0.0",
            "::ffff:224.0.0.1",
            "fe80::5efe:808:808",
        ];
        check(Reach::Special, &embedded);
    }
}
