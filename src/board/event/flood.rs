//! What keeps the Events of one object from pushing out all others.
//!
//! Pure. Rule: `EventAggregator` and `EventSourceObjectSpamFilter` of client-go's `tools/record/events_cache.go`, with their defaults. What
//! is remembered is bounded, and forgotten once it no longer matters: no texts, only hashes.

use std::collections::HashMap;
use std::time::Duration;

/// So many different messages are told of one object for one reason; further ones are combined.
const DIFFERENT: usize = 9;
/// After this long without any the messages of a reason are counted anew.
const QUIET: Duration = Duration::from_secs(600);
/// How many Events one source may tell of one object at once.
const BURST: u32 = 25;
/// How long it takes until it may tell one more.
const REFILL: Duration = Duration::from_secs(300);
/// Of more groups or sources than this the one that matters least is forgotten.
const MOST: usize = 1024;

/// The Events that differ in nothing but their messages.
#[derive(Debug, Default)]
pub(super) struct Groups(HashMap<u64, Group>);

#[derive(Debug)]
struct Group {
    /// The first few different messages.
    messages: Vec<u64>,
    last: Duration,
}

impl Groups {
    /// Whether the message is one of so many different ones that it is to be combined with those before. It counts from now on.
    pub(super) fn is_another_of_many(&mut self, group: u64, message: u64, now: Duration) -> bool {
        make_room(&mut self.0, group, |group| group.last);
        let known = self.0.entry(group).or_insert_with(|| Group { messages: Vec::new(), last: now });
        if is_quiet(known.last, now) {
            known.messages.clear();
        }
        known.last = now;
        if known.messages.contains(&message) {
            return false;
        }
        let is_one_too_many = known.messages.len() >= DIFFERENT;
        if !is_one_too_many {
            known.messages.push(message);
        }
        is_one_too_many
    }

    /// Forgets the groups that nothing was heard of for long enough.
    pub(super) fn forget(&mut self, now: Duration) {
        self.0.retain(|_, group| !is_quiet(group.last, now));
    }
}

fn is_quiet(last: Duration, now: Duration) -> bool {
    now.saturating_sub(last) > QUIET
}

/// How much each source has told of each object: a token bucket, kept as the time at which it will be full again.
#[derive(Debug, Default)]
pub(super) struct Bursts(HashMap<u64, Duration>);

impl Bursts {
    /// Whether the source may tell one more; if so, it counts.
    pub(super) fn has_room(&mut self, source: u64, now: Duration) -> bool {
        make_room(&mut self.0, source, |full_at| *full_at);
        let full_at = self.0.entry(source).or_insert(now);
        let after = (*full_at).max(now) + REFILL;
        let has_room = after.saturating_sub(now) <= REFILL * BURST;
        if has_room {
            *full_at = after;
        }
        has_room
    }

    /// Forgets the sources that may tell as much as any.
    pub(super) fn forget(&mut self, now: Duration) {
        self.0.retain(|_, full_at| *full_at > now);
    }
}

fn make_room<T>(all: &mut HashMap<u64, T>, key: u64, matters_until: impl Fn(&T) -> Duration) {
    if all.len() >= MOST && !all.contains_key(&key) {
        let least = all.iter().min_by_key(|(_, value)| matters_until(value)).map(|(key, _)| *key);
        least.map(|key| all.remove(&key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_burst_is_followed_by_one_each_five_minutes() {
        let mut bursts = Bursts::default();
        let told = (0..100).filter(|now| bursts.has_room(1, s(*now))).count();
        assert_eq!(told, 25);
        assert!(bursts.has_room(2, s(100)), "another source has its own");
        let later: Vec<u64> = (100..1000).filter(|now| bursts.has_room(1, s(*now))).collect();
        assert_eq!(later, [300, 600, 900]);
        let after_long = (0..100).filter(|now| bursts.has_room(1, s(100_000 + now))).count();
        assert_eq!(after_long, 25);
    }

    #[test]
    fn what_no_longer_matters_is_forgotten_and_the_rest_is_bounded() {
        let (mut groups, mut bursts) = (Groups::default(), Bursts::default());
        for n in 0..3000 {
            groups.is_another_of_many(n, 0, s(n));
            bursts.has_room(n, s(n));
        }
        assert_eq!((groups.0.len(), bursts.0.len()), (MOST, MOST));
        assert!(groups.0.contains_key(&2999) && !groups.0.contains_key(&0));
        groups.forget(s(2999 + 601));
        bursts.forget(s(2999 + 300));
        assert_eq!((groups.0.len(), bursts.0.len()), (0, 0));
    }
}
