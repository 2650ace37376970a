//! An agent that asks hundreds of containers every few seconds how they are.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use daemonlet::cri::Method;
use daemonlet::cri::fake::RecordedCall;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::node::{Node, Saved, names};
use crate::options::Options;
use crate::scale::SETTLED;
use crate::subject::Subject;
use crate::table::{Goal, Row, Unit};
use crate::{Result, manifest, process};

const PODS: usize = 100;
/// Of each container: one for readiness, one for liveness.
const PROBES: usize = 2;
const PERIOD_SECONDS: usize = 5;

/// A quarter of the pods for each kind of probe.
const KINDS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];

/// Watches an agent over pods that are probed, and first over the same without probes.
pub(crate) async fn hundreds(subject: &Subject, options: &Options) -> Result<Vec<Row>> {
    let servers = Servers::start().await?;
    let unprobed = watch(subject, options, &servers, |_| None).await?;
    let probed = watch(subject, options, &servers, |kind| Some(servers.probe(kind))).await?;
    let window = options.idle.as_secs_f64();
    let due = (PODS * PROBES) as f64 * window / PERIOD_SECONDS as f64;
    let made: usize = probed.attempts.values().sum();
    if (made as f64) < due * 0.9 || made as f64 > due * 1.1 {
        return Err(
            format!("{made} attempts in {window} s, where {due} were due: {:?}", probed.attempts).into()
        );
    }
    let own = (probed.cpu - unprobed.cpu).max(0.0);
    let attempt = own / 100.0 * window / made as f64;
    let what = format!("{} probes every {PERIOD_SECONDS} s", PODS * PROBES);
    Ok(vec![
        Row::new(&format!("{what}: CPU beyond the same pods' without"), Goal::none(Unit::PercentOfCore))
            .measured([own]),
        Row::new(&format!("{what}: CPU of one attempt"), Goal::none(Unit::Milliseconds))
            .measured([attempt * 1e3]),
        Row::new(&format!("{what}: threads"), Goal::at_most(unprobed.threads, Unit::Count))
            .measured([probed.threads]),
        Row::new(&format!("{what}: memory beyond the same pods' without (PSS)"), Goal::none(Unit::Megabytes))
            .measured([probed.pss - unprobed.pss]),
    ])
}

struct Watched {
    /// In percent of a core.
    cpu: f64,
    threads: f64,
    /// In megabytes.
    pss: f64,
    /// How many arrived, by kind.
    attempts: BTreeMap<&'static str, usize>,
}

async fn watch(
    subject: &Subject,
    options: &Options,
    servers: &Servers,
    probe: impl Fn(&str) -> Option<Value>,
) -> Result<Watched> {
    let mut node = Node::new(subject, &[])?;
    for (number, name) in names(PODS).iter().enumerate() {
        let mut spec = manifest::pod_spec(name);
        if let Some(probe) = probe(KINDS[number % KINDS.len()]) {
            spec["containers"][0]["livenessProbe"] = probe.clone();
            spec["containers"][0]["readinessProbe"] = probe;
        }
        node.put(name, &spec, Saved::Renamed)?;
    }
    node.start()?;
    node.running(PODS).await?;
    sleep(SETTLED).await;

    let pid = node.pid()?;
    let arrived = || {
        let is_exec = |call: &&RecordedCall| call.method() == Method::ExecSync;
        let execs = node.runtime.read(|state| state.calls.iter().filter(is_exec).count());
        servers.arrived(execs)
    };
    let (begun, used, before) = (Instant::now(), process::cpu(pid)?, arrived());
    sleep(options.idle).await;
    let used = process::cpu(pid)?.saturating_sub(used);
    let cpu = 100.0 * used.as_secs_f64() / begun.elapsed().as_secs_f64();
    let attempts = arrived().into_iter().map(|(kind, count)| (kind, count - before[kind])).collect();
    let containers = node.runtime.read(|state| state.containers.len());
    if containers != PODS {
        return Err(format!(
            "{containers} containers were made for {PODS} pods: probes failed that must not"
        )
        .into());
    }
    let pss = process::memory(pid)?.pss as f64 / 1e6;
    Ok(Watched { cpu, threads: process::threads(pid)? as f64, pss, attempts })
}

/// What the probes of this run ask: it answers at once, always well.
struct Servers {
    http: SocketAddr,
    tcp: SocketAddr,
    counts: Arc<Counts>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Counts {
    http: AtomicUsize,
    tcp: AtomicUsize,
    grpc: AtomicUsize,
}

impl Servers {
    async fn start() -> Result<Self> {
        // A grpc probe asks the pod's address, which is the node's: not only the loopback one.
        let (http, tcp) = (TcpListener::bind("0.0.0.0:0").await?, TcpListener::bind("0.0.0.0:0").await?);
        let counts = Arc::new(Counts::default());
        let mut tasks = JoinSet::new();
        let (http_address, tcp_address) = (http.local_addr()?, tcp.local_addr()?);
        tasks.spawn(serve_http(http, Arc::clone(&counts)));
        let count = Arc::clone(&counts);
        tasks.spawn(async move {
            while tcp.accept().await.is_ok() {
                count.tcp.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(Self { http: http_address, tcp: tcp_address, counts, _tasks: tasks })
    }

    fn probe(&self, kind: &str) -> Value {
        let handler = match kind {
            "exec" => json!({"command": ["/bin/true"]}),
            "httpGet" => json!({"host": "127.0.0.1", "port": self.http.port(), "path": "/healthz"}),
            "tcpSocket" => json!({"host": "127.0.0.1", "port": self.tcp.port()}),
            _ => json!({"port": self.http.port(), "service": "bench"}),
        };
        json!({kind: handler, "periodSeconds": PERIOD_SECONDS})
    }

    fn arrived(&self, execs: usize) -> BTreeMap<&'static str, usize> {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let Counts { http, tcp, grpc } = &*self.counts;
        [("exec", execs), ("httpGet", count(http)), ("tcpSocket", count(tcp)), ("grpc", count(grpc))].into()
    }
}

async fn serve_http(listener: TcpListener, counts: Arc<Counts>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let counts = Arc::clone(&counts);
        let service = service_fn(move |request: Request<Incoming>| {
            ready(Ok::<_, Infallible>(answer(&request, &counts)))
        });
        connections.spawn(async move {
            // A client that hangs up is no concern of this one's.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

fn answer(request: &Request<Incoming>, counts: &Counts) -> Response<BoxBody<Bytes, Infallible>> {
    if request.uri().path() == "/healthz" {
        counts.http.fetch_add(1, Ordering::Relaxed);
        return Response::new(Full::new(Bytes::from_static(b"ok")).boxed());
    }
    counts.grpc.fetch_add(1, Ordering::Relaxed);
    // One message without compression, two bytes long: the status is SERVING.
    let frame = Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut response = Response::new(Full::new(frame).with_trailers(ready(Some(Ok(trailers)))).boxed());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
