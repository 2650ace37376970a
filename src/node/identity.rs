//! The node's name: what `nodeName`, `matchFields` and every status refer to.
//!
//! Sources: `GetHostname` in `k8s.io/component-helpers/node/util` (trimmed, lower-cased), name validation of a Node (a DNS subdomain).

use std::fmt;
use std::str::FromStr;

use crate::manifest::validate::names::dns_subdomain;

/// A valid node name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeName(String);

/// Why a text can't be a node's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is no node name: at most 253 lower-case letters, digits, '-' and '.', each part beginning and ending with a letter or digit"
)]
pub struct InvalidNodeName {
    name: String,
}

impl NodeName {
    /// The name that a host of this name gets when none is configured.
    ///
    /// # Errors
    /// When the hostname, trimmed and lower-cased, is no DNS subdomain.
    pub fn of_host(hostname: &str) -> Result<Self, InvalidNodeName> {
        hostname.trim().to_ascii_lowercase().parse()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = InvalidNodeName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if dns_subdomain(name).is_empty() {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidNodeName { name: name.to_owned() })
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostname_is_trimmed_and_lower_cased() {
        assert_eq!(NodeName::of_host(" Edge-1.Example.COM\n").unwrap().as_str(), "edge-1.example.com");
        assert!(NodeName::of_host("under_score").is_err());
        assert!(NodeName::of_host("").is_err());
    }

    #[test]
    fn a_configured_name_is_taken_as_it_is_or_refused() {
        for good in ["a", "0", "edge-1", "10.0.0.1"] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        for bad in ["Edge", "-a", "a-", "a..b", ".a", "a b", &"a".repeat(254)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
    }
}
