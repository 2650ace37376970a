//! Unpinning what no archive gives any more, and what bundles have left.
//!
//! What is to be unpinned is on the disk before anything is: in the memory of archives, and in the record of bundles. It stays there until it is
//! done.

use std::fs::File;

use tracing::{info, warn};

use super::Task;
use crate::bundle::state::State;
use crate::containerd;
use crate::error_chain::error_chain;
use crate::state_dir::StateEntry;

impl Task {
    /// Unpins what no archive gives any more; says whether nothing is left of that.
    pub(super) async fn let_go(&mut self) -> bool {
        if !self.memory.has_leaving() {
            return true;
        }
        let bundles = match State::read(&self.surroundings.bundles) {
            Ok(bundles) => bundles,
            Err(error) => {
                warn!(
                    error = error_chain(&error),
                    "cannot read which images bundles have pinned; unpinning none"
                );
                return false;
            }
        };
        for name in self.memory.left_to_unpin(&bundles.pinned()) {
            match containerd::unpin(&self.surroundings.cri, &name).await {
                Ok(()) => {
                    info!(image = name, "image unpinned: no archive has it any more");
                    self.memory.unpinned(&name);
                }
                Err(status) => warn!(image = name, error = status.message(), "cannot unpin the image"),
            }
        }
        self.remember();
        !self.memory.has_leaving()
    }

    /// Unpins what bundles have pinned that count no more, where the command that should have done so was cut short.
    pub(super) async fn finish_bundles(&self) {
        let record = &self.surroundings.bundles;
        let is_leaving = |state: &State| !state.leaving.is_empty();
        if !State::read(record).is_ok_and(|state| is_leaving(&state)) {
            return;
        }
        let lock = File::options()
            .create(true)
            .append(true)
            .open(record.with_file_name(StateEntry::BundleLock.name()));
        // Whoever holds it does the same.
        let Some(_lock) = lock.ok().filter(|lock| lock.try_lock().is_ok()) else { return };
        let Ok(mut state) = State::read(record) else { return };
        for name in state.left_to_unpin(&self.memory.pinned()) {
            match containerd::unpin(&self.surroundings.cri, &name).await {
                Ok(()) => {
                    info!(image = name, "image unpinned: no bundle has it any more");
                    state.leaving.remove(&name);
                }
                Err(status) => warn!(image = name, error = status.message(), "cannot unpin the image"),
            }
        }
        if let Err(error) = state.write(record) {
            warn!(error = error_chain(&error), "cannot write down which images of bundles were unpinned");
        }
    }
}
