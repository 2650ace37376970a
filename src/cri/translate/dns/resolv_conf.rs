//! The node's own resolver settings, read from the text of `resolv.conf(5)` as the kubelet reads it.
//!
//! Rule: `parseResolvConf` in the kubelet's `pkg/kubelet/network/dns`. The file itself is read elsewhere.

use thiserror::Error;

/// What a `resolv.conf` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// Name servers, in order.
    pub nameservers: Vec<String>,
    /// Search domains, without a trailing dot.
    pub searches: Vec<String>,
    /// Options, `name` or `name:value`, each name once.
    pub options: Vec<String>,
}

/// A `resolv.conf` that the kubelet, too, refuses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResolvConfError {
    /// A `nameserver` line without an address.
    #[error("nameserver list is empty (line {0})")]
    NoAddress(usize),
}

impl ResolvConf {
    /// Reads the file's text.
    ///
    /// # Errors
    /// A `nameserver` line names no server.
    pub fn parse(text: &str) -> Result<Self, ResolvConfError> {
        let mut conf = Self::default();
        for (line, number) in text.lines().zip(1..) {
            if line.trim_start().starts_with('#') {
                continue;
            }
            let mut fields = line.split_whitespace();
            match fields.next() {
                Some("nameserver") => {
                    let address = fields.next().ok_or(ResolvConfError::NoAddress(number))?;
                    conf.nameservers.push(address.to_owned());
                }
                // The last line wins, as for the C library.
                Some("search") => {
                    let domains = fields.filter(|domain| *domain != ".");
                    conf.searches = domains.map(|domain| without_final_dot(domain).to_owned()).collect();
                }
                Some("options") => {
                    for option in fields {
                        set_option(&mut conf.options, option);
                    }
                }
                _ => {}
            }
        }
        Ok(conf)
    }
}

fn without_final_dot(domain: &str) -> &str {
    domain.strip_suffix('.').unwrap_or(domain)
}

fn set_option(options: &mut Vec<String>, option: &str) {
    let name = |option: &str| option.split_once(':').map_or(option, |(name, _)| name).to_owned();
    match options.iter_mut().find(|existing| name(existing) == name(option)) {
        Some(existing) => option.clone_into(existing),
        None => options.push(option.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_the_kubelet_reads_it() {
        let text = "# nameserver 192.0.2.1\n  nameserver 192.0.2.53 extra\nnameserver\t2001:db8::53\n\
                    search old.example\nsearch a.example. . b.example\n\
                    options ndots:2 rotate\noptions ndots:3\nsortlist 1.2.3.4\n; note\n";
        assert_eq!(
            ResolvConf::parse(text),
            Ok(ResolvConf {
                nameservers: vec!["192.0.2.53".into(), "2001:db8::53".into()],
                searches: vec!["a.example".into(), "b.example".into()],
                options: vec!["ndots:3".into(), "rotate".into()],
            })
        );
        assert_eq!(ResolvConf::parse(""), Ok(ResolvConf::default()));
    }

    #[test]
    fn a_nameserver_line_needs_an_address() {
        assert_eq!(ResolvConf::parse("search a\nnameserver \n"), Err(ResolvConfError::NoAddress(2)));
    }
}
