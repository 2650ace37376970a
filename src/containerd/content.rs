//! containerd's content store: blobs by their digests. It checks each digest itself before it takes a blob.

use std::collections::{BTreeMap, HashMap};

use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::{
    Info, InfoRequest, ReadContentRequest, UpdateRequest, WriteAction, WriteContentRequest,
    WriteContentResponse,
};
use prost_types::FieldMask;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

use super::in_namespace;
use super::lease::Lease;
use crate::archive::{Descriptor, Digest, Hasher};
use crate::cri::CriClient;

const REF: &str = "containerd.io/gc.ref.content.";

/// The content store, under a lease.
#[derive(Debug)]
pub(super) struct ContentStore {
    client: ContentClient<Channel>,
    lease: Lease,
}

impl ContentStore {
    pub(super) fn new(channel: &Channel, lease: Lease) -> Self {
        Self { client: ContentClient::new(channel.clone()), lease }
    }

    /// Whether a blob is there. One that is stays for as long as the lease does, and keeps its children from now on.
    pub(super) async fn has(&mut self, blob: &Descriptor, children: &[Descriptor]) -> Result<bool, Status> {
        let info = InfoRequest { digest: blob.digest.to_string() };
        match self.client.info(in_namespace(Request::new(info))).await {
            Err(status) if status.code() == Code::NotFound => return Ok(false),
            answer => drop(answer?),
        }
        self.lease.hold(blob.digest).await?;
        if !children.is_empty() {
            self.keep(blob.digest, labels(children)).await?;
        }
        Ok(true)
    }

    async fn keep(&mut self, digest: Digest, labels: HashMap<String, String>) -> Result<(), Status> {
        let paths = labels.keys().map(|label| format!("labels.{label}")).collect();
        let info = Info { digest: digest.to_string(), labels, ..Info::default() };
        let request = UpdateRequest { info: Some(info), update_mask: Some(FieldMask { paths }) };
        self.client.update(self.lease.request(request)).await.map(drop)
    }

    /// Begins to write a blob; nothing if it turns out to be there.
    pub(super) async fn begin(
        &mut self,
        blob: &Descriptor,
        children: &[Descriptor],
    ) -> Result<Option<BlobWriter>, Status> {
        let first = WriteContentRequest {
            action: WriteAction::Stat.into(),
            r#ref: format!("daemonlet-{}", blob.digest.digits()),
            total: i64::try_from(blob.size).unwrap_or(i64::MAX),
            expected: blob.digest.to_string(),
            ..WriteContentRequest::default()
        };
        let (requests, sent) = mpsc::channel(1);
        let last = WriteContentRequest {
            action: WriteAction::Commit.into(),
            labels: labels(children),
            ..first.clone()
        };
        // The channel has room for one.
        let _ = requests.try_send(first);
        let begun = async {
            let answers =
                self.client.write(self.lease.request(ReceiverStream::new(sent))).await?.into_inner();
            let mut ingest = BlobWriter { requests, answers, last, offset: 0 };
            let answer = ingest.answer().await?;
            Ok::<_, Status>((ingest, answer.offset))
        };
        let (mut ingest, offset) = match begun.await {
            Err(status) if status.code() == Code::AlreadyExists => {
                if !children.is_empty() {
                    self.keep(blob.digest, labels(children)).await?;
                }
                return Ok(None);
            }
            begun => begun?,
        };
        // All of it is there: in another namespace, or somebody was killed before he could say so.
        if offset > 0 && offset == ingest.last.total {
            ingest.offset = offset;
            ingest.commit().await?;
            return Ok(None);
        }
        // What else is there of it is written anew.
        Ok(Some(ingest))
    }
}

/// A blob that is being written.
#[derive(Debug)]
pub(super) struct BlobWriter {
    requests: mpsc::Sender<WriteContentRequest>,
    answers: Streaming<WriteContentResponse>,
    last: WriteContentRequest,
    offset: i64,
}

impl BlobWriter {
    async fn answer(&mut self) -> Result<WriteContentResponse, Status> {
        let answer = self.answers.message().await?;
        answer.ok_or_else(|| Status::unavailable("the content store ended the conversation"))
    }

    async fn send(&mut self, request: WriteContentRequest) -> Result<(), Status> {
        // Where nobody listens any more, the answer says why.
        let _ = self.requests.send(request).await;
        self.answer().await.map(drop)
    }

    pub(super) async fn write(&mut self, data: Vec<u8>) -> Result<(), Status> {
        let (offset, length) = (self.offset, i64::try_from(data.len()).unwrap_or(i64::MAX));
        let request = WriteContentRequest {
            action: WriteAction::Write.into(),
            r#ref: self.last.r#ref.clone(),
            offset,
            data,
            ..WriteContentRequest::default()
        };
        self.offset += length;
        self.send(request).await
    }

    /// Ends it: the content store looks whether it is what it should be.
    pub(super) async fn commit(mut self) -> Result<(), Status> {
        let request = WriteContentRequest { offset: self.offset, ..self.last.clone() };
        match self.send(request).await {
            Err(status) if status.code() == Code::AlreadyExists => Ok(()),
            answer => answer,
        }
    }
}

/// The labels by which containerd's garbage collection follows what a blob names (`images/mediatypes.go`, `ChildGCLabels`).
fn labels(children: &[Descriptor]) -> HashMap<String, String> {
    let (mut labels, mut counts) = (HashMap::new(), BTreeMap::new());
    for child in children {
        let key = if child.is_config() {
            format!("{REF}config")
        } else {
            let kind = if child.is_manifest() || child.is_index() { "m" } else { "l" };
            let count = counts.entry(kind).or_insert(0_u32);
            *count += 1;
            format!("{REF}{kind}.{}", *count - 1)
        };
        labels.insert(key, child.digest.to_string());
    }
    labels
}

/// Why a blob can't be read.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum ReadError {
    #[error("read {digest} from containerd: {}", status.message())]
    Refused { digest: Digest, status: Box<Status> },
    #[error("containerd has something else than {0} under this digest")]
    Wrong(Digest),
    #[error("pass on {digest}")]
    Passed { digest: Digest, source: std::io::Error },
}

/// Reads a blob of `size` bytes and hands it over piece by piece. Its digest is checked at the end.
///
/// # Errors
/// When it isn't there, is not what it should be, or `take` fails.
pub async fn read_blob(
    client: &CriClient,
    digest: Digest,
    size: u64,
    mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<(), ReadError> {
    let refused = |status| ReadError::Refused { digest, status: Box::new(status) };
    let mut content = ContentClient::new(client.channel());
    let request = ReadContentRequest { digest: digest.to_string(), offset: 0, size: 0 };
    let answer = content.read(in_namespace(Request::new(request))).await.map_err(refused)?;
    let (mut pieces, mut hasher, mut read) = (answer.into_inner(), Hasher::default(), 0);
    while let Some(piece) = pieces.message().await.map_err(refused)? {
        read += piece.data.len() as u64;
        if read > size {
            break;
        }
        hasher.update(&piece.data);
        take(&piece.data).map_err(|source| ReadError::Passed { digest, source })?;
    }
    if read == size && hasher.finish() == digest { Ok(()) } else { Err(ReadError::Wrong(digest)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::media_type;

    #[test]
    fn what_a_blob_names_is_kept_by_labels_as_containerds_own_client_writes_them() {
        let child = |kind: &str, content: &[u8]| Descriptor::of(kind, content);
        let layers = [child(media_type::OCI_LAYER, b"1"), child(media_type::DOCKER_LAYER_GZIP, b"2")];
        let config = child(media_type::OCI_CONFIG, b"c");
        let manifest = child(media_type::DOCKER_MANIFEST, b"m");
        let of_manifest = labels(&[config.clone(), layers[0].clone(), layers[1].clone()]);
        let expected = [
            ("containerd.io/gc.ref.content.config", &config),
            ("containerd.io/gc.ref.content.l.0", &layers[0]),
            ("containerd.io/gc.ref.content.l.1", &layers[1]),
        ];
        assert_eq!(of_manifest, expected.map(|(key, it)| (key.to_owned(), it.digest.to_string())).into());
        let of_index = labels(std::slice::from_ref(&manifest));
        assert_eq!(of_index["containerd.io/gc.ref.content.m.0"], manifest.digest.to_string());
    }
}
