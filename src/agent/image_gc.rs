//! Removes images that nobody needs when their disk fills.
//!
//! Looks at the disk every five minutes, as a kubelet does, and asks the runtime only when it is too full; what may go is decided in
//! [`garbage`](crate::image::garbage). A node that runs short of disk asks for everything to go that may. Nothing is removed before the store has been read: an image may be wanted by a DaemonSet not yet known.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::{info, warn};

use super::eviction::ImagesAsked;
use crate::board::{Board, EventDraft, EventKind, reference_to};
use crate::clock::Clock;
use crate::cri::{CriClient, CriError, ImageRef};
use crate::image::ImageName;
use crate::image::garbage::{History, Thresholds, Usage, Wanted};
use crate::store::{Freshness, Snapshot};

const EVERY: Duration = Duration::from_secs(300);

/// Removes images for as long as the agent runs.
#[derive(Debug)]
pub(super) struct ImageGc {
    pub(super) thresholds: Thresholds,
    pub(super) clock: Clock,
    pub(super) cri: CriClient,
    pub(super) board: Arc<Board>,
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
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
        loop {
            let pause = match self.look(&mut history, &mut mount_point).await {
                Ok(pause) => pause,
                Err(error) => {
                    warn!(%error, "cannot look after the images");
                    EVERY
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                // Whoever asks waits until the request is dropped.
                Some(_asked) = self.asked.recv() => {
                    // What was just pulled is named by the manifest that it was pulled for, so no image is too young.
                    if let Err(error) = self.free(&mut history, u64::MAX, Duration::ZERO).await {
                        warn!(%error, "cannot remove images");
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
    ) -> Result<Duration, CriError> {
        if mount_point.is_none() {
            *mount_point = self.mount_point().await?;
        }
        let Some(usage) = mount_point.as_deref().and_then(usage_of) else { return Ok(EVERY) };
        let Some(must_free) = self.thresholds.must_free(usage) else { return Ok(EVERY) };
        let freed = self.free(history, must_free, self.thresholds.min_age).await?;
        if freed < must_free {
            self.tell_of_failure(must_free, freed);
        }
        // Images seen for the first time are old enough then.
        Ok(self.thresholds.min_age.clamp(Duration::from_secs(1), EVERY))
    }

    /// Removes images that nobody needs until so many bytes are free. How many are.
    async fn free(&self, history: &mut History, must_free: u64, min_age: Duration) -> Result<u64, CriError> {
        let (images, wanted, now) =
            (self.cri.list_images().await?, self.wanted().await?, self.clock.monotonic());
        history.note(&images, &wanted, now);
        let mut freed = 0_u64;
        for image in history.removable(&images, &wanted, min_age, now) {
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

    async fn mount_point(&self) -> Result<Option<PathBuf>, CriError> {
        let info = self.cri.image_fs_info().await?;
        let first = info.image_filesystems.into_iter().next();
        Ok(first.and_then(|system| system.fs_id).map(|id| PathBuf::from(id.mountpoint)))
    }

    async fn wanted(&self) -> Result<Wanted, CriError> {
        let mut wanted = Wanted::default();
        // Everybody's containers, not only ours: a removal would break theirs, too.
        for container in self.cri.list_containers(&[].into()).await? {
            wanted.used.insert(container.image_ref);
            wanted.used.extend(container.image.map(|image| image.image));
        }
        let mut names: Vec<String> = self.cri.sandbox_image().await?.into_iter().collect();
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let templates =
            snapshot.objects.daemon_sets().filter_map(|set| set.spec.as_ref()?.template.spec.clone());
        let pods = self.board.pods();
        for spec in templates.chain(pods.iter().filter_map(|pod| pod.spec.clone())) {
            let init = spec.init_containers.into_iter().flatten();
            names.extend(init.chain(spec.containers).filter_map(|container| container.image));
            let volumes = spec.volumes.into_iter().flatten();
            names.extend(volumes.filter_map(|volume| volume.image?.reference));
        }
        wanted.named.extend(names.iter().filter_map(|name| ImageName::parse(name).ok()));
        Ok(wanted)
    }

    fn tell_of_failure(&self, wanted: u64, freed: u64) {
        let message = format!(
            "Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only found {freed} bytes eligible to free."
        );
        warn!("{message}");
        if let Some(node) = self.board.node() {
            self.board.record(EventDraft {
                regarding: reference_to(&*node),
                kind: EventKind::Warning,
                reason: "FreeDiskSpaceFailed".to_owned(),
                message,
                component: "kubelet",
                at: self.clock.wall(),
            });
        }
    }
}

fn usage_of(path: &Path) -> Option<Usage> {
    let found = statvfs(path)
        .inspect_err(|error| warn!(path = %path.display(), %error, "cannot look at the disk"))
        .ok()?;
    let size = found.fragment_size();
    Some(Usage { capacity: found.blocks() * size, available: found.blocks_available() * size })
}
