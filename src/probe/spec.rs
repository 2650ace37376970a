//! A probe as the manifest has it, with every default filled in and every port looked up.
//!
//! Pure. A handler that can't work (an unknown port name) is kept as its error: like the kubelet, we tell it at each run and
//! change no state. Rules: `SetDefaults_Probe`, `resolveContainerPort` in `pkg/probe/util.go`.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ContainerPort, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Scheme;
use super::command;

/// What a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Until it has succeeded once, the others wait.
    Startup,
    /// When it fails, the container is restarted.
    Liveness,
    /// While it fails, the container is not ready.
    Readiness,
}

impl ProbeKind {
    /// Every kind, in the order in which a container meets them.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// This kind of probe of a container.
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
        }
    }
}

impl fmt::Display for ProbeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        })
    }
}

/// One probe of one container, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSpec {
    /// What it is for.
    pub kind: ProbeKind,
    /// How it asks, or why it can't.
    pub handler: Result<Handler, HandlerError>,
    /// How long a started container is left alone.
    pub initial_delay: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// From one attempt to the next.
    pub period: Duration,
    /// So many successes in a row make a success.
    pub success_threshold: u32,
    /// So many failures in a row make a failure.
    pub failure_threshold: u32,
}

/// How a probe asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handler {
    /// Run a command in the container.
    Exec {
        /// The command, not through a shell.
        command: Vec<String>,
    },
    /// GET a URL.
    HttpGet(HttpGet),
    /// Open a connection and close it.
    TcpSocket {
        /// Where to, if not to the pod.
        host: Option<String>,
        /// The port.
        port: u16,
    },
    /// Ask the pod's gRPC health service.
    Grpc {
        /// The port.
        port: u16,
        /// Which of the server's services; empty for the server as a whole.
        service: String,
    },
}

/// A URL to GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGet {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Where to, if not to the pod.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
    /// Path and query, as written.
    pub path: String,
    /// Headers, as written.
    pub headers: Vec<(String, String)>,
}

impl HttpGet {
    /// Resolves an `httpGet` action of a probe or hook of `container`.
    ///
    /// # Errors
    /// When its port is none.
    pub fn resolve(action: &HTTPGetAction, container: &Container) -> Result<Self, HandlerError> {
        let scheme = match action.scheme.as_deref() {
            Some("HTTPS") => Scheme::Https,
            _ => Scheme::Http,
        };
        let headers = action.http_headers.iter().flatten();
        Ok(Self {
            scheme,
            host: written(action.host.as_ref()),
            port: resolve_port(&action.port, ports(container))?,
            path: action.path.clone().unwrap_or_default(),
            headers: headers.map(|header| (header.name.clone(), header.value.clone())).collect(),
        })
    }
}

/// Why a probe or hook can't ask anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandlerError {
    /// No port of that name, and it is no number.
    #[error("port {0:?} is neither the name of a port of the container nor a number")]
    UnknownPort(String),
    /// A number that is no port.
    #[error("invalid port number: {0}")]
    PortOutOfRange(i64),
    /// None of exec, httpGet, tcpSocket and grpc is there.
    #[error("missing probe handler")]
    Missing,
}

impl ProbeSpec {
    /// The probe of this kind of a container; `None` when it has none.
    pub fn of(kind: ProbeKind, container: &Container) -> Option<Self> {
        let probe = kind.of(container)?;
        let seconds = |field: Option<i32>, default: u32| {
            let written = field.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
            Duration::from_secs(written.unwrap_or(default).into())
        };
        let threshold = |field: Option<i32>, default: u32| {
            field.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(default)
        };
        Some(Self {
            kind,
            handler: handler(probe, container),
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            timeout: seconds(probe.timeout_seconds, 1),
            period: seconds(probe.period_seconds, 10),
            success_threshold: match kind {
                ProbeKind::Readiness => threshold(probe.success_threshold, 1),
                ProbeKind::Startup | ProbeKind::Liveness => 1,
            },
            failure_threshold: threshold(probe.failure_threshold, 3),
        })
    }
}

fn handler(probe: &Probe, container: &Container) -> Result<Handler, HandlerError> {
    if let Some(exec) = &probe.exec {
        let env = container.env.as_deref().unwrap_or_default();
        let command = command::expand(exec.command.as_deref().unwrap_or_default(), env);
        return Ok(Handler::Exec { command });
    }
    if let Some(action) = &probe.http_get {
        return HttpGet::resolve(action, container).map(Handler::HttpGet);
    }
    if let Some(tcp) = &probe.tcp_socket {
        let port = resolve_port(&tcp.port, ports(container))?;
        return Ok(Handler::TcpSocket { host: written(tcp.host.as_ref()), port });
    }
    if let Some(grpc) = &probe.grpc {
        let port = port_number(grpc.port.into())?;
        return Ok(Handler::Grpc { port, service: grpc.service.clone().unwrap_or_default() });
    }
    Err(HandlerError::Missing)
}

/// The number of a port given as a number, as the name of a container's port, or as a number in a string.
///
/// # Errors
/// When it is none of these, or no port number.
pub fn resolve_port(port: &IntOrString, ports: &[ContainerPort]) -> Result<u16, HandlerError> {
    let number = match port {
        IntOrString::Int(number) => i64::from(*number),
        IntOrString::String(name) => match ports.iter().find(|port| port.name.as_ref() == Some(name)) {
            Some(port) => port.container_port.into(),
            None => name.parse().map_err(|_| HandlerError::UnknownPort(name.clone()))?,
        },
    };
    port_number(number)
}

fn port_number(number: i64) -> Result<u16, HandlerError> {
    u16::try_from(number).ok().filter(|port| *port > 0).ok_or(HandlerError::PortOutOfRange(number))
}

fn ports(container: &Container) -> &[ContainerPort] {
    container.ports.as_deref().unwrap_or_default()
}

/// An empty host means the default, as a missing one does.
fn written(host: Option<&String>) -> Option<String> {
    host.filter(|host| !host.is_empty()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{ExecAction, GRPCAction, HTTPHeader, TCPSocketAction};

    fn container(probe: Probe) -> Container {
        let port = ContainerPort { name: Some("web".into()), container_port: 8080, ..Default::default() };
        Container {
            name: "c".into(),
            readiness_probe: Some(probe.clone()),
            liveness_probe: Some(probe),
            ports: Some(vec![port]),
            ..Default::default()
        }
    }

    fn spec(kind: ProbeKind, probe: Probe) -> ProbeSpec {
        ProbeSpec::of(kind, &container(probe)).unwrap()
    }

    #[test]
    fn what_is_not_written_or_zero_has_kubernetes_defaults() {
        for probe in [
            Probe::default(),
            Probe {
                timeout_seconds: Some(0),
                period_seconds: Some(0),
                success_threshold: Some(0),
                failure_threshold: Some(0),
                ..Default::default()
            },
        ] {
            let spec = spec(ProbeKind::Readiness, probe);
            assert_eq!(spec.initial_delay, Duration::ZERO);
            assert_eq!(spec.timeout, Duration::from_secs(1));
            assert_eq!(spec.period, Duration::from_secs(10));
            assert_eq!((spec.success_threshold, spec.failure_threshold), (1, 3));
            assert_eq!(spec.handler, Err(HandlerError::Missing));
        }
    }

    #[test]
    fn what_is_written_counts() {
        let probe = Probe {
            initial_delay_seconds: Some(3),
            timeout_seconds: Some(4),
            period_seconds: Some(5),
            success_threshold: Some(6),
            failure_threshold: Some(7),
            ..Default::default()
        };
        let spec = spec(ProbeKind::Readiness, probe);
        let seconds = [spec.initial_delay, spec.timeout, spec.period].map(|time| time.as_secs());
        assert_eq!((seconds, spec.success_threshold, spec.failure_threshold), ([3, 4, 5], 6, 7));
    }

    #[test]
    fn a_container_without_the_probe_has_none() {
        assert_eq!(ProbeSpec::of(ProbeKind::Startup, &container(Probe::default())), None);
    }

    #[test]
    fn one_success_is_always_enough_for_liveness() {
        let probe = Probe { success_threshold: Some(5), ..Default::default() };
        assert_eq!(spec(ProbeKind::Liveness, probe.clone()).success_threshold, 1);
        assert_eq!(spec(ProbeKind::Readiness, probe).success_threshold, 5);
    }

    #[test]
    fn ports_are_numbers_names_or_numbers_in_strings() {
        for (port, resolved) in [
            (IntOrString::Int(80), Ok(80)),
            (IntOrString::String("web".into()), Ok(8080)),
            (IntOrString::String("81".into()), Ok(81)),
            (IntOrString::Int(0), Err("invalid port number: 0")),
            (IntOrString::Int(65536), Err("invalid port number: 65536")),
            (
                IntOrString::String("nope".into()),
                Err("port \"nope\" is neither the name of a port of the container nor a number"),
            ),
        ] {
            let tcp_socket = Some(TCPSocketAction { port: port.clone(), host: None });
            let spec = spec(ProbeKind::Readiness, Probe { tcp_socket, ..Default::default() });
            let expected =
                resolved.map(|port| Handler::TcpSocket { host: None, port }).map_err(str::to_owned);
            assert_eq!(spec.handler.map_err(|e| e.to_string()), expected, "{port:?}");
        }
    }

    #[test]
    fn each_handler_is_read() {
        let exec = Some(ExecAction { command: Some(vec!["true".into()]) });
        let handler = spec(ProbeKind::Readiness, Probe { exec, ..Default::default() }).handler;
        assert_eq!(handler, Ok(Handler::Exec { command: vec!["true".into()] }));

        let grpc = Some(GRPCAction { port: 9090, service: None });
        let handler = spec(ProbeKind::Readiness, Probe { grpc, ..Default::default() }).handler;
        assert_eq!(handler, Ok(Handler::Grpc { port: 9090, service: String::new() }));

        let grpc = Some(GRPCAction { port: 9090, service: Some("agent".into()) });
        let handler = spec(ProbeKind::Readiness, Probe { grpc, ..Default::default() }).handler;
        assert_eq!(handler, Ok(Handler::Grpc { port: 9090, service: "agent".into() }));

        let tcp_socket = Some(TCPSocketAction { port: IntOrString::Int(81), host: Some("192.0.2.1".into()) });
        let handler = spec(ProbeKind::Readiness, Probe { tcp_socket, ..Default::default() }).handler;
        assert_eq!(handler, Ok(Handler::TcpSocket { host: Some("192.0.2.1".into()), port: 81 }));

        let http_get = Some(HTTPGetAction {
            host: Some("192.0.2.1".into()),
            port: IntOrString::Int(80),
            http_headers: Some(vec![HTTPHeader { name: "X-A".into(), value: "1".into() }]),
            ..Default::default()
        });
        let handler = spec(ProbeKind::Readiness, Probe { http_get, ..Default::default() }).handler;
        let Ok(Handler::HttpGet(action)) = handler else { panic!("{handler:?}") };
        assert_eq!(action.host.as_deref(), Some("192.0.2.1"));
        assert_eq!(action.headers, [("X-A".to_owned(), "1".to_owned())]);

        let http_get = Some(HTTPGetAction {
            host: Some(String::new()),
            port: IntOrString::String("web".into()),
            scheme: Some("HTTPS".into()),
            path: Some("/ok".into()),
            ..Default::default()
        });
        let handler = spec(ProbeKind::Readiness, Probe { http_get, ..Default::default() }).handler;
        let expected = HttpGet {
            scheme: Scheme::Https,
            host: None,
            port: 8080,
            path: "/ok".into(),
            headers: Vec::new(),
        };
        assert_eq!(handler, Ok(Handler::HttpGet(expected)));
    }
}
