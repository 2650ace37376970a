//! Pulling an image through the runtime: when its turn comes, with each credential that goes with it until one works, or once without any.
//!
//! Whether to pull at all was decided before. Rule: `EnsureImageExists` and `PullImage` in `pkg/kubelet/kuberuntime/kuberuntime_image.go`, and
//! `PullImage` of `cri-client/pkg/remote_image.go` for the words.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::SemaphorePermit;
use tonic::Code;
use tracing::warn;

use super::aggregate::aggregate;
use super::context::PodContext;
use super::pull_secrets;
use super::requests::image_spec;
use crate::cri::proto::{AuthConfig, ImageSpec, PodSandboxConfig};
use crate::error_chain::error_chain;
use crate::image::{ImageName, Keyring};

/// A pull whose turn has come. Others wait until it is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    context: &'a PodContext,
    _permit: SemaphorePermit<'a>,
    image: ImageSpec,
    credentials: Result<Vec<Option<AuthConfig>>, String>,
    /// What the pod is to be told of credentials that it lacks.
    pub complaints: Vec<String>,
}

/// Waits for the turn of a pull, and finds the credentials that there are then.
///
/// # Errors
/// When the agent is going down.
pub async fn turn<'a>(context: &'a PodContext, pod: &Pod, image: &ImageName) -> Result<Turn<'a>, String> {
    let Ok(permit) = context.pulls.acquire().await else { return Err("the agent is going down".to_owned()) };
    let mut complaints = Vec::new();
    let of_node = context.node_credentials.now().await.unwrap_or_else(|problem| {
        let problem = error_chain(&problem);
        warn!(problem, "the node's image credentials can't be used");
        complaints.push(format!(
            "Unable to use the node's image credentials ({problem}); attempting to pull the image may not succeed."
        ));
        Arc::default()
    });
    let own = pull_secrets::read(pod, &context.objects.borrow());
    if !own.missing.is_empty() {
        complaints.push(format!(
            "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
            own.missing.join(", ")
        ));
    }
    let credentials = match own.unusable.first() {
        Some(problem) => Err(error_chain(problem)),
        None => Ok(credentials(&own.keyring, &of_node, image)),
    };
    Ok(Turn { context, _permit: permit, image: image_spec(pod, image), credentials, complaints })
}

impl Turn<'_> {
    /// Pulls. Answers with what the runtime calls the image.
    ///
    /// # Errors
    /// The runtime's own words, of each try, or why the credentials can't be used.
    pub async fn pull(&self, sandbox: &PodSandboxConfig) -> Result<String, String> {
        let mut errors = Vec::new();
        for auth in self.credentials.clone()? {
            match self.context.cri.pull_image(self.image.clone(), auth, sandbox.clone()).await {
                Ok(image) => return Ok(image.to_string()),
                // The code that says nothing is left out.
                Err(error) if error.code() == Code::Unknown => errors.push(error.message().to_owned()),
                Err(error) => errors.push(error.rpc_text()),
            }
        }
        Err(aggregate(errors))
    }
}

/// The credentials to try, in their order; one that is none where there are none. The pod's own go before all of the node's, as in the
/// kubelet's union of keyrings.
fn credentials(own: &Keyring, of_node: &Keyring, image: &ImageName) -> Vec<Option<AuthConfig>> {
    let known = own.lookup(image).into_iter().chain(of_node.lookup(image));
    let mut credentials: Vec<Option<AuthConfig>> = known
        .map(|credential| {
            let (username, password) = (credential.username.clone(), credential.password.clone());
            Some(AuthConfig { username, password, ..AuthConfig::default() })
        })
        .collect();
    if credentials.is_empty() {
        credentials.push(None);
    }
    credentials
}
