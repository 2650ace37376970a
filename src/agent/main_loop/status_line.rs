//! The line that `systemctl status` shows: how many pods, how the store is, how the runtime is. Told when it is another.

use super::Agent;
use crate::store::Freshness;
use crate::systemd::ServiceManager;

impl Agent {
    /// Has the service manager show how things are, unless it does.
    pub(super) fn tell_manager(&mut self) {
        let store = self.board.store_status();
        let store = match (&store.freshness, &store.refused, &store.held) {
            (_, Some(_), _) => ", the store is refused",
            (_, _, Some(_)) => ", removals are held",
            (Freshness::Unknown, ..) => ", the store has not been read yet",
            (Freshness::LastGood { .. }, ..) => ", the store's last good content is used",
            (Freshness::Current, ..) => "",
        };
        let runtime = match self.board.runtime_status().problem {
            Some(_) => ", the container runtime is not ready",
            None => "",
        };
        let (pods, ready) = self.reconciler.counts();
        let line = format!("node {}: {ready} of {pods} pods ready{store}{runtime}", self.name);
        if line != self.status_line {
            ServiceManager.status(&line);
            self.status_line = line;
        }
    }
}
