//! The URLs that probes and hooks ask for, and where a redirect leads.
//!
//! Pure. Only what the kubelet's `formatURL` and Go's redirects need of RFC 3986, with Go's leniency: a path that does not parse
//! is sent escaped as a whole.

use std::fmt::{self, Write as _};

use crate::probe::tcp::join_host_port;

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS, unverified.
    Https,
}

impl Scheme {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Where a redirect leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To the same host.
    Here(Url),
    /// To another host, whatever is spoken there.
    Elsewhere,
    /// To the same host, where something is to be spoken that is no HTTP.
    Unsupported {
        /// What.
        scheme: String,
    },
}

/// A URL with a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Its scheme.
    pub scheme: Scheme,
    /// The host, an IPv6 address without its brackets.
    pub host: String,
    port: Option<u16>,
    target: String,
}

impl Url {
    /// The URL of an `httpGet` action; `path` may hold a query.
    pub fn new(scheme: Scheme, host: &str, port: u16, path: &str) -> Self {
        Self { scheme, host: host.to_owned(), port: Some(port), target: target(path) }
    }

    /// The same URL over plain text.
    #[must_use]
    pub fn over_http(self) -> Self {
        Self { scheme: Scheme::Http, ..self }
    }

    /// The port to dial.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(self.scheme.default_port())
    }

    /// Host and port as the `Host` header has them.
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => join_host_port(&self.host, port),
            None if self.host.contains(':') => format!("[{}]", self.host),
            None => self.host.clone(),
        }
    }

    /// Path and query as the request line has them.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Where a `Location` header leads from here; `None` when it makes no sense. As in Go, first of all the hosts are compared.
    pub fn join(&self, location: &str) -> Option<Destination> {
        let location = location.split('#').next().unwrap_or_default();
        let (named, rest) = split_scheme(location)?;
        if let Some(rest) = rest.strip_prefix("//") {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            let (host, port) = split_authority(authority)?;
            if host != self.host {
                return Some(Destination::Elsewhere);
            }
            let scheme = match named.to_ascii_lowercase().as_str() {
                "" => self.scheme,
                "http" => Scheme::Http,
                "https" => Scheme::Https,
                other => return Some(Destination::Unsupported { scheme: other.to_owned() }),
            };
            return Some(Destination::Here(Self { scheme, host, port, target: target(path) }));
        }
        if !named.is_empty() {
            // `mailto:somebody` names no host, which is another one.
            return Some(Destination::Elsewhere);
        }
        let (own_path, _) = split_query(&self.target);
        let (path, query) = split_query(location);
        let merged = match path {
            "" => own_path.to_owned(),
            _ if path.starts_with('/') => without_dots(path),
            _ => without_dots(&format!("{}{path}", &own_path[..=own_path.rfind('/').unwrap_or(0)])),
        };
        Some(Destination::Here(Self { target: target(&merged) + &written_query(query), ..self.clone() }))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.authority(), self.target)
    }
}

/// A reference's scheme, or nothing, and what comes behind it; `None` if it begins with a colon.
fn split_scheme(reference: &str) -> Option<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    match reference.split_once(':') {
        Some(("", _)) => None,
        Some((scheme, rest))
            if scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(is_part) =>
        {
            Some((scheme, rest))
        }
        _ => Some(("", reference)),
    }
}

fn split_query(target: &str) -> (&str, Option<&str>) {
    target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)))
}

fn written_query(query: Option<&str>) -> String {
    query
        .map(|query| format!("?{}", escape(query, |b| b.is_ascii_graphic() && !b"\"<>#".contains(&b))))
        .unwrap_or_default()
}

fn split_authority(authority: &str) -> Option<(String, Option<u16>)> {
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match authority.strip_prefix('[').and_then(|bracketed| bracketed.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':')?)),
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port = port.filter(|port| !port.is_empty()).map(str::parse).transpose().ok()?;
    Some((host.to_owned(), port))
}

/// Path and query of a reference, as they go on the wire.
fn target(reference: &str) -> String {
    let unparsable = reference.bytes().any(|b| b.is_ascii_control());
    let without_fragment = reference.split('#').next().unwrap_or_default();
    let (path, query) = split_query(without_fragment);
    let target = if unparsable || !percent_is_sound(path) {
        escape(reference, in_path)
    } else {
        escape(path, |b| in_path(b) || b"%!'()*[]".contains(&b)) + &written_query(query)
    };
    if target.starts_with('/') { target } else { format!("/{target}") }
}

/// What Go leaves as it is in a path.
fn in_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte)
}

fn percent_is_sound(path: &str) -> bool {
    path.split('%')
        .skip(1)
        .all(|after| after.len() >= 2 && after.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
}

fn escape(text: &str, keep: impl Fn(u8) -> bool) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        if keep(byte) {
            escaped.push(byte.into());
        } else {
            // Writing to a String can't fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

/// The path with `.` and `..` followed.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_url_reference_and_what_is_none_is_escaped() {
        for (path, target) in [
            ("", "/"),
            ("healthz", "/healthz"),
            ("/healthz", "/healthz"),
            ("/a?b=c&d=e", "/a?b=c&d=e"),
            ("/a?b c", "/a?b%20c"),
            ("?q", "/?q"),
            ("/a b", "/a%20b"),
            ("/a%20b", "/a%20b"),
            ("/100%", "/100%25"),
            ("/100%?x", "/100%25%3Fx"),
            ("/a#b", "/a"),
            ("/ä", "/%C3%A4"),
            ("/x(1)*", "/x(1)*"),
        ] {
            assert_eq!(Url::new(Scheme::Http, "10.0.0.1", 80, path).target(), target, "{path}");
        }
    }

    #[test]
    fn urls_are_written_with_their_port_and_brackets() {
        assert_eq!(Url::new(Scheme::Http, "10.0.0.1", 80, "/x").to_string(), "http://10.0.0.1:80/x");
        assert_eq!(Url::new(Scheme::Https, "fd00::1", 8443, "").to_string(), "https://[fd00::1]:8443/");
    }

    #[test]
    fn redirects_lead_where_rfc_3986_says() {
        let from = Url::new(Scheme::Http, "h.example", 8080, "/a/b?q=1");
        for (location, to) in [
            ("/c", Some("http://h.example:8080/c")),
            ("c", Some("http://h.example:8080/a/c")),
            ("//h.example/c", Some("http://h.example/c")),
            ("../c?x=/..", Some("http://h.example:8080/c?x=/..")),
            ("./", Some("http://h.example:8080/a/")),
            ("?z", Some("http://h.example:8080/a/b?z")),
            ("//other/c", Some("elsewhere")),
            ("ftp://other/", Some("elsewhere")),
            ("mailto:somebody@h.example", Some("elsewhere")),
            ("http:///x", Some("elsewhere")),
            ("https://h.example/", Some("https://h.example/")),
            ("HTTPS://h.example:1?x", Some("https://h.example:1/?x")),
            ("/go?to=http://x/", Some("http://h.example:8080/go?to=http://x/")),
            ("FTP://h.example/", Some("unsupported ftp")),
            ("http://h.example:port/", None),
            (":", None),
        ] {
            let led = from.join(location).map(|destination| match destination {
                Destination::Here(url) => url.to_string(),
                Destination::Elsewhere => "elsewhere".to_owned(),
                Destination::Unsupported { scheme } => format!("unsupported {scheme}"),
            });
            assert_eq!(led.as_deref(), to, "{location}");
        }
        let https = Url::new(Scheme::Https, "fd00::1", 1, "/").join("https://[fd00::1]/a#f");
        let Some(Destination::Here(https)) = https else { panic!("{https:?}") };
        assert_eq!((https.port(), https.to_string().as_str()), (443, "https://[fd00::1]/a"));
    }
}
