//! An image registry on the loopback: as much of the distribution protocol as a pull needs, and a hand on how fast it answers.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path as UrlPath, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::images;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// How much of a blob goes out while blobs are held up: containerd writes it down by the mebibyte.
const HELD_AFTER: usize = 1_500_000;
const BALLAST: usize = 2_000_000;

/// A registry that has one image, a busybox, under every name and tag. It ends with the test.
#[derive(Debug)]
pub(crate) struct Registry {
    address: SocketAddr,
    content: Arc<Content>,
    held: watch::Sender<bool>,
}

#[derive(Debug)]
struct Content {
    manifest: Bytes,
    blobs: BTreeMap<String, Bytes>,
    /// The value of the header that opens it; none where it is open to all.
    key: Option<String>,
    held: watch::Receiver<bool>,
    sending: AtomicUsize,
}

impl Registry {
    /// Open to everybody.
    pub(crate) fn open(directory: &Path) -> Self {
        Self::start(directory, None)
    }

    /// Open to one user.
    pub(crate) fn private(directory: &Path, user: &str, password: &str) -> Self {
        Self::start(
            directory,
            Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))),
        )
    }

    fn start(directory: &Path, key: Option<String>) -> Self {
        let (manifest, blobs) = image(directory);
        let (held, watched) = watch::channel(false);
        let content = Arc::new(Content { manifest, blobs, key, held: watched, sending: AtomicUsize::new(0) });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/v2/", axum::routing::get(async || StatusCode::OK))
            .route("/v2/{name}/manifests/{reference}", axum::routing::get(manifest_of))
            .route("/v2/{name}/blobs/{digest}", axum::routing::get(blob_of))
            .with_state(Arc::clone(&content));
        thread::spawn(move || runtime.block_on(async { axum::serve(listener, router).await }));
        Self { address, content, held }
    }

    /// The name of its image under `tag`.
    pub(crate) fn image(&self, tag: &str) -> String {
        format!("{}/busybox:{tag}", self.address)
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on large blobs stop in their middle, until they are held up no more.
    pub(crate) fn hold_up(&self, hold_up: bool) {
        self.held.send_replace(hold_up);
    }

    /// How many blobs it is in the middle of sending.
    pub(crate) fn sending(&self) -> usize {
        self.content.sending.load(Ordering::SeqCst)
    }
}

/// The manifest and the blobs of an image: busybox, and a layer that no runtime of a test has yet.
fn image(directory: &Path) -> (Bytes, BTreeMap<String, Bytes>) {
    let directory = directory.join("registry");
    let ballast = "ballast ".repeat(BALLAST / 8);
    let packed = images::busybox_with(&directory, "busybox:served", &json!({}), &[("ballast", &ballast)]);
    let unpacked = packed.with_extension("");
    let mut blobs = BTreeMap::new();
    let mut blob = |file: &str, media_type: &str| -> Value {
        let bytes = Bytes::from(fs::read(unpacked.join(file)).unwrap());
        let digest = format!("sha256:{:x}", Sha256::digest(&bytes));
        let described = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        blobs.insert(digest, bytes);
        described
    };
    let config = blob("config.json", "application/vnd.oci.image.config.v1+json");
    let layers = ["layer.tar", "top.tar"].map(|file| blob(file, "application/vnd.oci.image.layer.v1.tar"));
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
    (manifest.to_string().into(), blobs)
}

impl Content {
    fn refusal(&self, headers: &HeaderMap) -> Option<Response> {
        let key = self.key.as_deref()?;
        let is_open = headers.get(AUTHORIZATION).is_some_and(|value| value == key);
        (!is_open)
            .then(|| (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Basic realm=\"test\"")]).into_response())
    }
}

async fn manifest_of(State(content): State<Arc<Content>>, headers: HeaderMap) -> Response {
    if let Some(refusal) = content.refusal(&headers) {
        return refusal;
    }
    let digest = format!("sha256:{:x}", Sha256::digest(&content.manifest));
    let headers =
        [(CONTENT_TYPE, MANIFEST.to_owned()), (HeaderName::from_static("docker-content-digest"), digest)];
    (headers, content.manifest.clone()).into_response()
}

async fn blob_of(
    State(content): State<Arc<Content>>,
    UrlPath((_, digest)): UrlPath<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Some(refusal) = content.refusal(&headers) {
        return refusal;
    }
    let Some(bytes) = content.blobs.get(&digest).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let length = [(CONTENT_LENGTH, bytes.len())];
    let (parts, body) = mpsc::channel(1);
    tokio::spawn(async move {
        content.sending.fetch_add(1, Ordering::SeqCst);
        send(&content, bytes, &parts).await;
        content.sending.fetch_sub(1, Ordering::SeqCst);
    });
    (length, Body::from_stream(ReceiverStream::new(body))).into_response()
}

/// Sends a blob, as long as somebody takes it.
async fn send(content: &Content, mut bytes: Bytes, parts: &mpsc::Sender<Result<Bytes, std::io::Error>>) {
    let mut held = content.held.clone();
    let first = bytes.split_to(HELD_AFTER.min(bytes.len()));
    if parts.send(Ok(first)).await.is_err() || bytes.is_empty() {
        return;
    }
    tokio::select! {
        () = parts.closed() => return,
        _ = held.wait_for(|held| !held) => {}
    }
    let _ = parts.send(Ok(bytes)).await;
}
