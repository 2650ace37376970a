//! What an image runs on, and which of several images a node can run. Rules: `platforms/compare.go` of containerd.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An operating system and a kind of processor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// Such as `linux`.
    pub os: String,
    /// Such as `amd64`.
    pub architecture: String,
    /// Such as `v7`; empty where there is only one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

/// A string that names no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no platform: write it as linux/amd64 or linux/arm/v7")]
pub struct NoPlatform(String);

impl Platform {
    /// A platform without a variant.
    pub fn new(os: &str, architecture: &str) -> Self {
        Self { os: os.to_owned(), architecture: architecture.to_owned(), variant: String::new() }
    }

    /// What this program was built for.
    pub fn of_this_node() -> Self {
        let mut platform = Self::new("linux", std::env::consts::ARCH).normal();
        if platform.architecture == "arm" {
            "v7".clone_into(&mut platform.variant);
        }
        platform
    }

    /// How well this platform runs what is made for `other`: the more, the better; nothing where it can't.
    pub fn rank(&self, other: &Self) -> Option<u8> {
        let (own, other) = (self.clone().normal(), other.clone().normal());
        if own.os != other.os || own.architecture != other.architecture {
            return None;
        }
        if own.variant == other.variant {
            return Some(u8::MAX);
        }
        let (own, other) = (version(&own.variant)?, version(&other.variant)?);
        // A processor runs what is made for its forerunners.
        (other < own).then_some(other)
    }

    /// The same under one name: `x86_64` is `amd64`, and the first variant of an architecture is none.
    fn normal(mut self) -> Self {
        let (architecture, variant) = match (self.architecture.as_str(), self.variant.as_str()) {
            ("x86_64" | "x86-64" | "amd64", "" | "v1") => ("amd64", ""),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "" | "8" | "v8") => ("arm64", ""),
            ("aarch64", variant) => ("arm64", variant),
            ("arm", "" | "7") => ("arm", "v7"),
            ("arm", "5") => ("arm", "v5"),
            ("arm", "6") => ("arm", "v6"),
            (architecture, variant) => (architecture, variant),
        };
        let (architecture, variant) = (architecture.to_owned(), variant.to_owned());
        self.architecture = architecture;
        self.variant = variant;
        self
    }
}

fn version(variant: &str) -> Option<u8> {
    if variant.is_empty() { Some(1) } else { variant.strip_prefix('v')?.parse().ok() }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

impl FromStr for Platform {
    type Err = NoPlatform;

    fn from_str(text: &str) -> Result<Self, NoPlatform> {
        let mut parts = text.splitn(3, '/');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let platform = Self { os: part(), architecture: part(), variant: part() };
        let is_one = !platform.os.is_empty() && !platform.architecture.is_empty();
        is_one.then_some(platform).ok_or_else(|| NoPlatform(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_runs_what_is_made_for_it_and_for_its_forerunners() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        for (own, other, runs) in [
            ("linux/amd64", "linux/amd64", true),
            ("linux/amd64", "linux/x86_64", true),
            ("linux/amd64", "linux/amd64/v1", true),
            ("linux/amd64", "linux/amd64/v3", false),
            ("linux/amd64", "linux/arm64", false),
            ("linux/amd64", "windows/amd64", false),
            ("linux/amd64", "unknown/unknown", false),
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64", "linux/aarch64", true),
            ("linux/arm64", "linux/arm/v7", false),
            ("linux/arm/v7", "linux/arm/v6", true),
            ("linux/arm/v7", "linux/arm", true),
            ("linux/arm/v6", "linux/arm/v7", false),
        ] {
            assert_eq!(platform(own).rank(&platform(other)).is_some(), runs, "{own} runs {other}");
        }
        let arm = platform("linux/arm/v7");
        assert!(arm.rank(&platform("linux/arm/v7")) > arm.rank(&platform("linux/arm/v6")));
        assert!(arm.rank(&platform("linux/arm/v6")) > arm.rank(&platform("linux/arm/v5")));
    }

    #[test]
    fn a_platform_reads_as_it_is_written() {
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for wrong in ["", "linux", "linux/", "/amd64"] {
            assert!(wrong.parse::<Platform>().is_err(), "{wrong}");
        }
    }
}
