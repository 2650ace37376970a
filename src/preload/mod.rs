//! Images that are on the node as archives, in a folder: imported before anything is pulled, and again when they went missing.
//!
//! One task looks after the folder ([`Preload::spawn`]); everybody else asks a [`Preload`]. Each archive is imported whole or not at all, and
//! once: what it was then (size, time, inode) is remembered on disk with the images that it gave. Its images are pinned for as long as it
//! lies there. Where several have images under one name, the bundle that counts has it, else the archive that was imported last. Must never pull
//! anything, nor delete an archive or an image: taking an archive away only unpins what it gave.

mod folder;
mod import;
mod memory;
mod task;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot, watch as channel};

use crate::archive::normalized;
use crate::board::Board;
use crate::clock::Clock;
use crate::cri::CriClient;
use crate::image::ImageName;

pub use folder::is_archive;
pub use memory::pinned_by;

/// Where the folder is, and who is asked and told.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The folder. Made if it isn't there.
    pub folder: PathBuf,
    /// Where is remembered what was imported.
    pub memory: PathBuf,
    /// The record of bundles: what one has pinned stays pinned without an archive, too.
    pub bundles: PathBuf,
    /// The runtime.
    pub cri: CriClient,
    /// Where Events go.
    pub board: Arc<Board>,
    /// The agent's clocks.
    pub clock: Clock,
}

/// The images that the node has as archives. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Preload {
    looked: channel::Receiver<bool>,
    /// How often archives were imported since the agent started.
    imports: channel::Receiver<u64>,
    names: Names,
    asks: mpsc::Sender<Ask>,
}

/// The names of all images in the folder, in full.
#[derive(Debug, Clone, Default)]
struct Names(Arc<Mutex<Arc<BTreeSet<String>>>>);

impl Names {
    fn now(&self) -> Arc<BTreeSet<String>> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, names: BTreeSet<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(names);
    }
}

/// Somebody misses an image.
#[derive(Debug)]
struct Ask {
    name: String,
    answer: oneshot::Sender<bool>,
}

impl Preload {
    /// Looks after a folder from now on, for as long as the runtime of tasks lives.
    pub fn spawn(surroundings: Surroundings) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (look, looked) = channel::channel(false);
        let (imported, imports) = channel::channel(0);
        let (asks, asked) = mpsc::channel(1);
        let names = Names::default();
        let task = task::Task::new(surroundings, names.clone(), (look, imported), asked);
        (Self { looked, imports, names, asks }, task.run())
    }

    /// A node without archives.
    pub fn none() -> Self {
        Self::of(Names::default())
    }

    /// A node whose archives have these images, in full, and give none of them back.
    #[cfg(test)]
    pub(crate) fn with(names: impl IntoIterator<Item = String>) -> Self {
        let held = Names::default();
        held.set(names.into_iter().collect());
        Self::of(held)
    }

    fn of(names: Names) -> Self {
        Self {
            looked: channel::channel(true).1,
            imports: channel::channel(0).1,
            names,
            asks: mpsc::channel(1).0,
        }
    }

    /// Tells each time that archives were imported: whoever waits for an image may have it now.
    pub fn imports(&self) -> channel::Receiver<u64> {
        self.imports.clone()
    }

    /// Waits until what lay in the folder when the agent started is imported. Before that nothing should be pulled.
    pub async fn first_look(&self) {
        // A task that ended looks no more.
        let _ = self.looked.clone().wait_for(|looked| *looked).await;
    }

    /// Whether an archive in the folder has this image.
    pub fn holds(&self, name: &ImageName) -> bool {
        normalized(name.as_written()).is_some_and(|name| self.names.now().contains(&name))
    }

    /// Sees to it that the runtime has an image, if an archive has it; says whether it has.
    pub async fn restore(&self, name: &ImageName) -> bool {
        self.first_look().await;
        let Some(name) = normalized(name.as_written()).filter(|name| self.names.now().contains(name)) else {
            return false;
        };
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask { name, answer }).await.is_ok() && answered.await.unwrap_or(false)
    }
}
