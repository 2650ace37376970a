//! The image that the runtime makes sandboxes from: without it no pod starts, and a node may have no registry to get it from.
//!
//! Looked for once, and again after a sandbox could not be made. If it is missing it is taken from the node's archives, else pulled, else the
//! built-in one is imported under exactly its name. What is there is never replaced. containerd tells its name among its settings; since 2.0 only
//! in the refusal to make a sandbox without it. A runtime that never names its image looks after it itself, as a kubelet leaves it to do.

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
    /// Held while it is looked for: all pods wait for one look.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Whether it was found, or there is nowhere left to look.
    is_there: bool,
    /// The name that a refusal of the runtime had last.
    missed: Option<String>,
}

impl SandboxImage {
    /// It is seen to.
    pub fn new(surroundings: Surroundings) -> Self {
        Self { surroundings: Some(surroundings), known: Mutex::default() }
    }

    /// Nobody but the runtime sees to it.
    pub fn left_to_the_runtime() -> Self {
        Self { surroundings: None, known: Mutex::default() }
    }

    /// Sees to it that it is there, if that can be done. The runtime tells what is wrong if not.
    pub async fn ensure(&self) {
        let Some(surroundings) = &self.surroundings else { return };
        let mut known = self.known.lock().await;
        if !known.is_there {
            known.is_there = surroundings.find(known.missed.as_deref()).await;
        }
    }

    /// A sandbox could not be made, and this is what the runtime said: the image is looked for again before the next one is.
    pub async fn doubt(&self, refusal: &str) {
        let mut known = self.known.lock().await;
        known.is_there = false;
        if let Some(name) = missed_in(refusal) {
            known.missed = Some(name.to_owned());
        }
    }
}

impl Surroundings {
    /// Looks for it everywhere; `missed` is its name if the settings don't tell. Whether there is nothing more to look for.
    async fn find(&self, missed: Option<&str>) -> bool {
        let told = self.cri.sandbox_image().await;
        let written = match told.map(|told| told.or_else(|| missed.map(str::to_owned))) {
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

/// The sandbox image that containerd had not when it refused to make a sandbox (`podsandbox/sandbox_run.go`, the same words since 1.0).
fn missed_in(refusal: &str) -> Option<&str> {
    let (_, rest) = refusal.split_once("failed to get sandbox image \"")?;
    rest.split_once('"').map(|(name, _)| name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_image_that_was_missed() {
        let refusal = "failed to start sandbox \"631037cb\": failed to get sandbox image \"registry.k8s.io/pause:3.10\": \
                       failed to pull image \"registry.k8s.io/pause:3.10\": dial tcp: connection refused";
        assert_eq!(missed_in(refusal), Some("registry.k8s.io/pause:3.10"));
    }

    #[test]
    fn other_refusals_name_none() {
        let network = "failed to setup network for sandbox \"631037cb\": plugin type=\"bridge\" failed (add)";
        for refusal in
            [network, "failed to get sandbox image \"\": not found", "failed to get sandbox image \"cut", ""]
        {
            assert_eq!(missed_in(refusal), None, "{refusal}");
        }
    }
}
