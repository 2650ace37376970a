//! The task that looks after the folder. One thing at a time: two imports side by side would only wait for the same disk.
//!
//! The folder may be on a file system that hangs, so that every call into it is made on a thread of its own.

mod unpin;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::sync::{mpsc, watch as channel};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{info, warn};

use super::folder::{self, Identity, Listing, Place};
use super::import::{Problem, choose, survey};
use super::memory::{Given, Memory};
use super::watch::Watch;
use super::{Ask, Names, Surroundings};
use crate::archive::{Contents, Platform};
use crate::board::{EventDraft, EventKind, reference_to};
use crate::bundle::keep;
use crate::containerd::{self, Existing, Import};
use crate::error_chain::error_chain;

/// What went wrong with the runtime may be right by then.
const RETRY: Duration = Duration::from_secs(30);
/// Without inotify, and where it says nothing: on network file systems.
const POLL: Duration = Duration::from_secs(60);
/// With inotify, which says nothing of what is mounted over the folder.
const MAKE_SURE: Duration = Duration::from_secs(5 * 60);

/// What came of a look.
#[derive(Debug, Default)]
struct Looked {
    /// Whether all was done that can be.
    is_done: bool,
    /// Which folder was listed, if one could be.
    place: Option<Place>,
    is_on_network: bool,
}

/// Looks after a folder.
pub(super) struct Task {
    surroundings: Surroundings,
    platform: Platform,
    names: Names,
    looked: channel::Sender<bool>,
    imports: channel::Sender<u64>,
    asks: mpsc::Receiver<Ask>,
    memory: Memory,
    /// Archives that are to be imported though they were: the runtime has lost some of their images.
    again: BTreeSet<String>,
    /// What was refused: it is not tried again until it is another.
    refused: BTreeMap<String, Identity>,
    /// Files that are no archives, or of which nobody knows what they are, told once.
    told: BTreeSet<String>,
}

impl Task {
    pub(super) fn new(
        surroundings: Surroundings,
        names: Names,
        (looked, imports): (channel::Sender<bool>, channel::Sender<u64>),
        asks: mpsc::Receiver<Ask>,
    ) -> Self {
        Self {
            memory: Memory::open(&surroundings.memory),
            surroundings,
            platform: Platform::of_this_node(),
            names,
            looked,
            imports,
            asks,
            again: BTreeSet::new(),
            refused: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut watch = self.watch().await;
        self.find_lost_images().await;
        let mut watched = None;
        let mut is_first = true;
        loop {
            let looked = self.look(&watch).await;
            if let Some(place) = looked.place
                && !watch.is_of(place)
                && watched != Some(place)
            {
                // What came before it was watched has to be looked for.
                watched = Some(place);
                watch = self.watch().await;
                continue;
            }
            self.looked.send_if_modified(|looked| !std::mem::replace(looked, true));
            if std::mem::take(&mut is_first) {
                self.finish_bundles().await;
            }
            let pause = match looked {
                Looked { is_done: false, .. } => RETRY,
                Looked { is_on_network: true, .. } => POLL,
                _ if !watch.is_on() => POLL,
                _ => MAKE_SURE,
            };
            let look_again = sleep(pause);
            tokio::pin!(look_again);
            loop {
                tokio::select! {
                    () = watch.changed() => break,
                    () = &mut look_again => break,
                    ask = self.asks.recv() => match ask {
                        Some(ask) => self.answer(ask).await,
                        None => return,
                    },
                }
            }
        }
    }

    /// Makes the folder, if it isn't there, and watches it.
    async fn watch(&self) -> Watch {
        self.on_thread(|folder| {
            if let Err(error) = fs::create_dir_all(folder) {
                warn!(%error, folder = %folder.display(), "cannot make the folder of image archives");
            }
            Ok(Watch::on(folder))
        })
        .await
        .unwrap_or_else(|_| Watch::none())
    }

    /// Does something with the folder that may take as long as its file system does.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let folder = self.surroundings.folder.clone();
        spawn_blocking(move || work(&folder)).await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
    }

    /// What an archive is now, if it is there.
    async fn identity(&self, name: &str) -> Option<Identity> {
        let name = name.to_owned();
        self.on_thread(move |folder| Identity::now(&folder.join(name))).await.ok()
    }

    /// Finds the archives some of whose images the runtime has lost, so that they are imported again.
    async fn find_lost_images(&mut self) {
        if self.memory.names().is_empty() {
            return;
        }
        match containerd::images(&self.surroundings.cri).await {
            Ok(found) => {
                // A name that stands for something else by now was given to it later, by a registry or by hand.
                let there: BTreeSet<String> = found.into_iter().map(|image| image.name).collect();
                self.again = self.memory.lost(&there);
            }
            Err(status) => warn!(error = status.message(), "cannot ask containerd for its images"),
        }
        self.names.set(self.memory.names());
    }

    /// Imports what is new, and lets go of what is gone.
    async fn look(&mut self, watch: &Watch) -> Looked {
        let listing = match self.on_thread(folder::list).await {
            Ok(listing) => listing,
            Err(error) => {
                let folder = self.surroundings.folder.display();
                warn!(%error, %folder, "cannot list the folder of image archives");
                return Looked::default();
            }
        };
        self.tell_of_others(&listing);
        self.refused.retain(|name, _| listing.archives.contains_key(name));
        self.again.retain(|name| listing.has(name));
        let mut is_changed = self.memory.retain(|name| listing.has(name));
        let mut is_done = true;
        let Listing { place, archives, is_on_network, .. } = listing;
        let mut new: Vec<(String, Identity)> = archives.into_iter().collect();
        new.retain(|(name, identity)| {
            let is_known = self.memory.identity(name) == Some(*identity) && !self.again.contains(name);
            let is_refused = self.refused.get(name) == Some(identity);
            !is_known && !is_refused && !watch.is_unfinished(&self.surroundings.folder.join(name))
        });
        self.memory.sort(&mut new);
        for (name, identity) in new {
            match self.import(&name, identity, None).await {
                Ok(images) => {
                    self.refused.remove(&name);
                    self.again.remove(&name);
                    self.memory.imported(name, identity, images);
                    // Already, for the next archive may be a large one.
                    self.names.set(self.memory.names());
                    self.imports.send_modify(|imports| *imports += 1);
                    is_changed = true;
                }
                Err(problem) => is_done &= self.tell_of(&name, identity, &problem).await,
            }
        }
        if is_changed {
            self.names.set(self.memory.names());
            // Before anything is unpinned: what is cut short is done when the agent starts again.
            self.remember();
        }
        is_done &= self.let_go().await;
        Looked { is_done, place: Some(place), is_on_network }
    }

    fn tell_of_others(&mut self, listing: &Listing) {
        for name in &listing.others {
            if self.told.insert(name.clone()) {
                warn!(
                    file = name,
                    "ignored among the image archives: the name does not end in .tar, .tar.gz or .tar.zst"
                );
            }
        }
        for (name, error) in &listing.unknown {
            if self.told.insert(name.clone()) {
                warn!(file = name, error, "cannot find out what is among the image archives here");
            }
        }
    }

    fn remember(&self) {
        if let Err(error) = self.memory.write() {
            warn!(error = error_chain(&error), "cannot remember which archives were imported");
        }
    }

    /// Imports an archive, or one image of it. Returns all that it holds.
    async fn import(
        &mut self,
        name: &str,
        identity: Identity,
        only: Option<&str>,
    ) -> Result<Vec<Given>, Problem> {
        let path = self.surroundings.folder.join(name);
        let contents = survey(&path, keep::digest_of(name), &self.platform).await?;
        if self.identity(name).await != Some(identity) {
            return Err(Problem::Changed);
        }
        let Contents { mut images, left_out } = contents;
        let held: Vec<Given> = images.iter().map(Given::of).collect();
        let others = choose(&mut images, only, &self.memory.before(name, identity));
        let import = Import { images: &images, archive: Some(&path), existing: Existing::Replace };
        let brought = import.bring(&self.surroundings.cri, &mut |_| {}).await?;
        if self.memory.announce(&held) {
            // Whoever cuts the power must not leave what nobody unpins any more.
            self.remember();
        }
        brought.give_names(&self.surroundings.cri).await?;
        let names: Vec<&str> = images.iter().flat_map(|image| &image.names).map(String::as_str).collect();
        let names = names.join(", ");
        info!(archive = name, images = names, ?left_out, left_to_others = ?others, "image archive imported");
        if !names.is_empty() {
            let message = format!("Imported {names} from {}", path.display());
            self.event(EventKind::Normal, "ImageArchiveImported", message);
        }
        Ok(held)
    }

    /// Tells why an archive was not imported. Says whether that is final.
    async fn tell_of(&mut self, name: &str, identity: Identity, problem: &Problem) -> bool {
        let path = self.surroundings.folder.join(name);
        if self.identity(name).await != Some(identity) {
            // It is being written or gone; a hint tells when that is over.
            return true;
        }
        let text = error_chain(problem);
        warn!(archive = name, problem = text, "image archive not imported");
        let message = format!("Failed to import the images of {}: {text}", path.display());
        self.event(EventKind::Warning, "ImageArchiveRefused", message);
        if problem.is_final() {
            self.refused.insert(name.to_owned(), identity);
        }
        problem.is_final()
    }

    /// Sees to it that the runtime has an image.
    async fn answer(&mut self, ask: Ask) {
        let Ask { name, answer } = ask;
        let is_there = match containerd::image(&self.surroundings.cri, &name).await {
            Ok(found) => found.is_some(),
            Err(_) => false,
        };
        // Whoever asked may have gone.
        let _ = answer.send(is_there || self.restore(&name).await);
    }

    async fn restore(&mut self, name: &str) -> bool {
        for archive in self.memory.with(name) {
            let Some(identity) = self.memory.identity(&archive) else { continue };
            match self.import(&archive, identity, Some(name)).await {
                Ok(_) => return true,
                Err(problem) => {
                    let problem = error_chain(&problem);
                    warn!(image = name, archive, problem, "cannot import the image again");
                }
            }
        }
        false
    }

    fn event(&self, kind: EventKind, reason: &str, message: String) {
        let Some(node) = self.surroundings.board.node() else { return };
        self.surroundings.board.record(EventDraft {
            regarding: reference_to(&*node),
            kind,
            reason: reason.to_owned(),
            message,
            component: "daemonlet",
            at: self.surroundings.clock.wall(),
        });
    }
}
