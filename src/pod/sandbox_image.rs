//! The image that the runtime makes sandboxes from: without it no pod starts, and a node may have no registry to get it from.
//!
//! Looked for once, and again after a sandbox could not be made. If it is missing it is taken from the node's archives, else pulled, else the
//! built-in one is imported under exactly its name. What is there is never replaced. A runtime that doesn't name its image looks after it
//! itself, as a kubelet leaves it to do.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::archive::normalized;
use crate::board::{Board, EventDraft, EventKind, reference_to};
use crate::clock::Clock;
use crate::containerd::{Existing, Import, built_in_sandbox_image};
use crate::cri::CriClient;
use crate::cri::proto::{ImageSpec, PodSandboxConfig};
use crate::error_chain::error_chain;
use crate::image::ImageName;
use crate::preload::Preload;

/// A registry that takes longer for an image of half a megabyte is not to be had; pods wait for it.
const PULL_WITHIN: Duration = Duration::from_secs(60);

/// Who is asked about the sandbox image, and told.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The runtime.
    pub cri: CriClient,
    /// The node's archives.
    pub preload: Preload,
    /// Whether the built-in image may be imported.
    pub built_in: bool,
    /// Where Events go.
    pub board: Arc<Board>,
    /// The agent's clocks.
    pub clock: Clock,
}

/// What sandboxes are made from.
#[derive(Debug)]
pub struct SandboxImage {
    surroundings: Option<Surroundings>,
    /// Whether it was found. Held while it is looked for: all pods wait for one look.
    is_there: Mutex<bool>,
}

impl SandboxImage {
    /// It is seen to.
    pub fn new(surroundings: Surroundings) -> Self {
        Self { surroundings: Some(surroundings), is_there: Mutex::new(false) }
    }

    /// Nobody but the runtime sees to it.
    pub fn left_to_the_runtime() -> Self {
        Self { surroundings: None, is_there: Mutex::new(false) }
    }

    /// Sees to it that it is there, if that can be done. The runtime tells what is wrong if not.
    pub async fn ensure(&self) {
        let Some(surroundings) = &self.surroundings else { return };
        let mut is_there = self.is_there.lock().await;
        if !*is_there {
            *is_there = surroundings.find().await;
        }
    }

    /// A sandbox could not be made: it is looked for again before the next one is.
    pub async fn doubt(&self) {
        *self.is_there.lock().await = false;
    }
}

impl Surroundings {
    /// Looks for it everywhere. Whether there is nothing more to look for.
    async fn find(&self) -> bool {
        let written = match self.cri.sandbox_image().await {
            Ok(Some(written)) => written,
            Ok(None) => return true,
            Err(error) => {
                warn!(%error, "cannot ask the runtime for its sandbox image");
                return false;
            }
        };
        let Ok(name) = ImageName::parse(&written) else { return true };
        let spec = ImageSpec { image: name.with_default_tag(), ..ImageSpec::default() };
        match self.cri.image_status(spec.clone()).await {
            Ok(None) => {}
            Ok(Some(_)) => return true,
            Err(error) => {
                warn!(%error, "cannot ask the runtime for its sandbox image");
                return false;
            }
        }
        if self.preload.restore(&name).await {
            return true;
        }
        if !self.built_in {
            return true;
        }
        info!(image = written, "the sandbox image is missing and is pulled");
        let pull = self.cri.pull_image(spec, None, PodSandboxConfig::default());
        let problem = match timeout(PULL_WITHIN, pull).await {
            Ok(Ok(_)) => return true,
            Ok(Err(error)) => error.message().to_owned(),
            Err(_) => format!("it takes longer than {PULL_WITHIN:?}"),
        };
        self.import_built_in(&written, &problem).await
    }

    async fn import_built_in(&self, written: &str, problem: &str) -> bool {
        let Some(image) = normalized(written).and_then(|name| built_in_sandbox_image(&name)) else {
            warn!(
                image = written,
                problem, "the sandbox image is missing, and there is no built-in one here"
            );
            return true;
        };
        let images = std::slice::from_ref(&image);
        let import = Import { images, archive: None, existing: Existing::Keep };
        match import.run(&self.cri, &mut |_| {}).await {
            Ok(()) => {
                warn!(
                    image = written,
                    problem, "the sandbox image can't be pulled; the built-in one is used"
                );
                let message = format!(
                    "Imported the built-in sandbox image as {written}, which can't be pulled: {problem}"
                );
                self.event(message);
                true
            }
            Err(error) => {
                warn!(
                    image = written,
                    problem = error_chain(&error),
                    "cannot import the built-in sandbox image"
                );
                false
            }
        }
    }

    fn event(&self, message: String) {
        let Some(node) = self.board.node() else { return };
        self.board.record(EventDraft {
            regarding: reference_to(&*node),
            kind: EventKind::Warning,
            reason: "BuiltInSandboxImage".to_owned(),
            message,
            component: "daemonlet",
            at: self.clock.wall(),
        });
    }
}
