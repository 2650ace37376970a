//! What containerd is receiving right now: the blobs of images that are being pulled. The CRI tells nothing of a pull until it is over.

use containerd_client::services::v1::ListStatusesRequest;
use containerd_client::services::v1::content_client::ContentClient;
use tonic::{Request, Status};

use super::in_namespace;
use crate::cri::CriClient;

/// A blob that is not whole yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingest {
    /// What containerd calls it: `layer-sha256:…`, `config-sha256:…` …
    pub name: String,
    /// How many bytes of it are there.
    pub received: u64,
    /// How many bytes it has.
    pub size: u64,
}

/// All blobs that are being received, by whichever client of containerd's CRI namespace.
///
/// # Errors
/// `Unimplemented` where the runtime is not containerd.
pub async fn ingests(client: &CriClient) -> Result<Vec<Ingest>, Status> {
    let request = in_namespace(Request::new(ListStatusesRequest { filters: Vec::new() }));
    let answer = ContentClient::new(client.channel()).list_statuses(request).await?.into_inner();
    let bytes = |count: i64| u64::try_from(count).unwrap_or_default();
    let ingest = |status: containerd_client::services::v1::Status| Ingest {
        name: status.r#ref,
        received: bytes(status.offset),
        size: bytes(status.total),
    };
    Ok(answer.statuses.into_iter().map(ingest).collect())
}
