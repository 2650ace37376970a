//! The Pod Security Standards: levels, versions, and whether a pod keeps to them.
//!
//! Pure, and as strict as `k8s.io/pod-security-admission` with the policies up to [`NEWEST`]: the same checks in the same order, the same
//! words. The checks themselves are in [`checks`], one row each; what a Namespace's labels ask for is in [`modes`].

mod checks;
mod modes;
#[cfg(test)]
mod tests;

use std::fmt;

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use self::checks::{CHECKS, Check, Subject};
pub use self::modes::{LabelFault, Modes};

/// The newest minor version of Kubernetes whose policies differ from those before; `latest` means these.
pub const NEWEST: u64 = 37;

/// How much a pod may do, from all to little.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything.
    #[default]
    Privileged,
    /// Nothing by which privileges are known to be escalated.
    Baseline,
    /// Only what a hardened pod needs.
    Restricted,
}

impl Level {
    /// As it is written in labels and in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }

    /// Reads a level.
    ///
    /// # Errors
    /// When the text is none; says which there are.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        [Self::Privileged, Self::Baseline, Self::Restricted]
            .into_iter()
            .find(|level| level.as_str() == text)
            .ok_or("must be one of privileged, baseline, restricted")
    }
}

/// Which Kubernetes' policies count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Version {
    /// The newest that this release knows.
    #[default]
    Latest,
    /// Those of Kubernetes 1 with this minor version; of one that is too new for this release, the newest that it knows.
    Minor(u64),
}

impl Version {
    /// Reads a version.
    ///
    /// # Errors
    /// When the text is none; says what one looks like.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "must be \"latest\" or \"v1.x\"";
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let digits = text.strip_prefix("v1.").ok_or(FORM)?;
        let is_plain =
            digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        digits.parse().ok().filter(|_| is_plain).map(Self::Minor).ok_or(FORM)
    }

    fn minor(self) -> u64 {
        match self {
            Self::Latest => NEWEST,
            Self::Minor(minor) => minor.min(NEWEST),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Minor(minor) => write!(f, "v1.{minor}"),
        }
    }
}

/// A level of some version, shown as `baseline:latest`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standard {
    /// How much a pod may do.
    pub level: Level,
    /// By whose policies.
    pub version: Version,
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level.as_str(), self.version)
    }
}

/// One check that a pod does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What is forbidden, in a few words.
    pub reason: &'static str,
    /// Which fields of which containers, and what they must be.
    pub detail: String,
}

/// Everything in which a pod breaks a standard: `PodSecurity "baseline:latest": privileged (container "x" must not …), …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violations {
    /// The standard.
    pub standard: Standard,
    /// At least one.
    pub found: Vec<Violation>,
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PodSecurity \"{}\":", self.standard)?;
        for (index, Violation { reason, detail }) in self.found.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma} {reason} ({detail})")?;
        }
        Ok(())
    }
}

/// Checks a pod against a standard; none when it keeps to it.
pub fn evaluate(standard: Standard, metadata: &ObjectMeta, spec: &PodSpec) -> Option<Violations> {
    let subject = Subject::new(metadata, spec);
    let minor = standard.version.minor();
    let applies = |check: &&Check| check.level <= standard.level && check.at(minor).is_some();
    let overridden: Vec<&str> = CHECKS.iter().filter(applies).filter_map(|check| check.overrides).collect();
    let found: Vec<Violation> = CHECKS
        .iter()
        .filter(applies)
        .filter(|check| !overridden.contains(&check.id))
        .filter_map(|check| check.at(minor)?(&subject))
        .collect();
    (!found.is_empty()).then_some(Violations { standard, found })
}
