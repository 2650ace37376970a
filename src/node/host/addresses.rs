//! The node's own IPs: those of the interface with the default route, at most one a family, as `ChooseHostInterface` of
//! `apimachinery/pkg/util/net` picks them. A host without a default route (air-gapped, cable pulled) uses what it has.

use std::net::{IpAddr, Ipv6Addr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

/// An IP on an interface that is up and no loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assigned {
    /// The interface's name.
    pub(super) interface: String,
    /// One of its IPs.
    pub(super) ip: IpAddr,
}

/// The interface of the default route with the lowest metric in `/proc/net/route`.
pub(super) fn default_interface_v4(table: &str) -> Option<&str> {
    // Iface Destination Gateway Flags RefCnt Use Metric Mask …, numbers in hexadecimal except the metric
    let default = |line: &'_ str| -> Option<u32> {
        let mut fields = line.split_whitespace().skip(1);
        let destination = fields.next()?;
        let flags = u32::from_str_radix(fields.nth(1)?, 16).ok()?;
        let metric: u32 = fields.nth(2)?.parse().ok()?;
        let mask = fields.next()?;
        (destination == "00000000" && mask == "00000000" && flags & UP != 0).then_some(metric)
    };
    lowest(table, default).and_then(|line| line.split_whitespace().next())
}

/// The interface of the default route with the lowest metric in `/proc/net/ipv6_route`.
pub(super) fn default_interface_v6(table: &str) -> Option<&str> {
    // destination prefix source prefix next-hop metric references use flags interface, numbers in hexadecimal
    let default = |line: &'_ str| -> Option<u32> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [destination, prefix, _, _, _, metric, _, _, flags, interface] = fields[..] else { return None };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let is_default = prefix == "00" && destination.bytes().all(|digit| digit == b'0');
        // The kernel keeps a rejecting default route on the loopback interface.
        let usable = flags & UP != 0 && flags & REJECT == 0 && interface != "lo";
        (is_default && usable).then(|| u32::from_str_radix(metric, 16).ok()).flatten()
    };
    lowest(table, default).and_then(|line| line.split_whitespace().last())
}

const UP: u32 = 0x1;
const REJECT: u32 = 0x200;

fn lowest(table: &str, metric: impl Fn(&str) -> Option<u32>) -> Option<&str> {
    let routes = table.lines().filter_map(|line| Some((metric(line)?, line)));
    routes.min_by_key(|(metric, _)| *metric).map(|(_, line)| line)
}

/// The IPs of all interfaces that are up, in the kernel's order.
pub(super) fn assigned() -> Vec<Assigned> {
    let Ok(all) = getifaddrs() else { return Vec::new() };
    all.filter(|entry| {
        entry.flags.contains(InterfaceFlags::IFF_UP) && !entry.flags.contains(InterfaceFlags::IFF_LOOPBACK)
    })
    .filter_map(|entry| {
        let address = entry.address?;
        let v4 = address.as_sockaddr_in().map(|found| IpAddr::V4(found.ip()));
        let ip = v4.or_else(|| address.as_sockaddr_in6().map(|found| IpAddr::V6(found.ip())))?;
        Some(Assigned { interface: entry.interface_name, ip })
    })
    .collect()
}

/// One IP a family, IPv4 first: of the default interface, else of the first interface that has a usable one.
pub(super) fn choose(v4: Option<&str>, v6: Option<&str>, assigned: &[Assigned]) -> Vec<IpAddr> {
    let pick = |interface: Option<&str>, is_family: fn(IpAddr) -> bool| {
        let mut usable = assigned.iter().filter(|entry| is_family(entry.ip) && is_usable(entry.ip));
        let preferred = usable.clone().find(|entry| Some(entry.interface.as_str()) == interface);
        preferred
            .or_else(|| if v4.is_none() && v6.is_none() { usable.next() } else { None })
            .map(|entry| entry.ip)
    };
    // With a default route in one family only, the same interface may still have an IP of the other.
    let v6_interface = v6.or(v4);
    let v4_interface = v4.or(v6);
    [pick(v4_interface, |ip| ip.is_ipv4()), pick(v6_interface, |ip| ip.is_ipv6())]
        .into_iter()
        .flatten()
        .collect()
}

fn is_usable(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => Ipv6Addr::is_unicast_link_local(&ip),
    };
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || link_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &str = "\
Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
wlan0\t00000000\t010200C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
down0\t00000000\t010200C0\t0002\t0\t0\t1\t00000000\t0\t0\t0
eth1\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
";
    const V6: &str = "\
20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth1
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";

    fn assigned(list: &[(&str, &str)]) -> Vec<Assigned> {
        list.iter()
            .map(|(interface, ip)| Assigned { interface: (*interface).to_owned(), ip: ip.parse().unwrap() })
            .collect()
    }

    fn chosen(v4: Option<&str>, v6: Option<&str>, list: &[(&str, &str)]) -> Vec<String> {
        choose(v4, v6, &assigned(list)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_default_route_with_the_lowest_metric_names_the_interface() {
        assert_eq!(default_interface_v4(V4), Some("eth0"));
        assert_eq!(default_interface_v6(V6), Some("eth0"));
        assert_eq!((default_interface_v4(""), default_interface_v6("nonsense")), (None, None));
    }

    #[test]
    fn one_address_a_family_of_the_default_interface_is_chosen() {
        let list = [
            ("docker0", "172.17.0.1"),
            ("eth0", "169.254.1.1"),
            ("eth0", "192.0.2.7"),
            ("eth0", "192.0.2.8"),
            ("eth0", "fe80::1"),
            ("eth0", "2001:db8::7"),
        ];
        assert_eq!(chosen(Some("eth0"), Some("eth0"), &list), ["192.0.2.7", "2001:db8::7"]);
        assert_eq!(chosen(Some("eth0"), None, &list), ["192.0.2.7", "2001:db8::7"]);
        assert_eq!(chosen(Some("wlan0"), None, &list), [""; 0]);
    }

    #[test]
    fn without_a_default_route_the_first_usable_address_is_chosen() {
        let list = [("eth0", "fe80::1"), ("eth1", "192.0.2.7"), ("eth2", "192.0.2.9")];
        assert_eq!(chosen(None, None, &list), ["192.0.2.7"]);
        assert_eq!(chosen(None, None, &[]), [""; 0]);
    }
}
