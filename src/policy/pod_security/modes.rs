//! What a Namespace asks for: a standard to enforce, one to warn of, one to log by.
//!
//! Rules: `PolicyToEvaluate` in `api/helpers.go` of `k8s.io/pod-security-admission`. A level to enforce that can't be read is taken for
//! `restricted`, so that a misspelt label never opens a namespace.

use std::collections::BTreeMap;
use std::fmt;

use super::{Level, Standard, Version};
use crate::manifest::FieldPath;
use crate::manifest::validate::FieldError;

const PREFIX: &str = "pod-security.kubernetes.io/";

/// The three standards that count for a namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Modes {
    /// A pod that breaks it is refused.
    pub enforce: Standard,
    /// A pod that breaks it is logged.
    pub audit: Standard,
    /// A pod that breaks it is warned of.
    pub warn: Standard,
}

/// A label that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFault {
    /// Its key.
    pub label: String,
    /// Its value.
    pub value: String,
    /// What the value should be.
    pub expected: &'static str,
}

impl fmt::Display for LabelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().fmt(f)
    }
}

impl LabelFault {
    /// As an error of the Namespace's field.
    pub fn error(&self) -> FieldError {
        let path = FieldPath::new("metadata.labels").key(&self.label);
        FieldError::invalid(path, &self.value, self.expected)
    }

    /// Whether the label says what is enforced.
    pub fn is_about_enforcement(&self) -> bool {
        self.label.strip_prefix(PREFIX).is_some_and(|name| name.starts_with("enforce"))
    }
}

impl Modes {
    /// What a Namespace with these labels asks for, and which of them can't be read. What no label says is as in `defaults`.
    pub fn of(labels: Option<&BTreeMap<String, String>>, defaults: Modes) -> (Self, Vec<LabelFault>) {
        let mut read = Labels { labels, faults: Vec::new() };
        let mut modes = defaults;
        let enforce = read.take("enforce", Level::parse);
        modes.enforce = Standard {
            level: enforce.or(defaults.enforce.level, Level::Restricted),
            version: read
                .take("enforce-version", Version::parse)
                .or(defaults.enforce.version, Version::Latest),
        };
        modes.audit = Standard {
            level: read.take("audit", Level::parse).or(defaults.audit.level, Level::Privileged),
            version: read.take("audit-version", Version::parse).or(defaults.audit.version, Version::Latest),
        };
        let (level, version) = (read.take("warn", Level::parse), read.take("warn-version", Version::parse));
        modes.warn = Standard {
            level: level.or(defaults.warn.level, Level::Privileged),
            version: version.or(defaults.warn.version, Version::Latest),
        };
        // Who only says what is enforced is warned of it too.
        if let (Label::Read(enforced), Label::Absent) = (enforce, level)
            && enforced > modes.warn.level
        {
            modes.warn.level = enforced;
            if matches!(version, Label::Absent) {
                modes.warn.version = modes.enforce.version;
            }
        }
        (modes, read.faults)
    }
}

/// A label's value.
#[derive(Debug, Clone, Copy)]
enum Label<T> {
    Absent,
    Read(T),
    Unreadable,
}

impl<T> Label<T> {
    fn or(self, absent: T, unreadable: T) -> T {
        match self {
            Label::Absent => absent,
            Label::Read(value) => value,
            Label::Unreadable => unreadable,
        }
    }
}

struct Labels<'a> {
    labels: Option<&'a BTreeMap<String, String>>,
    faults: Vec<LabelFault>,
}

impl Labels<'_> {
    fn take<T>(&mut self, name: &str, parse: fn(&str) -> Result<T, &'static str>) -> Label<T> {
        let label = format!("{PREFIX}{name}");
        let Some(value) = self.labels.and_then(|labels| labels.get(&label)) else { return Label::Absent };
        match parse(value) {
            Ok(read) => Label::Read(read),
            Err(expected) => {
                self.faults.push(LabelFault { label, value: value.clone(), expected });
                Label::Unreadable
            }
        }
    }
}
