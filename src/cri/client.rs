//! The connection to a runtime: one unix socket, made when first needed and again whenever it broke.
//!
//! What is called over it is in `runtime` and `image`. Each call has the kubelet's deadline (`cri-client`, `remote_runtime.go`),
//! sent along so that the runtime gives up too. A client never retries: whether to is its caller's to know.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tower::service_fn;

use super::error::{Call, CriError};
use super::method::{CallCount, Counts};
use super::proto::image_service_client::ImageServiceClient;
use super::proto::runtime_service_client::RuntimeServiceClient;
use super::{Endpoint, Method};

/// A listing of a crowded node is far beyond gRPC's usual 4 MiB; the kubelet allows this much.
const LARGEST_MESSAGE: usize = 16 * 1024 * 1024;

/// A socket whose owner accepts no connection is as good as none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How a client behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientOptions {
    /// How long an ordinary call may take: the kubelet's `runtimeRequestTimeout`.
    pub request_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { request_timeout: Duration::from_secs(120) }
    }
}

/// A client of one runtime; clones share the connection and the counts.
#[derive(Debug, Clone)]
pub struct CriClient {
    pub(super) runtime: RuntimeServiceClient<Channel>,
    pub(super) image: ImageServiceClient<Channel>,
    pub(super) options: ClientOptions,
    channel: Channel,
    endpoint: Endpoint,
    counts: Arc<Counts>,
}

impl CriClient {
    /// A client of the runtime that listens at `endpoint`. Nothing is connected before the first call, so it need not be there yet.
    ///
    /// Must be called within a tokio runtime.
    pub fn connect(endpoint: &Endpoint, options: ClientOptions) -> Self {
        Self::from_channel(connect(endpoint), endpoint, options)
    }

    /// A client over a channel that exists: one shared with containerd's own API, or a test's in-memory one. `endpoint` is what
    /// errors name.
    pub fn from_channel(channel: Channel, endpoint: &Endpoint, options: ClientOptions) -> Self {
        Self {
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(LARGEST_MESSAGE),
            image: ImageServiceClient::new(channel.clone()).max_decoding_message_size(LARGEST_MESSAGE),
            options,
            channel,
            endpoint: endpoint.clone(),
            counts: Arc::new(Counts::new()),
        }
    }

    /// Where the runtime listens.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The connection itself, for what containerd serves beside the CRI.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Every method with how often it was called over this connection, for the metrics.
    pub fn calls(&self) -> impl Iterator<Item = CallCount> + '_ {
        self.counts.iter()
    }

    /// Makes one call: counts it, bounds it, and sorts its failure. `deadline` of none waits for as long as it takes.
    ///
    /// What is sent lives on the heap and only until the answer: it would otherwise widen every pod worker for good.
    pub(super) fn call<'c, Q, A, F>(
        &'c self,
        method: Method,
        object: &'c str,
        deadline: Option<Duration>,
        message: Q,
        send: impl FnOnce(Request<Q>) -> F,
    ) -> impl Future<Output = Result<A, CriError>> + 'c
    where
        F: Future<Output = Result<Response<A>, Status>> + 'c,
    {
        self.counts.add(method);
        let mut request = Request::new(message);
        if let Some(limit) = deadline {
            request.set_timeout(limit);
        }
        let answer = Box::pin(send(request));
        async move {
            let call = || Call { method, object: object.into() };
            let answer = match deadline {
                None => Ok(answer.await),
                Some(limit) => timeout(limit, answer).await,
            };
            let answer = match answer {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => CriError::from_status(call(), &self.endpoint, &status),
                Err(_) => CriError::deadline(call(), deadline),
            };
            self.counts.add_failure(method);
            Err(answer)
        }
    }

    /// The deadline of an ordinary call.
    pub(super) fn usual(&self) -> Duration {
        self.options.request_timeout
    }

    /// Turns what `verify` found into the failure of a call.
    pub(super) fn verified<T>(
        method: Method,
        object: &str,
        verdict: Result<T, super::verify::Problem>,
    ) -> Result<T, CriError> {
        verdict.map_err(|problem| CriError::malformed(Call { method, object: object.into() }, problem))
    }
}

/// A channel to the unix socket at `endpoint`, made when first used and again after it broke.
pub fn connect(endpoint: &Endpoint) -> Channel {
    let endpoint = endpoint.clone();
    builder().connect_with_connector_lazy(service_fn(move |_| {
        let endpoint = endpoint.clone();
        async move { UnixStream::connect(endpoint.path()).await.map(TokioIo::new) }
    }))
}

/// What every channel to a runtime has in common. The URI is never resolved; its authority is what the runtime gets to see.
pub(super) fn builder() -> tonic::transport::Endpoint {
    tonic::transport::Endpoint::from_static("http://localhost").connect_timeout(CONNECT_TIMEOUT)
}
