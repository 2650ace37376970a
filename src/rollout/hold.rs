//! Holds: somebody asks that updates wait, of one DaemonSet or of every one on this machine. Pure.
//!
//! A hold has a holder, a reason and an end: one that nobody ends ends by itself. It holds back what an update would disturb, and nothing
//! else: a pod that fails is replaced, a DaemonSet that leaves is ended, and a roll-back goes ahead of every hold.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::boot_time::BootTime;
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
    /// Since when by a clock that nobody sets, where it is known: it counts for as long as this boot lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_boot: Option<BootTime>,
}

/// The present by the wall clock, which may be years off, and by the time since boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The wall clock.
    pub wall: Timestamp,
    /// The time since boot.
    pub boot: BootTime,
}

impl Hold {
    /// Whether it counts. In the boot in which it began, its time is measured by what no clock correction moves. In a later one the wall clock
    /// says; one that is earlier than the hold's beginning can't be right, and the hold counts until it is, or until the longest that
    /// any hold may last has passed.
    pub fn counts(&self, now: &Present) -> bool {
        let lasts =
            Duration::try_from(self.until.duration_since(self.since)).unwrap_or_default().min(LONGEST);
        match &self.since_boot {
            Some(since) if since.boot == now.boot.boot => now.boot.since(since) < lasts,
            _ if now.wall + SLACK < self.since => now.boot.uptime < LONGEST,
            _ => now.wall < self.until,
        }
    }

    /// How long it lasts yet, as far as that can be said.
    pub fn remaining(&self, now: &Present) -> Duration {
        let lasts = Duration::try_from(self.until.duration_since(self.since)).unwrap_or_default();
        match &self.since_boot {
            Some(since) if since.boot == now.boot.boot => lasts.saturating_sub(now.boot.since(since)),
            _ => Duration::try_from(self.until.duration_since(now.wall)).unwrap_or_default(),
        }
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
    pub fn expire(&mut self, now: &Present) {
        self.0.retain(|_, hold| hold.counts(now));
    }

    /// The hold that keeps a DaemonSet from being updated at `now`: its own, or the machine's.
    pub fn on(&self, daemon_set: &DaemonSetKey, now: &Present) -> Option<(Target, &Hold)> {
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
        Hold { by: "ops".into(), reason: String::new(), since: at(since), until: at(until), since_boot: None }
    }

    fn key(name: &str) -> DaemonSetKey {
        DaemonSetKey { namespace: "x".into(), name: name.into() }
    }

    /// At this second of the wall clock, this long after a boot.
    fn present(wall: i64, boot: &str, uptime: u64) -> Present {
        Present { wall: at(wall), boot: BootTime { boot: boot.into(), uptime: Duration::from_secs(uptime) } }
    }

    #[test]
    fn a_hold_ends_by_itself_and_no_clock_that_is_wrong_ends_it_or_makes_it_endless() {
        let year = 365 * 86_400;
        let since = BootTime { boot: "a".into(), uptime: Duration::from_secs(1000) };
        let hold = Hold { since_boot: Some(since), ..hold(0, 60) };
        for (wall, boot, uptime, counts) in [
            (0, "a", 1000, true),
            (59, "a", 1059, true),
            (60, "a", 1060, false),
            // Within its boot the wall clock says nothing.
            (-50 * year, "a", 1059, true),
            (50 * year, "a", 1059, true),
            (-50 * year, "a", 1060, false),
            // After another boot it does, unless it can't be right.
            (59, "b", 10, true),
            (60, "b", 10, false),
            (-50 * year, "b", 10, true),
            (-50 * year, "b", LONGEST.as_secs(), false),
            (-200, "b", 10, true),
        ] {
            assert_eq!(hold.counts(&present(wall, boot, uptime)), counts, "{wall} {boot} {uptime}");
        }
        assert_eq!(hold.remaining(&present(9 * year, "a", 1020)), Duration::from_secs(40));
        assert_eq!(hold.remaining(&present(20, "b", 5)), Duration::from_secs(40));
    }

    #[test]
    fn a_daemon_set_is_held_by_its_own_hold_or_by_the_machines() {
        let mut holds = Holds::default();
        holds.put(&Target::DaemonSet(key("a")), hold(0, 60));
        assert_eq!(
            holds.on(&key("a"), &present(1, "b", 10)).map(|(target, _)| target),
            Some(Target::DaemonSet(key("a")))
        );
        assert_eq!(holds.on(&key("b"), &present(1, "b", 10)), None);
        holds.put(&Target::Machine, hold(0, 90));
        assert_eq!(
            holds.on(&key("b"), &present(1, "b", 10)).map(|(target, _)| target),
            Some(Target::Machine)
        );
        assert_eq!(
            holds.on(&key("a"), &present(70, "b", 10)).map(|(target, _)| target),
            Some(Target::Machine)
        );
        assert!(holds.release(&Target::Machine).is_some());
        holds.expire(&present(61, "b", 10));
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
