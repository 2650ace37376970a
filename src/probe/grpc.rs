//! The grpc probe: `grpc.health.v1.Health/Check` of the pod, in plain text.
//!
//! The protocol's two messages are small enough to be written here. Rules: `pkg/probe/grpc/grpc.go` and
//! `grpc/health/v1/health.proto`. Every problem is a failure, never an error.

use std::error::Error as _;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::KUBERNETES_RELEASE;
use super::attempt::Answer;
use super::tcp::join_host_port;
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

pub(super) async fn probe(host: &str, port: u16, service: &str, limit: Duration) -> Answer {
    let address = join_host_port(host, port);
    match check(&address, service, limit).await {
        Ok(()) => Answer::Success,
        Err(failure) => Answer::Failure(failure),
    }
}

async fn check(address: &str, service: &str, limit: Duration) -> Result<(), String> {
    let deadline = Instant::now() + limit;
    let took = GoDuration(limit);
    let channel = match timeout_at(deadline, connect(address)).await {
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
            code => format!(
                "error: health rpc probe failed: rpc error: code = {code:?} desc = {}",
                status.message()
            ),
        }),
        Err(_) => Err(too_slow()),
    }
}

async fn connect(address: &str) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .and_then(|endpoint| endpoint.user_agent(format!("kube-probe/{KUBERNETES_RELEASE}")));
    match endpoint {
        Ok(endpoint) => endpoint.connect().await.map_err(|error| innermost(&error)),
        Err(error) => Err(innermost(&error)),
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
