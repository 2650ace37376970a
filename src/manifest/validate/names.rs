//! The formats of names, labels, keys, ports and addresses, with the API server's words for what breaks them.
//!
//! Each function answers with one message a broken rule; none means the text is good. Rule:
//! `apimachinery/pkg/util/validation/validation.go`.

use std::net::IpAddr;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// A DNS-1123 label: names of containers, volumes and namespaces.
pub(crate) fn dns_label(text: &str) -> Vec<String> {
    let mut broken = at_most(text, 63);
    if !is_dns_label(text) {
        broken.push(if text.split('.').all(is_dns_label) {
            "must not contain dots".to_owned()
        } else {
            format!(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{LABEL}')"
            )
        });
    }
    broken
}

/// A DNS-1123 subdomain: names of most objects.
pub(crate) fn dns_subdomain(text: &str) -> Vec<String> {
    let mut broken = at_most(text, 253);
    if !text.split('.').all(is_dns_label) {
        broken.push(format!(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{LABEL}(\\.{LABEL})*')"
        ));
    }
    broken
}

/// The key of a label, annotation, taint or resource: `[prefix/]name`.
pub(crate) fn qualified_name(text: &str) -> Vec<String> {
    let (prefix, name) = match text.split_once('/') {
        None => (None, text),
        Some((_, rest)) if rest.contains('/') => {
            return vec![format!(
                "a qualified name {QUALIFIED_RULE} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{QUALIFIED}') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
        Some((prefix, name)) => (Some(prefix), name),
    };
    let mut broken = Vec::new();
    match prefix {
        None => {}
        Some("") => broken.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => {
            broken.extend(dns_subdomain(prefix).into_iter().map(|message| format!("prefix part {message}")));
        }
    }
    if name.is_empty() {
        broken.push("name part must be non-empty".to_owned());
    } else {
        broken.extend(at_most(name, 63).into_iter().map(|message| format!("name part {message}")));
    }
    if !is_qualified(name) {
        broken.push(format!(
            "name part {QUALIFIED_RULE} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{QUALIFIED}')"
        ));
    }
    broken
}

/// A label's value; may be empty.
pub(crate) fn label_value(text: &str) -> Vec<String> {
    let mut broken = at_most(text, 63);
    if !text.is_empty() && !is_qualified(text) {
        broken.push(format!(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '({QUALIFIED})?')"
        ));
    }
    broken
}

/// A port's name.
pub(super) fn port_name(text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let mut rule = |holds: bool, message: &str| {
        if !holds {
            broken.push(message.to_owned());
        }
    };
    rule(text.len() <= 15, "must be no more than 15 characters");
    rule(
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
    );
    rule(text.bytes().any(|b| b.is_ascii_lowercase()), "must contain at least one letter (a-z)");
    rule(!text.contains("--"), "must not contain consecutive hyphens");
    rule(!text.starts_with('-') && !text.ends_with('-'), "must not begin or end with a hyphen");
    broken
}

/// A port's number.
pub(super) fn port_number(port: i32) -> Vec<String> {
    between(port.into(), 1, 65535)
}

/// The name of an environment variable, by the relaxed rule that is the default since v1.32.
pub(super) fn env_name(text: &str) -> Vec<String> {
    if text.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    if text.bytes().all(|b| (b == b' ' || b.is_ascii_graphic()) && b != b'=') {
        return Vec::new();
    }
    vec![
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
            .to_owned(),
    ]
}

/// A key of a ConfigMap's or Secret's data.
pub(super) fn config_key(text: &str) -> Vec<String> {
    let mut broken = at_most(text, 253);
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if text.is_empty() || !text.bytes().all(fits) {
        broken.push("a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')".to_owned());
    }
    match text {
        "." => broken.push("must not be '.'".to_owned()),
        ".." => broken.push("must not be '..'".to_owned()),
        _ if text.starts_with("..") => broken.push("must not start with '..'".to_owned()),
        _ => {}
    }
    broken
}

/// The name of an HTTP header.
pub(super) fn http_header(text: &str) -> Vec<String> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Vec::new();
    }
    vec!["a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')".to_owned()]
}

/// A user or group ID.
pub(super) fn numeric_id(id: i64) -> Vec<String> {
    between(id, 0, i32::MAX.into())
}

/// An IP address.
pub(super) fn ip_address(text: &str) -> Vec<String> {
    if text.parse::<IpAddr>().is_ok() {
        return Vec::new();
    }
    vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()]
}

/// A percentage such as `10%`.
pub(super) fn percent(text: &str) -> Vec<String> {
    let number = text.strip_suffix('%').unwrap_or_default();
    if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
        return Vec::new();
    }
    vec!["a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')".to_owned()]
}

/// A path inside a volume: relative, and nowhere upwards.
pub(super) fn descending_path(path: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if path.starts_with('/') {
        broken.push("must be a relative path".to_owned());
    }
    broken.extend(no_backsteps(path));
    broken
}

/// A file that a volume writes: as [`descending_path`], and not one of the names the volume itself uses.
pub(super) fn volume_file(path: &str) -> Vec<String> {
    let mut broken = descending_path(path);
    if path.starts_with("..") && !path.starts_with("../") && path != ".." {
        broken.push("must not start with '..'".to_owned());
    }
    broken
}

/// A path without `..` steps.
pub(super) fn no_backsteps(path: &str) -> Vec<String> {
    if path.split('/').any(|step| step == "..") {
        return vec!["must not contain '..'".to_owned()];
    }
    Vec::new()
}

/// A name of a kernel parameter.
pub(super) fn sysctl(name: &str) -> Vec<String> {
    let fits = |part: &str| {
        let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(b);
        let bytes = part.as_bytes();
        edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
    };
    if name.len() <= 253 && name.split(['.', '/']).all(fits) {
        return Vec::new();
    }
    vec![
        "must have at most 253 characters and match regex ^[a-z0-9]([-_a-z0-9]*[a-z0-9])?([\\./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*$"
            .to_owned(),
    ]
}

pub(super) fn between(number: i64, low: i64, high: i64) -> Vec<String> {
    if (low..=high).contains(&number) {
        return Vec::new();
    }
    vec![format!("must be between {low} and {high}, inclusive")]
}

fn at_most(text: &str, max: usize) -> Vec<String> {
    if text.len() <= max {
        return Vec::new();
    }
    vec![format!("must be no more than {max} characters")]
}

fn is_dns_label(text: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes.iter().all(|b| alphanumeric(b) || *b == b'-')
}

fn is_qualified(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

/// Whether this is a signal of Linux by the name that Kubernetes gives it.
pub(super) fn is_signal(text: &str) -> bool {
    const PLAIN: [&str; 36] = [
        "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
        "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
        "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
    ];
    let counted = |name: &str, sign: &str, most: u8| {
        let number = name.strip_prefix(sign).filter(|number| !number.starts_with(['0', '+']));
        number.and_then(|number| number.parse().ok()).is_some_and(|number: u8| number <= most)
    };
    text.strip_prefix("SIG").is_some_and(|name| {
        PLAIN.contains(&name) || counted(name, "RTMIN+", 15) || counted(name, "RTMAX-", 14)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn table(rule: fn(&str) -> Vec<String>, good: &[&str], bad: &[(&str, &str)]) {
        for text in good {
            assert_eq!(rule(text), [""; 0], "{text:?}");
        }
        for (text, start) in bad {
            let broken = rule(text);
            assert!(broken.iter().any(|message| message.starts_with(start)), "{text:?}: {broken:?}");
        }
    }

    #[test]
    fn names_follow_dns() {
        let long = "a".repeat(64);
        let label = "a lowercase RFC 1123 label must consist";
        table(
            dns_label,
            &["a", "a-b", "9", &"a".repeat(63)],
            &[
                ("A", label),
                ("-a", label),
                ("a-", label),
                ("", label),
                ("a_b", label),
                ("a.b", "must not contain dots"),
                (&long, "must be no more than 63"),
            ],
        );
        let subdomain = "a lowercase RFC 1123 subdomain must consist";
        table(
            dns_subdomain,
            &["a", "a.b-c.d", &long],
            &[
                ("a..b", subdomain),
                (".a", subdomain),
                ("", subdomain),
                (&"a".repeat(254), "must be no more than 253"),
            ],
        );
    }

    #[test]
    fn label_keys_and_values_have_their_own_rules() {
        table(
            qualified_name,
            &["a", "A_b.c-d", "example.com/a"],
            &[
                ("", "name part must be non-empty"),
                ("a/", "name part must be non-empty"),
                ("/a", "prefix part must be non-empty"),
                ("a/b/c", "a qualified name must consist"),
                ("UPPER/a", "prefix part a lowercase RFC 1123 subdomain"),
                ("-a", "name part must consist"),
                (&"a".repeat(64), "name part must be no more than 63 characters"),
            ],
        );
        table(label_value, &["", "a", "A.b_c-d"], &[("-1", "a valid label"), ("has space", "a valid label")]);
    }

    #[test]
    fn other_formats() {
        table(
            port_name,
            &["http", "a-1"],
            &[
                ("", "must contain only"),
                ("80", "must contain at least one letter"),
                ("a--b", "must not contain"),
                ("-a", "must not begin"),
                ("abcdefghijklmnop", "must be no more than 15"),
                ("Http", "must contain only"),
            ],
        );
        table(
            env_name,
            &["A", "a.b-c d", "1"],
            &[
                ("", "environment variable name must be non-empty"),
                ("a=b", "a valid env"),
                ("é", "a valid env"),
            ],
        );
        table(
            config_key,
            &["a", "..a.".trim_start_matches('.'), ".a"],
            &[
                ("", "a valid config key"),
                ("a/b", "a valid config key"),
                (".", "must not be '.'"),
                ("..", "must not be '..'"),
                ("..a", "must not start"),
            ],
        );
        table(
            percent,
            &["1%", "100%"],
            &[
                ("1", "a valid percent"),
                ("%", "a valid percent"),
                ("1.5%", "a valid percent"),
                ("-1%", "a valid percent"),
            ],
        );
        table(
            volume_file,
            &["a/b", "a..b", "a/..b"],
            &[("/a", "must be a relative"), ("a/../b", "must not contain"), ("..a", "must not start")],
        );
        table(
            sysctl,
            &["net.ipv4.tcp_syncookies", "kernel/shm_rmid_forced"],
            &[("", "must have"), ("net..a", "must have"), ("Net.a", "must have")],
        );
        table(
            ip_address,
            &["10.9.8.7", "::1"],
            &[("10.9.8", "must be a valid IP"), ("a", "must be a valid IP")],
        );
    }
}
