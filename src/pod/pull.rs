//! Pulling an image through the runtime: with each credential that goes with it until one works, or once without any.
//!
//! Whose turn it is, and whether to pull at all, was decided before. Rule: `EnsureImageExists` and `PullImage` in
//! `pkg/kubelet/kuberuntime/kuberuntime_image.go`, and `PullImage` of `cri-client/pkg/remote_image.go` for the words.

use tonic::Code;

use super::aggregate::aggregate;
use crate::cri::CriClient;
use crate::cri::proto::{AuthConfig, ImageSpec, PodSandboxConfig};
use crate::image::{ImageName, Keyring};

/// The credentials to try, in their order; one that is none where there are none. The pod's own go before all of the node's, as in the
/// kubelet's union of keyrings.
pub fn credentials(own: &Keyring, of_node: &Keyring, image: &ImageName) -> Vec<Option<AuthConfig>> {
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

/// Pulls. Answers with what the runtime calls the image.
///
/// # Errors
/// The runtime's own words, of each try.
pub async fn pull(
    cri: &CriClient,
    image: &ImageSpec,
    credentials: Vec<Option<AuthConfig>>,
    sandbox: &PodSandboxConfig,
) -> Result<String, String> {
    let mut errors = Vec::new();
    for auth in credentials {
        match cri.pull_image(image.clone(), auth, sandbox.clone()).await {
            Ok(image) => return Ok(image.to_string()),
            // The code that says nothing is left out.
            Err(error) if error.code() == Code::Unknown => errors.push(error.message().to_owned()),
            Err(error) => errors.push(error.rpc_text()),
        }
    }
    Err(aggregate(errors))
}
