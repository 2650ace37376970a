//! The task that looks after the folder. One thing at a time: two imports side by side would only wait for the same disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, watch as channel};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{info, warn};

use super::folder::{self, Identity};
use super::memory::{Given, Imported, Memory};
use super::watch::Watch;
use super::{Ask, Names, Surroundings};
use crate::archive::{self, ArchiveError, Contents, Digest, Platform};
use crate::board::{EventDraft, EventKind, reference_to};
use crate::bundle::state::State;
use crate::bundle::{Bundle, BundleError, keep};
use crate::containerd::{self, Existing, Import, ImportError};
use crate::error_chain::error_chain;

/// What went wrong with the runtime may be right by then.
const RETRY: Duration = Duration::from_secs(30);
/// Without inotify.
const POLL: Duration = Duration::from_secs(60);
const BUFFER: usize = 256 * 1024;

/// Why an archive was not imported.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error("it was kept as a bundle")]
    Bundle(#[from] BundleError),
    #[error("it was kept as another bundle than it is, which has the digest {0}; apply the bundle again")]
    OtherBundle(Digest),
    #[error("it changed while it was read")]
    Changed,
}

impl Problem {
    /// Whether the archive itself is at fault, so that only another one helps.
    fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Archive(_)
                | Self::Bundle(_)
                | Self::OtherBundle(_)
                | Self::Import(ImportError::Archive { .. } | ImportError::NotContainerd)
        )
    }
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
    /// What was refused: it is not tried again until it is another.
    refused: BTreeMap<String, Identity>,
    /// Files that are no archives, told once.
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
            refused: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let folder = self.surroundings.folder.clone();
        if let Err(error) = fs::create_dir_all(&folder) {
            warn!(%error, folder = %folder.display(), "cannot make the folder of image archives");
        }
        let watch = Watch::on(&folder);
        self.forget_lost_images().await;
        loop {
            let is_done = self.look(&watch).await;
            self.looked.send_if_modified(|looked| !std::mem::replace(looked, true));
            let pause = match (is_done, watch.is_on()) {
                (false, _) => RETRY,
                (true, false) => POLL,
                (true, true) => Duration::MAX,
            };
            loop {
                tokio::select! {
                    () = watch.changed() => break,
                    () = sleep(pause) => break,
                    ask = self.asks.recv() => match ask {
                        Some(ask) => self.answer(ask).await,
                        None => return,
                    },
                }
            }
        }
    }

    /// Forgets archives some of whose images the runtime has lost, so that they are imported again.
    async fn forget_lost_images(&mut self) {
        if self.memory.archives.is_empty() {
            return;
        }
        match containerd::images(&self.surroundings.cri).await {
            Ok(found) => {
                // A name that stands for something else by now was given to it later, by a registry or by hand.
                let there: BTreeSet<String> = found.into_iter().map(|image| image.name).collect();
                self.memory.archives.retain(|_, archive| {
                    archive.images.iter().flat_map(|image| &image.names).all(|name| there.contains(name))
                });
            }
            Err(status) => warn!(error = status.message(), "cannot ask containerd for its images"),
        }
        self.names.set(self.memory.names());
    }

    /// Imports what is new, and lets go of what is gone. Says whether all was done that can be.
    async fn look(&mut self, watch: &Watch) -> bool {
        let folder = &self.surroundings.folder;
        let listing = match folder::list(folder) {
            Ok(listing) => listing,
            Err(error) => {
                warn!(%error, folder = %folder.display(), "cannot list the folder of image archives");
                return false;
            }
        };
        for name in listing.others {
            if self.told.insert(name.clone()) {
                warn!(
                    file = name,
                    "a file among the image archives is none by its name: *.tar, *.tar.gz, *.tar.zst"
                );
            }
        }
        let is_there = |name: &String, _: &mut Identity| listing.archives.contains_key(name);
        self.refused.retain(is_there);
        let before = self.memory.archives.len();
        let known = self.memory.pinned();
        self.memory.archives.retain(|name, _| listing.archives.contains_key(name));
        let (mut is_changed, mut is_done) = (self.memory.archives.len() != before, true);
        for (name, identity) in listing.archives {
            let is_known = self.memory.archives.get(&name).is_some_and(|it| it.identity == identity)
                || self.refused.get(&name) == Some(&identity);
            if is_known || watch.is_unfinished(&self.surroundings.folder.join(&name)) {
                continue;
            }
            match self.import(&name, identity, None).await {
                Ok(imported) => {
                    self.refused.remove(&name);
                    self.memory.archives.insert(name, imported);
                    // Already, for the next archive may be a large one.
                    self.names.set(self.memory.names());
                    self.imports.send_modify(|imports| *imports += 1);
                    is_changed = true;
                }
                Err(problem) => is_done &= self.tell_of(&name, identity, &problem),
            }
        }
        if is_changed {
            self.names.set(self.memory.names());
            self.let_go(&known).await;
            if let Err(error) = self.memory.write() {
                warn!(error = error_chain(&error), "cannot remember which archives were imported");
            }
        }
        is_done
    }

    /// Imports an archive, or one image of it.
    async fn import(&self, name: &str, identity: Identity, only: Option<&str>) -> Result<Imported, Problem> {
        let path = self.surroundings.folder.join(name);
        let mut contents = survey(&path, keep::digest_of(name), &self.platform).await?;
        if Identity::now(&path).ok() != Some(identity) {
            return Err(Problem::Changed);
        }
        if let Some(only) = only {
            contents.images.retain(|image| image.names.iter().any(|name| name == only));
        }
        let images = &contents.images;
        let import = Import { images, archive: Some(&path), existing: Existing::Replace };
        import.run(&self.surroundings.cri, &mut |_| {}).await?;
        let names: Vec<&str> = images.iter().flat_map(|image| &image.names).map(String::as_str).collect();
        let names = names.join(", ");
        info!(archive = name, images = names, left_out = ?contents.left_out, "image archive imported");
        let message = format!("Imported {names} from {}", path.display());
        self.event(EventKind::Normal, "ImageArchiveImported", message);
        Ok(Imported { identity, images: images.iter().map(Given::of).collect() })
    }

    /// Tells why an archive was not imported. Says whether that is final.
    fn tell_of(&mut self, name: &str, identity: Identity, problem: &Problem) -> bool {
        let path = self.surroundings.folder.join(name);
        if Identity::now(&path).ok() != Some(identity) {
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

    /// Unpins what no archive gives any more.
    async fn let_go(&self, before: &BTreeSet<String>) {
        let bundles = State::read(&self.surroundings.bundles).unwrap_or_else(|error| {
            warn!(error = error_chain(&error), "cannot read which images bundles have pinned");
            State::default()
        });
        let kept: BTreeSet<String> = self.memory.pinned().into_iter().chain(bundles.pinned()).collect();
        for name in before.difference(&kept) {
            match containerd::unpin(&self.surroundings.cri, name).await {
                Ok(()) => info!(image = name, "image unpinned: no archive has it any more"),
                Err(status) => warn!(image = name, error = status.message(), "cannot unpin the image"),
            }
        }
    }

    /// Sees to it that the runtime has an image.
    async fn answer(&self, ask: Ask) {
        let Ask { name, answer } = ask;
        let is_there = match containerd::image(&self.surroundings.cri, &name).await {
            Ok(found) => found.is_some(),
            Err(_) => false,
        };
        // Whoever asked may have gone.
        let _ = answer.send(is_there || self.restore(&name).await);
    }

    async fn restore(&self, name: &str) -> bool {
        for archive in self.memory.with(name) {
            let Some(identity) = self.memory.archives.get(&archive).map(|it| it.identity) else { continue };
            match self.import(&archive, identity, Some(name)).await {
                Ok(_) => return true,
                Err(problem) => {
                    warn!(
                        image = name,
                        archive,
                        problem = error_chain(&problem),
                        "cannot import the image again"
                    );
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

/// Reads an archive on a thread of its own; one that was kept as a bundle must be that bundle to the last byte, for nobody asks for its
/// signature any more.
async fn survey(path: &Path, kept: Option<Digest>, platform: &Platform) -> Result<Contents, Problem> {
    let (path, platform): (PathBuf, Platform) = (path.to_owned(), platform.clone());
    let read = spawn_blocking(move || look_into(&path, kept, &platform));
    read.await.unwrap_or_else(|panic| Err(ArchiveError::from(io::Error::other(panic)).into()))
}

fn look_into(path: &Path, kept: Option<Digest>, platform: &Platform) -> Result<Contents, Problem> {
    let file = File::open(path).map_err(ArchiveError::from)?;
    let Some(kept) = kept else {
        return Ok(archive::survey(BufReader::with_capacity(BUFFER, file), platform)?);
    };
    let length = file.metadata().map_err(ArchiveError::from)?.len();
    let bundle = Bundle::read(file, length, |_| {})?;
    if bundle.digest != kept {
        return Err(Problem::OtherBundle(bundle.digest));
    }
    Ok(bundle.contents(platform)?)
}
