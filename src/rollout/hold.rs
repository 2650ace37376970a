//! Holds: somebody asks that updates wait, of one DaemonSet or of every one on this machine. Pure.
//!
//! A hold has a holder, a reason and an end: one that nobody ends ends by itself. It holds back what an update would disturb, and nothing
//! else: a pod that fails is replaced, a DaemonSet that leaves is ended, and a roll-back goes ahead of every hold.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::manifest::DaemonSetKey;

/// The longest that a hold may last.
pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// How far a clock may have gone back for a hold still to count.
const SLACK: Duration = Duration::from_secs(300);
/// What the whole machine is called where a name is due.
const MACHINE: &str = "node";

/// What is held.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Every DaemonSet of this machine.
    Machine,
    /// One DaemonSet.
    DaemonSet(DaemonSetKey),
}

impl Target {
    /// The target of this name: `node`, or `<namespace>_<name>`.
    pub fn named(name: &str) -> Option<Self> {
        if name == MACHINE {
            return Some(Target::Machine);
        }
        let (namespace, name) =
            name.split_once('_').filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty())?;
        Some(Target::DaemonSet(DaemonSetKey { namespace: namespace.to_owned(), name: name.to_owned() }))
    }

    /// Its name.
    pub fn name(&self) -> String {
        match self {
            Target::Machine => MACHINE.to_owned(),
            Target::DaemonSet(key) => format!("{}_{}", key.namespace, key.name),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Machine => f.write_str("this node"),
            Target::DaemonSet(key) => write!(f, "DaemonSet {key}"),
        }
    }
}

/// One hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Who holds.
    pub by: String,
    /// Why, as far as they say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Hold {
    /// Whether it counts at `now`. A clock that went back by more than a little makes a hold void rather than endless.
    pub fn counts(&self, now: Timestamp) -> bool {
        now < self.until && now + SLACK >= self.since
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "held by {} until {}", self.by, self.until)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({})", self.reason) }
    }
}

/// All holds of this machine, at most one a target; a later one takes an earlier one's place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Holds(BTreeMap<String, Hold>);

impl Holds {
    /// Takes a hold up.
    pub fn put(&mut self, target: &Target, hold: Hold) {
        self.0.insert(target.name(), hold);
    }

    /// Ends a hold.
    pub fn release(&mut self, target: &Target) -> Option<Hold> {
        self.0.remove(&target.name())
    }

    /// Forgets what has ended by itself.
    pub fn expire(&mut self, now: Timestamp) {
        self.0.retain(|_, hold| hold.counts(now));
    }

    /// The hold that keeps a DaemonSet from being updated at `now`: its own, or the machine's.
    pub fn on(&self, daemon_set: &DaemonSetKey, now: Timestamp) -> Option<(Target, &Hold)> {
        [Target::DaemonSet(daemon_set.clone()), Target::Machine].into_iter().find_map(|target| {
            let hold = self.0.get(&target.name()).filter(|hold| hold.counts(now))?;
            Some((target, hold))
        })
    }

    /// Every hold with its target's name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Hold)> {
        self.0.iter().map(|(name, hold)| (name.as_str(), hold))
    }

    /// These holds and others; where both have one, these.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        for (name, hold) in others.0 {
            self.0.entry(name).or_insert(hold);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn hold(since: i64, until: i64) -> Hold {
        Hold { by: "ops".into(), reason: String::new(), since: at(since), until: at(until) }
    }

    fn key(name: &str) -> DaemonSetKey {
        DaemonSetKey { namespace: "x".into(), name: name.into() }
    }

    #[test]
    fn a_hold_ends_by_itself_also_when_the_clock_goes_back() {
        let hold = hold(0, 60);
        for (now, counts) in [(0, true), (59, true), (60, false), (-200, true), (-400, false)] {
            assert_eq!(hold.counts(at(now)), counts, "{now}");
        }
    }

    #[test]
    fn a_daemon_set_is_held_by_its_own_hold_or_by_the_machines() {
        let mut holds = Holds::default();
        holds.put(&Target::DaemonSet(key("a")), hold(0, 60));
        assert_eq!(holds.on(&key("a"), at(1)).map(|(target, _)| target), Some(Target::DaemonSet(key("a"))));
        assert_eq!(holds.on(&key("b"), at(1)), None);
        holds.put(&Target::Machine, hold(0, 90));
        assert_eq!(holds.on(&key("b"), at(1)).map(|(target, _)| target), Some(Target::Machine));
        assert_eq!(holds.on(&key("a"), at(70)).map(|(target, _)| target), Some(Target::Machine));
        assert!(holds.release(&Target::Machine).is_some());
        holds.expire(at(61));
        assert_eq!(holds, Holds::default());
    }

    #[test]
    fn targets_are_named_and_found_by_their_names() {
        for target in [Target::Machine, Target::DaemonSet(key("a"))] {
            assert_eq!(Target::named(&target.name()), Some(target));
        }
        assert_eq!(Target::named("x"), None);
        assert_eq!(Target::named("_x"), None);
    }
}
