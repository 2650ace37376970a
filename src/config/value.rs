//! Single values: what a text must look like to be a duration, an amount, an endpoint …
//!
//! Every function says what would have been right, for a person who reads it beside the file and line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::manifest::Quantity;
use crate::manifest::validate::names::dns_subdomain;
use crate::node::{NodeName, Threshold};

/// A duration as Go writes it: `100ms`, `1m30s`, `1.5h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let fault = || format!("{text:?} is no duration: write a number with ms, s, m or h, such as 10s or 2m");
    let mut rest = text;
    let mut nanos: u128 = 0;
    while !rest.is_empty() || text.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fault)?;
        let (number, tail) = rest.split_at(end);
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit: u128 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60 * 1_000_000_000,
            "h" => 3600 * 1_000_000_000,
            _ => return Err(fault()),
        };
        nanos = nanos.checked_add(scaled(number, unit).ok_or_else(fault)?).ok_or_else(fault)?;
        rest = tail;
    }
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| fault())
}

/// A decimal number times a unit.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    const DIGITS: usize = 12;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || whole.len() > DIGITS || fraction.len() > DIGITS {
        return None;
    }
    let read = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u128>().ok() };
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    Some(read(whole)? * unit + read(fraction)? * unit / scale)
}

/// A duration within bounds, both included.
pub(super) fn duration_within(least: Duration, most: Duration) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let found = duration(text)?;
        if (least..=most).contains(&found) {
            Ok(found)
        } else {
            Err(format!("{text} is not between {least:?} and {most:?}"))
        }
    }
}

/// How long something is held: a duration up to a bound, or `never` for what no time ends.
pub(super) fn hold_within(most: Duration) -> impl Fn(&str) -> Result<Duration, String> {
    let within = duration_within(Duration::ZERO, most);
    move |text| if text == "never" { Ok(Duration::MAX) } else { within(text) }
}

/// `true` or `false`.
pub(super) fn flag(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
}

/// A whole number within bounds, both included.
pub(super) fn number_within(least: i64, most: i64) -> impl Fn(&str) -> Result<i64, String> {
    move |text| {
        let found = text.parse().ok().filter(|number| (least..=most).contains(number));
        found.ok_or_else(|| format!("{text:?} is no whole number between {least} and {most}"))
    }
}

/// An absolute path.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') { Ok(PathBuf::from(text)) } else { Err(format!("{text:?} is no absolute path")) }
}

/// A Unix socket, with or without `unix://`.
pub(super) fn endpoint(text: &str) -> Result<PathBuf, String> {
    let socket = text.strip_prefix("unix://").unwrap_or(text);
    path(socket).map_err(|_| format!("{text:?} is no Unix socket: write unix:///path/to/the.sock"))
}

/// A node's name.
pub(super) fn node_name(text: &str) -> Result<NodeName, String> {
    NodeName::from_str(text).map_err(|error| error.to_string())
}

/// An IP address.
pub(super) fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is no IP address"))
}

/// A DNS domain.
pub(super) fn domain(text: &str) -> Result<String, String> {
    if dns_subdomain(text).is_empty() {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no DNS domain: write it in lower case, such as cluster.local"))
    }
}

/// A sysctl's name, or the beginning of several with a `*`.
pub(super) fn sysctl(text: &str) -> Result<String, String> {
    let name = text
        .strip_suffix('*')
        .map_or(text, |prefix| prefix.strip_suffix(['.', '/', '-', '_']).unwrap_or(prefix));
    let is_part = |part: &str| {
        let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(byte);
        edge(part.as_bytes().first()) && edge(part.as_bytes().last()) && part.bytes().all(|byte| inner(&byte))
    };
    if name.split(['.', '/']).all(is_part) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no sysctl: write net.core.somaxconn, or net.ipv4.* for several"))
    }
}

/// An amount of bytes, or of anything else that is counted in whole units.
pub(super) fn amount(text: &str) -> Result<u64, String> {
    let found = quantity(text)?;
    u64::try_from(found.value()).map_err(|_| below_zero(text))
}

/// A size from which something happens: bytes, or none for a negative one.
pub(super) fn log_size(text: &str) -> Result<Option<u64>, String> {
    Ok(u64::try_from(quantity(text)?.value()).ok())
}

/// Processor time in thousandths of a core.
pub(super) fn cpu_millis(text: &str) -> Result<u64, String> {
    let found = quantity(text)?;
    u64::try_from(found.milli_value()).map_err(|_| below_zero(text))
}

fn below_zero(text: &str) -> String {
    format!("{text} is below 0")
}

fn quantity(text: &str) -> Result<Quantity, String> {
    text.parse().map_err(|_| format!("{text:?} is no quantity: write a number such as 500m, 2, 100Mi or 1Gi"))
}

/// What must stay free: an amount, or a part of the capacity as a percentage. As with a kubelet 0% and 100% switch the threshold off.
pub(super) fn threshold(text: &str) -> Result<Option<Threshold>, String> {
    if text == "0%" || text == "100%" {
        return Ok(None);
    }
    match min_reclaim(text)? {
        Threshold::Amount(amount) if amount.is_zero() => {
            Err("must be above 0; write 0% for no threshold".to_owned())
        }
        found => Ok(Some(found)),
    }
}

/// What is to be taken back: an amount, or a part of the capacity as a percentage.
pub(super) fn min_reclaim(text: &str) -> Result<Threshold, String> {
    let Some(percent) = text.strip_suffix('%') else {
        let found = quantity(text)?;
        return if found.is_negative() { Err(below_zero(text)) } else { Ok(Threshold::Amount(found)) };
    };
    let part = percent.parse::<f32>().ok().filter(|percent| *percent > 0.0 && *percent < 100.0);
    part.map(|percent| Threshold::Part(percent / 100.0))
        .ok_or_else(|| format!("{text:?} is no percentage between 0% and 100%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_in_go() {
        let rows = [
            ("0s", 0),
            ("100ms", 100),
            ("10s", 10_000),
            ("2m", 120_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1h0m0s", 3_600_000),
        ];
        for (text, millis) in rows {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", "10", "s", "-1s", "1 s", "1x", ".s", "1s2", "1.2.3s", "9999999999999h", "999999999999h"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn endpoints_are_unix_sockets() {
        assert_eq!(endpoint("unix:///run/a.sock"), Ok(PathBuf::from("/run/a.sock")));
        assert_eq!(endpoint("/run/a.sock"), Ok(PathBuf::from("/run/a.sock")));
        for text in ["", "unix://run/a.sock", "tcp://127.0.0.1:1", "run/a.sock"] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_and_thresholds_are_never_negative() {
        assert_eq!((amount("100Mi"), cpu_millis("1.5")), (Ok(100 << 20), Ok(1500)));
        assert!(amount("-1").is_err() && amount("much").is_err());
        assert_eq!(threshold("10%"), Ok(Some(Threshold::Part(0.1))));
        assert_eq!(threshold("1Gi"), Ok(Some(Threshold::Amount(Quantity::from_value(1 << 30)))));
        assert_eq!((threshold("0%"), threshold("100%")), (Ok(None), Ok(None)));
        assert!(threshold("-1Gi").is_err());
        for text in ["0", "-5%", "NaN%", "%", "", "101%", "0.0%"] {
            assert!(threshold(text).is_err(), "{text}");
        }
        assert_eq!(min_reclaim("0"), Ok(Threshold::Amount(Quantity::ZERO)));
        assert!(min_reclaim("0%").is_err());
    }

    #[test]
    fn sysctls_may_end_in_a_star() {
        for text in ["net.core.somaxconn", "net.ipv4.*", "net.ipv4.tcp_*", "kernel/shm_rmid_forced"] {
            assert!(sysctl(text).is_ok(), "{text}");
        }
        for text in ["", "*", "net.*.a", "Net.a", "net..a"] {
            assert!(sysctl(text).is_err(), "{text}");
        }
    }
}
