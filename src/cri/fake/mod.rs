//! A CRI runtime that runs nothing: for tests and benchmarks, in the test's own process.
//!
//! It keeps sandboxes, containers and images in memory, answers at once, records every call, and does what a test orders:
//! end containers, fail, be slow, go away. It is served in memory, so that tests may pause tokio's time, or at a unix socket.
//! It speaks containerd's event stream beside the CRI. Never part of a release build.
//!
//! ```
//! # use daemonlet::cri::fake::FakeRuntime;
//! # use daemonlet::cri::Method;
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let runtime = FakeRuntime::start();
//! runtime.client().version().await.unwrap();
//! assert_eq!(runtime.calls()[0].method(), Method::Version);
//! # });
//! ```

mod clock;
mod event;
mod events_service;
mod image_service;
mod object;
mod orders;
mod record;
mod runtime_service;
mod script;
mod state;
#[cfg(test)]
mod tests;
mod wire;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;
use tonic::transport::{Channel, Server};
use tower::service_fn;

pub use object::{FakeContainer, FakeSandbox};
pub use record::{RecordedCall, Request};
pub use script::UnknownStep;
pub use state::State;

use super::proto::ContainerState;
use super::proto::image_service_server::ImageServiceServer;
use super::proto::runtime_service_server::RuntimeServiceServer;
use super::{ClientOptions, CriClient, Endpoint, EndpointError, Method, client};
use events_service::EventsServer;
use wire::Wire;

type CriStream<T> = UnboundedReceiverStream<Result<T, Status>>;

/// Which event streams the runtime offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sources {
    /// containerd's own.
    pub containerd: bool,
    /// The CRI's `GetContainerEvents`.
    pub cri: bool,
}

/// How a fake runtime is set up.
#[derive(Debug, Clone)]
pub struct FakeOptions {
    /// Which event streams it offers; both unless told otherwise.
    pub events: Sources,
    /// Whether starting a container makes its log file.
    pub log_files: bool,
    /// How long [`FakeRuntime::wait_for`] waits, by tokio's clock.
    pub patience: Duration,
}

impl Default for FakeOptions {
    fn default() -> Self {
        Self {
            events: Sources { containerd: true, cri: true },
            log_files: false,
            patience: Duration::from_secs(10),
        }
    }
}

/// What was waited for did not come.
#[derive(Debug, thiserror::Error)]
#[error("nothing of the kind within {within:?}; the calls were {calls:?}")]
pub struct NotInTime {
    within: Duration,
    calls: Vec<Method>,
}

/// The part that the server's tasks hold.
#[derive(Debug, Clone)]
struct Served {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<()>>,
}

impl Served {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    fn change<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let result = act(&mut self.lock());
        self.changed.send_replace(());
        result
    }

    fn record(&self, request: impl Into<Request>) -> Method {
        let request = request.into();
        let method = request.method();
        self.change(|state| state.record(request));
        method
    }

    /// Records a call, then does with it what the script says.
    async fn admit(&self, request: impl Into<Request>) -> Result<(), Status> {
        let method = self.record(request);
        self.obey(method).await
    }

    async fn obey(&self, method: Method) -> Result<(), Status> {
        let (delay, failure) =
            self.change(|state| (state.script.delays.get(&method).copied(), state.script.failure(method)));
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        failure.map_or(Ok(()), Err)
    }
}

/// A running fake runtime; it ends, with every connection to it, when dropped.
#[derive(Debug)]
pub struct FakeRuntime {
    served: Served,
    wire: Arc<Wire>,
    server: AbortHandle,
    patience: Duration,
}

impl Drop for FakeRuntime {
    fn drop(&mut self) {
        self.server.abort();
        self.wire.cut();
    }
}

impl FakeRuntime {
    /// Starts a runtime with nothing in it. Must be called within a tokio runtime.
    pub fn start() -> Self {
        Self::start_with(&FakeOptions::default())
    }

    /// The same, set up differently.
    pub fn start_with(options: &FakeOptions) -> Self {
        let served = Served {
            state: Arc::new(Mutex::new(State::new(options))),
            changed: Arc::new(watch::Sender::new(())),
        };
        let (incoming, connections) = mpsc::unbounded_channel();
        let serving = Server::builder()
            .add_service(RuntimeServiceServer::new(served.clone()))
            .add_service(ImageServiceServer::new(served.clone()))
            .add_service(EventsServer::new(served.clone()))
            .serve_with_incoming(UnboundedReceiverStream::new(connections));
        let task = tokio::spawn(async move {
            // It ends when the runtime is dropped; a broken connection is its client's to notice.
            let _: Result<(), _> = serving.await;
        });
        Self { served, wire: Wire::new(incoming), server: task.abort_handle(), patience: options.patience }
    }

    /// A client in memory, with the kubelet's deadlines.
    pub fn client(&self) -> CriClient {
        self.client_with(ClientOptions::default())
    }

    /// A client in memory.
    pub fn client_with(&self, options: ClientOptions) -> CriClient {
        CriClient::from_channel(self.channel(), &in_memory(), options)
    }

    /// A channel in memory, made when first used and again after it broke.
    pub fn channel(&self) -> Channel {
        let wire = Arc::clone(&self.wire);
        client::builder().connect_with_connector_lazy(service_fn(move |_| {
            let connection = wire.connect().map(TokioIo::new);
            async move { connection }
        }))
    }

    /// Serves at a unix socket too. The path must be absolute and free.
    pub fn listen(&self, path: &Path) -> io::Result<Endpoint> {
        let endpoint = Endpoint::new(path).map_err(|e: EndpointError| io::Error::other(e))?;
        self.wire.listen(path)?;
        Ok(endpoint)
    }

    /// Looks into the runtime.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.served.read(look)
    }

    /// Changes what the runtime holds behind everyone's back; no event tells of it.
    pub fn change<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        self.served.change(act)
    }

    /// Every call so far, in the order of arrival.
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.read(|state| state.calls.clone())
    }

    /// How often a method was called so far.
    pub fn count(&self, method: Method) -> usize {
        self.read(|state| state.calls.iter().filter(|call| call.method() == method).count())
    }

    /// Waits until the runtime is as wanted, for as long as its options say. With tokio's time paused that limit is a timer
    /// like any other, and reached as soon as nothing earlier is due.
    pub async fn wait_for(&self, met: impl FnMut(&State) -> bool) -> Result<(), NotInTime> {
        self.wait_within(self.patience, met).await
    }

    /// The same, for this long.
    pub async fn wait_within(
        &self,
        within: Duration,
        mut met: impl FnMut(&State) -> bool,
    ) -> Result<(), NotInTime> {
        let mut changed = self.served.changed.subscribe();
        let wait = async {
            while !self.read(&mut met) {
                // The sender lives as long as self.
                let _: Result<(), _> = changed.changed().await;
            }
        };
        tokio::time::timeout(within, wait).await.map_err(|_| NotInTime {
            within,
            calls: self.read(|state| state.calls.iter().map(RecordedCall::method).collect()),
        })
    }

    /// The containers that are in a state, by name, oldest first.
    pub fn names(&self, wanted: ContainerState) -> Vec<String> {
        self.read(|state| {
            state.containers.iter().filter(|c| c.state == wanted).map(|c| c.name().to_owned()).collect()
        })
    }
}

/// What errors of in-memory clients name.
fn in_memory() -> Endpoint {
    Endpoint::new("/in-memory").unwrap_or_else(|_| unreachable!("the path is absolute"))
}
