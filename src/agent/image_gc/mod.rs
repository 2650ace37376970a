//! Removes images that nobody needs when their disk fills.
//!
//! Looks at the disk every five minutes, as a kubelet does, and asks the runtime only when it is too full; what may go is decided in
//! [`garbage`](crate::image::garbage). A node that runs short of disk asks for everything to go that may. Nothing is removed before the store has
//! been read: an image may be wanted by a DaemonSet not yet known. What can't be found out removes nothing, and is told.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tonic::{Code, Status};
use tracing::{info, warn};

use super::eviction::ImagesAsked;
use crate::board::{Board, EventDraft, EventKind, reference_to};
use crate::clock::Clock;
use crate::containerd;
use crate::cri::{CriClient, CriError, ImageRef};
use crate::error_chain::error_chain;
use crate::image::ImageName;
use crate::image::garbage::{History, Thresholds, UnknownSandboxImage, Usage, Wanted, images_of};
use crate::store::{Freshness, Snapshot};

const EVERY: Duration = Duration::from_secs(300);

/// Says how full the file system of a path is. Blocks.
pub(super) type Disk = Arc<dyn Fn(&Path) -> io::Result<Usage> + Send + Sync>;

/// Why images can't be looked after now.
#[derive(Debug, thiserror::Error)]
enum GcError {
    #[error(transparent)]
    Runtime(#[from] CriError),
    #[error("find out how full the disk of {} is", path.display())]
    Disk { path: PathBuf, source: io::Error },
    #[error("the runtime does not say where its images lie")]
    NoMountPoint,
    #[error(transparent)]
    Sandbox(#[from] UnknownSandboxImage),
    #[error("ask containerd which images are pinned: {}", .0.message())]
    Pinned(Box<Status>),
}

/// Removes images for as long as the agent runs.
pub(super) struct ImageGc {
    pub(super) thresholds: Thresholds,
    pub(super) clock: Clock,
    pub(super) cri: CriClient,
    pub(super) board: Arc<Board>,
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(super) disk: Disk,
    /// Who asks for everything to go that nobody needs.
    pub(super) asked: mpsc::Receiver<ImagesAsked>,
}

impl ImageGc {
    pub(super) async fn run(mut self) {
        let is_known = |snapshot: &Arc<Snapshot>| snapshot.freshness != Freshness::Unknown;
        if self.snapshots.wait_for(is_known).await.is_err() {
            return;
        }
        let (mut history, mut mount_point) = (History::default(), None);
        let mut failures = 0_u32;
        loop {
            let pause = match self.look(&mut history, &mut mount_point).await {
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
            tokio::select! {
                () = sleep(pause) => {}
                // Whoever asks waits until the request is dropped.
                Some(asked) = self.asked.recv() => {
                    // Who has given up meanwhile asks again if it must. What was just pulled is named by the manifest that it was pulled
                    // for, so no image is too young.
                    if !asked.is_closed() && let Err(error) = self.free(&mut history, u64::MAX, Duration::ZERO).await {
                        warn!(error = error_chain(&error), "cannot remove images");
                    }
                }
            }
        }
    }

    /// Frees what must be freed, if anything must, and says when to look again.
    async fn look(
        &self,
        history: &mut History,
        mount_point: &mut Option<PathBuf>,
    ) -> Result<Duration, GcError> {
        let path = match mount_point {
            Some(known) => known.clone(),
            None => mount_point.insert(self.mount_point().await?).clone(),
        };
        let usage = self.usage(path).await?;
        let Some(must_free) = self.thresholds.must_free(usage) else { return Ok(EVERY) };
        let freed = self.free(history, must_free, self.thresholds.min_age).await?;
        if freed < must_free {
            self.tell_of_failure(must_free, freed);
        }
        // Images seen for the first time are old enough then.
        Ok(self.thresholds.min_age.clamp(Duration::from_secs(1), EVERY))
    }

    /// Removes images that nobody needs until so many bytes are free. How many are.
    async fn free(&self, history: &mut History, must_free: u64, min_age: Duration) -> Result<u64, GcError> {
        let (images, wanted, now) =
            (self.cri.list_images().await?, self.wanted().await?, self.clock.monotonic());
        history.note(&images, &wanted, now);
        let mut freed = 0_u64;
        for image in history.removable(&images, &wanted, min_age, now)? {
            if freed >= must_free {
                break;
            }
            match self.cri.remove_image(&ImageRef::from(image.id.as_str())).await {
                Ok(()) => {
                    info!(image = image.id, names = ?image.repo_tags, bytes = image.size, "image removed, the disk is full");
                    freed = freed.saturating_add(image.size);
                }
                Err(error) => warn!(image = image.id, %error, "cannot remove the image"),
            }
        }
        Ok(freed)
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

    async fn wanted(&self) -> Result<Wanted, GcError> {
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
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let templates =
            snapshot.objects.daemon_sets().filter_map(|set| set.spec.as_ref()?.template.spec.as_ref());
        let pods = self.board.pods();
        let specs = templates.chain(pods.iter().filter_map(|pod| pod.spec.as_ref()));
        wanted.named.extend(specs.flat_map(images_of).filter_map(|name| ImageName::parse(name).ok()));
        Ok(wanted)
    }

    fn tell_of_failure(&self, wanted: u64, freed: u64) {
        let message = format!(
            "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only found {freed} bytes eligible to free."
        );
        warn!("{message}");
        self.event("FreeDiskSpaceFailed", message);
    }

    /// Tells what hinders: in the log each time, on the node once it has happened again, as a kubelet does.
    fn tell_of_error(&self, error: &GcError, failures: u32) {
        let problem = error_chain(error);
        warn!(problem, "cannot look after the images");
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
