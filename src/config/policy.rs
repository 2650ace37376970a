//! `podSecurity`, `allowedHostPaths` and `allowedImageRegistries` to a [`Policy`].

use std::path::{Component, Path, PathBuf};

use super::reader::Reader;
use crate::manifest::validate::names::dns_label;
use crate::policy::Policy;
use crate::policy::host_paths::HostPaths;
use crate::policy::pod_security::{Level, Modes, Standard, Version};
use crate::policy::registries::{Registries, Registry};

pub(super) fn policy(read: &mut Reader<'_>) -> Policy {
    let defaults = Modes {
        enforce: standard(read, "podSecurity.enforce", "podSecurity.enforceVersion"),
        audit: standard(read, "podSecurity.audit", "podSecurity.auditVersion"),
        warn: standard(read, "podSecurity.warn", "podSecurity.warnVersion"),
    };
    Policy {
        defaults,
        exempt_namespaces: read.list("podSecurity.exemptNamespaces", namespace).into_iter().collect(),
        host_paths: HostPaths::new(read.list("allowedHostPaths", prefix)),
        registries: Registries::new(read.list("allowedImageRegistries", Registry::parse)),
    }
}

fn standard(read: &mut Reader<'_>, level: &'static str, version: &'static str) -> Standard {
    let refused = |text: &str, expected: &str| format!("{text:?} {expected}");
    Standard {
        level: read.text(level, |text| Level::parse(text).map_err(|expected| refused(text, expected))),
        version: read.text(version, |text| Version::parse(text).map_err(|expected| refused(text, expected))),
    }
}

fn namespace(text: &str) -> Result<String, String> {
    if dns_label(text).is_empty() {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no namespace's name"))
    }
}

/// A path as it can be compared: from the root, and without a way back.
fn prefix(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    if path.is_absolute() && path.components().all(|part| part != Component::ParentDir) {
        Ok(path.components().collect())
    } else {
        Err(format!("{text:?} is no absolute path without \"..\""))
    }
}
