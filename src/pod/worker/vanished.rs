//! What is remembered of containers whose records the runtime has no more, whoever removed them, until they have a record again.
//!
//! Only the status needs it: what is to be done follows from what is there.

use super::Worker;
use crate::cri::ContainerId;
use crate::pod::observed::Observed;
use crate::pod::status::Vanished;

impl Worker {
    /// Takes a container whose record is gone out of what is observed.
    pub(super) fn lose(&mut self, id: &ContainerId) {
        let mut now = self.observed.clone();
        now.containers.retain(|container| container.id != *id);
        self.replace_observed(now);
    }

    /// Takes what is observed now for what was observed before.
    pub(super) fn replace_observed(&mut self, now: Observed) {
        let before = std::mem::replace(&mut self.observed, now);
        for (index, container) in before.containers.iter().enumerate() {
            let is_newest = !before.containers[..index].iter().any(|newer| newer.name == container.name);
            let is_there = self.observed.containers.iter().any(|there| there.id == container.id);
            let known = self.vanished.get(&container.name);
            if is_newest && !is_there && known.is_none_or(|known| known.newest.attempt < container.attempt) {
                let last = before.last_ended(&container.name).map(|(id, exit)| (id.clone(), exit.clone()));
                let vanished = Vanished { newest: container.clone(), last };
                self.vanished.insert(container.name.clone(), vanished);
            }
        }
    }

    /// Forgets those that have a record again.
    pub(super) fn forget_vanished(&mut self) {
        let observed = &self.observed;
        self.vanished.retain(|name, _| observed.newest(name).is_none());
    }
}
