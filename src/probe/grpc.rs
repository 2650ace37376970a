//! The grpc probe: `grpc.health.v1.Health/Check` of the pod, in plain text.
//!
//! The protocol's two messages are small enough to be written here. A server that can't be reached is dialled again until the
//! time is up, as a blocking dial of grpc-go does: one that comes up meanwhile is well. Rules: `pkg/probe/grpc/grpc.go`,
//! grpc-go's `backoff.DefaultConfig` and `grpc/health/v1/health.proto`. Every problem is a failure, never an error.

mod listened;

use std::error::Error as _;
use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

use self::listened::Listened;
use super::KUBERNETES_RELEASE;
use super::attempt::Answer;
use super::tcp::{dial, join_host_port};
use crate::cri::rpc_text;
use crate::go_duration::GoDuration;

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    status: i32,
}

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

const CHECK: &str = "/grpc.health.v1.Health/Check";
/// How long after a dial that failed the next one comes, and how much longer each time.
const REDIAL: (Duration, f64) = (Duration::from_secs(1), 1.6);

pub(super) async fn probe(host: &str, port: u16, service: &str, limit: Duration) -> Answer {
    match check((host, port), service, limit).await {
        Ok(()) => Answer::Success,
        Err(failure) => Answer::Failure(failure),
    }
}

async fn check((host, port): (&str, u16), service: &str, limit: Duration) -> Result<(), String> {
    let address = join_host_port(host, port);
    let deadline = Instant::now() + limit;
    let took = GoDuration(limit);
    let channel = match timeout_at(deadline, connect(host, port, &address)).await {
        Ok(Ok(channel)) => channel,
        Ok(Err(error)) => return Err(format!("error: failed to connect service at {address:?}: {error}")),
        Err(_) => {
            return Err(format!(
                "timeout: failed to connect service {address:?} within {took}: context deadline exceeded"
            ));
        }
    };
    let too_slow = || format!("timeout: health rpc did not complete within {took}");
    match timeout_at(deadline, ask(channel, service)).await {
        Ok(Ok(answer)) => match ServingStatus::try_from(answer.status) {
            Ok(ServingStatus::Serving) => Ok(()),
            Ok(other) => Err(format!("service unhealthy (responded with {:?})", name(other))),
            Err(_) => Err(format!("service unhealthy (responded with \"{}\")", answer.status)),
        },
        Ok(Err(status)) => Err(match status.code() {
            Code::Unimplemented => format!(
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}",
                status.message()
            ),
            Code::DeadlineExceeded => too_slow(),
            code => format!("error: health rpc probe failed: {}", rpc_text(code, status.message())),
        }),
        Err(_) => Err(too_slow()),
    }
}

/// Dials until somebody speaks; gives up only on an address that is none.
async fn connect(host: &str, port: u16, address: &str) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .and_then(|endpoint| endpoint.user_agent(format!("kube-probe/{KUBERNETES_RELEASE}")))
        .map_err(|error| innermost(&error))?;
    let (mut wait, longer) = REDIAL;
    loop {
        if let Ok(stream) = dial(host, port).await {
            let (stream, first_word) = Listened::to(stream);
            let mut stream = Some(TokioIo::new(stream));
            let once = service_fn(move |_| {
                std::future::ready(stream.take().ok_or(io::Error::from(io::ErrorKind::NotConnected)))
            });
            if let Ok(channel) = endpoint.connect_with_connector(once).await
                && first_word.await.is_ok()
            {
                return Ok(channel);
            }
        }
        sleep(wait).await;
        wait = wait.mul_f64(longer);
    }
}

async fn ask(channel: Channel, service: &str) -> Result<HealthCheckResponse, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(innermost(&error)))?;
    let request = Request::new(HealthCheckRequest { service: service.to_owned() });
    let codec: ProstCodec<HealthCheckRequest, HealthCheckResponse> = ProstCodec::default();
    Ok(client.unary(request, PathAndQuery::from_static(CHECK), codec).await?.into_inner())
}

fn name(status: ServingStatus) -> &'static str {
    match status {
        ServingStatus::Unknown => "UNKNOWN",
        ServingStatus::Serving => "SERVING",
        ServingStatus::NotServing => "NOT_SERVING",
        ServingStatus::ServiceUnknown => "SERVICE_UNKNOWN",
    }
}

fn innermost(error: &tonic::transport::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    match cause.downcast_ref::<std::io::Error>() {
        Some(io) => super::tcp::errno_text(io),
        None => error.source().map_or_else(|| error.to_string(), |_| cause.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt as _, Full};
    use hyper::body::{Bytes, Incoming};
    use hyper::header::{HeaderMap, HeaderValue};
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use prost::Message as _;
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// Serves one connection; `answer` gives the status and gRPC code for the service that is asked about.
    async fn serve(answer: fn(&str) -> (i32, Code)) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        serve_on(listener, answer);
        port
    }

    fn serve_on(listener: TcpListener, answer: fn(&str) -> (i32, Code)) {
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |request: hyper::Request<Incoming>| async move {
                assert_eq!(request.uri().path(), CHECK);
                let agent = request.headers()["user-agent"].to_str().unwrap().to_owned();
                assert!(agent.starts_with("kube-probe/1."), "{agent}");
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let asked = HealthCheckRequest::decode(&body[5..]).unwrap().service;
                let (status, code) = answer(&asked);
                let message = HealthCheckResponse { status }.encode_to_vec();
                let mut frame = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
                frame.extend(message);
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from(i32::from(code)));
                trailers.insert("grpc-message", HeaderValue::from_static("words"));
                let body = if code == Code::Ok { Bytes::from(frame) } else { Bytes::new() };
                let body =
                    Full::new(body).with_trailers(std::future::ready(Some(Ok::<_, Infallible>(trailers))));
                let mut response = hyper::Response::new(body);
                let headers = response.headers_mut();
                headers.insert("content-type", HeaderValue::from_static("application/grpc"));
                Ok::<_, Infallible>(response)
            });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new()).http2_only();
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }

    async fn failure(answer: fn(&str) -> (i32, Code)) -> String {
        match probe("127.0.0.1", serve(answer).await, "svc", LIMIT).await {
            Answer::Failure(text) => text,
            other => panic!("must fail: {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_server_that_serves_is_well() {
        let port = serve(|service| (i32::from(service == "svc"), Code::Ok)).await;
        assert_eq!(probe("127.0.0.1", port, "svc", LIMIT).await, Answer::Success);
    }

    #[tokio::test]
    async fn a_server_that_does_not_serve_is_told_in_the_kubelets_words() {
        for (answer, text) in [
            (failure(|_| (2, Code::Ok)).await, "service unhealthy (responded with \"NOT_SERVING\")"),
            (failure(|_| (0, Code::Ok)).await, "service unhealthy (responded with \"UNKNOWN\")"),
            (
                failure(|_| (0, Code::Unimplemented)).await,
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): words",
            ),
            (
                failure(|_| (0, Code::NotFound)).await,
                "error: health rpc probe failed: rpc error: code = NotFound desc = words",
            ),
            (
                failure(|_| (0, Code::Cancelled)).await,
                "error: health rpc probe failed: rpc error: code = Canceled desc = words",
            ),
        ] {
            assert_eq!(answer, text);
        }
    }

    #[tokio::test]
    async fn no_server_and_one_that_is_silent_fail() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let expected = |within| {
            let text = format!("\"127.0.0.1:{port}\" within {within}: context deadline exceeded");
            Answer::Failure(format!("timeout: failed to connect service {text}"))
        };
        let silent = probe("127.0.0.1", port, "", Duration::from_millis(100)).await;
        assert_eq!(silent, expected("100ms"));
        let closes = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        assert_eq!(probe("127.0.0.1", port, "", Duration::from_millis(200)).await, expected("200ms"));
        closes.abort();
        let _ = closes.await;
        assert_eq!(probe("127.0.0.1", port, "", Duration::from_secs(1)).await, expected("1s"));
    }

    #[tokio::test]
    async fn a_server_that_comes_up_meanwhile_is_well() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let probed = tokio::spawn(async move { probe("127.0.0.1", address.port(), "svc", LIMIT).await });
        sleep(Duration::from_millis(100)).await;
        let listener = TcpListener::bind(address).await.unwrap();
        serve_on(listener, |_| (1, Code::Ok));
        assert_eq!(probed.await.unwrap(), Answer::Success);
    }
}
