//! A pull that takes long, and how far it is.
//!
//! The CRI tells nothing of a pull until it is over; containerd's own API tells what is being received. It has no event for it, so it is
//! asked now and then, for as long as a pull goes on and no longer.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tonic::Code;

use super::Worker;
use crate::containerd;
use crate::image::{ImageName, PullProgress, Pulling};
use crate::pod::pull;

/// How often it is asked how far a pull is. People look; nothing depends on it.
const LOOK: Duration = Duration::from_secs(2);

impl Worker {
    /// Pulls the image for a container. Answers with what the runtime calls it and when the pull itself began, or with the runtime's words.
    pub(super) async fn pull_in_turn(
        &mut self,
        container: &str,
        name: &ImageName,
    ) -> Result<(String, Duration), String> {
        let context = Arc::clone(&self.context);
        let pod = Arc::clone(&self.record.pod);
        let turn = self.meanwhile(pull::turn(&context, &pod, name)).await?;
        let begun = context.clock.monotonic();
        for complaint in &turn.complaints {
            self.complain("FailedToRetrieveImagePullSecret", complaint);
        }
        let sandbox = self.sandbox_config_now().unwrap_or_default();
        let mut pulled = pin!(turn.pull(&sandbox));
        let mut progress = Some(PullProgress::default());
        let news = Arc::clone(&self.probe_news);
        let pulled = loop {
            tokio::select! {
                pulled = &mut pulled => break pulled,
                () = news.notified() => self.hear_probes(),
                () = sleep(LOOK), if progress.is_some() => {
                    progress = self.show_progress(progress.take().unwrap_or_default(), container, name).await;
                }
            }
        };
        self.pulling = None;
        Ok((pulled?, begun))
    }

    /// Shows how far the pull is. Nothing comes back where the runtime can't tell.
    async fn show_progress(
        &mut self,
        mut progress: PullProgress,
        container: &str,
        name: &ImageName,
    ) -> Option<PullProgress> {
        match timeout(LOOK, containerd::ingests(&self.context.cri)).await {
            Ok(Ok(ingests)) => {
                progress.note(ingests.into_iter().map(|ingest| (ingest.name, ingest.received, ingest.size)));
            }
            Ok(Err(status)) if status.code() == Code::Unimplemented => return None,
            Ok(Err(_)) | Err(_) => return Some(progress),
        }
        if !progress.is_empty() {
            let (container, image) = (container.to_owned(), name.as_written().to_owned());
            self.pulling = Some(Box::new(Pulling { container, image, received: progress.so_far() }));
            self.report();
        }
        Some(progress)
    }
}
