//! Removes images that nobody needs when their disk fills.
//!
//! Looks at the disk every five minutes, as a kubelet does. The runtime is asked when it is too full; when containers or DaemonSets have changed
//! since the last look, so that each image's age and last use are known once it matters; and once an hour, for what others pull. What may go is
//! decided in [`garbage`](crate::image::garbage). A node that runs short of disk asks for everything to go that may. Nothing is removed before the
//! store has been read and it is known which templates count: an image may be wanted by a DaemonSet not yet known. What can't be found out removes
//! nothing, and is told. Rule: `pkg/kubelet/images/image_gc_manager.go` and `StartGarbageCollection` of `pkg/kubelet/kubelet.go`.

mod error;
mod sight;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tonic::Code;
use tracing::{info, warn};

use self::error::GcError;
use self::sight::Sight;
use super::eviction::ImagesAsked;
use crate::board::{Board, EventDraft, EventKind, reference_to};
use crate::clock::Clock;
use crate::containerd;
use crate::cri::proto::Image;
use crate::cri::{CriClient, ImageRef};
use crate::error_chain::error_chain;
use crate::image::ImageName;
use crate::image::garbage::{History, Thresholds, TooYoung, Usage, Wanted, images_of};
use crate::pod::aggregate::aggregate;
use crate::store::{Freshness, Snapshot};

const EVERY: Duration = Duration::from_secs(300);
/// Images that are too young are waited for no shorter than this.
const SOONEST: Duration = Duration::from_secs(60);

/// Says how full the file system of a path is. Blocks.
pub(super) type Disk = Arc<dyn Fn(&Path) -> io::Result<Usage> + Send + Sync>;

/// The images that templates name which count beside the store's; nothing until that is known.
pub(super) type Kept = Option<BTreeSet<String>>;

/// Removes images for as long as the agent runs.
pub(super) struct ImageGc {
    pub(super) thresholds: Thresholds,
    pub(super) clock: Clock,
    pub(super) cri: CriClient,
    pub(super) board: Arc<Board>,
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(super) kept: watch::Receiver<Kept>,
    pub(super) disk: Disk,
    /// Who asks for everything to go that nobody needs.
    pub(super) asked: mpsc::Receiver<ImagesAsked>,
}

/// What is remembered from look to look.
#[derive(Default)]
struct Memory {
    history: History,
    mount_point: Option<PathBuf>,
    /// What the images were noted by.
    noted: Option<Sight>,
}

impl ImageGc {
    pub(super) async fn run(mut self) {
        let is_known = |snapshot: &Arc<Snapshot>| snapshot.freshness != Freshness::Unknown;
        if self.snapshots.wait_for(is_known).await.is_err()
            || self.kept.wait_for(Kept::is_some).await.is_err()
        {
            return;
        }
        let mut memory = Memory::default();
        let mut failures = 0_u32;
        loop {
            let pause = match self.look(&mut memory).await {
                Ok(pause) => {
                    failures = 0;
                    pause
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    self.tell_of_error(&error, failures);
                    EVERY
                }
            };
            self.obey_until(Instant::now() + pause, &mut memory).await;
        }
    }

    /// Does what is asked for until it is time to look again: a node that runs short asks often.
    async fn obey_until(&mut self, next: Instant, memory: &mut Memory) {
        loop {
            tokio::select! {
                () = sleep_until(next) => return,
                // Whoever asks waits until the request is dropped.
                Some(asked) = self.asked.recv() => {
                    // Who has given up meanwhile asks again if it must. What was just pulled is named by the manifest that it was pulled
                    // for, so no image is too young.
                    if !asked.is_closed() && let Err(error) = self.free(memory, u64::MAX, Duration::ZERO).await {
                        warn!(error = error_chain(&error), "cannot remove images");
                    }
                }
            }
        }
    }

    /// Frees what must be freed, if anything must, and says when to look again.
    async fn look(&mut self, memory: &mut Memory) -> Result<Duration, GcError> {
        let path = match &memory.mount_point {
            Some(known) => known.clone(),
            None => memory.mount_point.insert(self.mount_point().await?).clone(),
        };
        let usage = self.usage(path).await?;
        if let Some(must_free) = self.thresholds.must_free(usage)? {
            return self.make_room(memory, must_free).await;
        }
        if self.is_to_note(memory)
            && let Err(error) = self.note(memory).await
        {
            warn!(error = error_chain(&error), "cannot note which images are in use");
        }
        Ok(EVERY)
    }

    /// Frees so many bytes of a disk that is too full, and says when to look again.
    async fn make_room(&mut self, memory: &mut Memory, must_free: u64) -> Result<Duration, GcError> {
        let (freed, too_young) = self.free(memory, must_free, self.thresholds.min_age).await?;
        let missing = must_free.saturating_sub(freed);
        if missing == 0 {
            return Ok(EVERY);
        }
        // What may go at the next look has failed nobody yet.
        match too_young.enough_in(missing).filter(|wait| *wait <= EVERY) {
            Some(wait) => {
                info!(missing, ?wait, "the disk is full, and what nobody needs is too young to go yet");
                Ok(wait.max(SOONEST))
            }
            None => Err(GcError::TooLittle { wanted: must_free, freed }),
        }
    }

    /// Removes images that nobody needs until so many bytes are free. How many are, and what was too young to go.
    async fn free(
        &mut self,
        memory: &mut Memory,
        must_free: u64,
        min_age: Duration,
    ) -> Result<(u64, TooYoung), GcError> {
        let (images, wanted) = self.note(memory).await?;
        let found = memory.history.removable(&images, &wanted, min_age, self.clock.monotonic())?;
        let (mut freed, mut problems) = (0_u64, Vec::new());
        for image in found.now {
            if freed >= must_free {
                break;
            }
            match self.cri.remove_image(&ImageRef::from(image.id.as_str())).await {
                Ok(()) => {
                    info!(image = image.id, names = ?image.repo_tags, bytes = image.size, "image removed, the disk is full");
                    freed = freed.saturating_add(image.size);
                }
                Err(error) => {
                    warn!(image = image.id, %error, "cannot remove the image");
                    problems.push(error.rpc_text());
                }
            }
        }
        if problems.is_empty() {
            Ok((freed, found.too_young))
        } else {
            Err(GcError::Removal { wanted: must_free, freed, problem: aggregate(problems) })
        }
    }

    /// Whether images may have come, or gone out of use, since they were noted.
    fn is_to_note(&self, memory: &Memory) -> bool {
        let is_over = |noted: &Sight| noted.differs(&self.board.pods(), self.clock.monotonic());
        memory.noted.as_ref().is_none_or(is_over)
            || self.snapshots.has_changed().unwrap_or_default()
            || self.kept.has_changed().unwrap_or_default()
    }

    /// Takes note of what is there and what of it must stay.
    async fn note(&mut self, memory: &mut Memory) -> Result<(Vec<Image>, Wanted), GcError> {
        // Before anything is asked: what changes meanwhile has it noted again.
        let sight = Sight::of(&self.board.pods(), self.clock.monotonic());
        let (images, wanted) = (self.cri.list_images().await?, self.wanted().await?);
        memory.history.note(&images, &wanted, self.clock.monotonic());
        memory.noted = Some(sight);
        Ok((images, wanted))
    }

    async fn mount_point(&self) -> Result<PathBuf, GcError> {
        let info = self.cri.image_fs_info().await?;
        let first = info.image_filesystems.into_iter().next();
        let mount_point = first.and_then(|system| system.fs_id).map(|id| PathBuf::from(id.mountpoint));
        mount_point.ok_or(GcError::NoMountPoint)
    }

    /// How full the disk is; asked on a thread of its own, for it may hang.
    async fn usage(&self, path: PathBuf) -> Result<Usage, GcError> {
        let (disk, asked) = (Arc::clone(&self.disk), path.clone());
        let answer =
            spawn_blocking(move || disk(&asked)).await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        answer.map_err(|source| GcError::Disk { path, source })
    }

    async fn wanted(&mut self) -> Result<Wanted, GcError> {
        let mut wanted = Wanted::default();
        // containerd's CRI tells of pins only since 1.7; the labels count in all of them.
        match containerd::pinned_images(&self.cri).await {
            Ok(pinned) => wanted.used.extend(pinned.into_iter().map(|image| image.name)),
            Err(status) if status.code() == Code::Unimplemented => {}
            Err(status) => return Err(GcError::Pinned(Box::new(status))),
        }
        // Everybody's containers, not only ours: a removal would break theirs, too.
        for container in self.cri.list_containers(&[].into()).await? {
            wanted.used.insert(container.image_ref);
            wanted.used.extend(container.image.map(|image| image.image));
        }
        let sandbox = self.cri.sandbox_image().await?;
        wanted.sandbox = sandbox.and_then(|name| ImageName::parse(&name).ok());
        let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
        let templates =
            snapshot.objects.daemon_sets().filter_map(|set| set.spec.as_ref()?.template.spec.as_ref());
        let pods = self.board.pods();
        let specs = templates.chain(pods.iter().filter_map(|pod| pod.spec.as_ref()));
        wanted.named.extend(specs.flat_map(images_of).filter_map(|name| ImageName::parse(name).ok()));
        let kept = self.kept.borrow_and_update();
        wanted.named.extend(kept.iter().flatten().filter_map(|name| ImageName::parse(name).ok()));
        Ok(wanted)
    }

    /// Tells what hinders: in the log each time, on the node once it has happened again, as a kubelet does, and what is wrong with the disk at once.
    fn tell_of_error(&self, error: &GcError, failures: u32) {
        let problem = error_chain(error);
        warn!(problem, "cannot look after the images");
        if let Some(reason) = error.event() {
            self.event(reason, problem.clone());
        }
        if failures > 1 {
            self.event("ImageGCFailed", problem);
        }
    }

    fn event(&self, reason: &str, message: String) {
        let Some(node) = self.board.node() else { return };
        self.board.record(EventDraft {
            regarding: reference_to(&*node),
            kind: EventKind::Warning,
            reason: reason.to_owned(),
            message,
            component: "kubelet",
            at: self.clock.wall(),
        });
    }
}

/// How full the file system of a path is, as the kernel says.
pub(super) fn usage_of(path: &Path) -> io::Result<Usage> {
    let found = statvfs(path)?;
    let size = found.fragment_size();
    Ok(Usage { capacity: found.blocks() * size, available: found.blocks_available() * size })
}

#[cfg(test)]
mod tests;
