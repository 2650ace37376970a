//! Probes, lifecycle hooks and their handlers. Rule: `validateProbe`, `validateHandler` in `core/validation`.

use k8s_openapi::api::core::v1::{
    Container, ExecAction, GRPCAction, HTTPGetAction, LifecycleHandler, Probe, SleepAction, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::error::Errors;
use super::names;
use super::pod_spec::Pod;
use crate::manifest::path::FieldPath;

#[derive(Clone, Copy, PartialEq)]
enum Purpose {
    Liveness,
    Readiness,
    Startup,
}

pub(super) fn of_container(container: &Container, pod: &Pod<'_>, path: &FieldPath, errors: &mut Errors) {
    for (purpose, found, field) in [
        (Purpose::Liveness, &container.liveness_probe, "livenessProbe"),
        (Purpose::Readiness, &container.readiness_probe, "readinessProbe"),
        (Purpose::Startup, &container.startup_probe, "startupProbe"),
    ] {
        if let Some(found) = found {
            probe(found, purpose, pod, &path.child(field), errors);
        }
    }
    if let Some(lifecycle) = &container.lifecycle {
        for (field, hook) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
            if let Some(hook) = hook {
                handler(&hook.into(), pod, &path.child("lifecycle").child(field), errors);
            }
        }
    }
}

fn probe(probe: &Probe, purpose: Purpose, pod: &Pod<'_>, path: &FieldPath, errors: &mut Errors) {
    handler(&probe.into(), pod, path, errors);
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        errors.not_negative(path.child(field), value.map(i64::from));
    }
    if let Some(grace) = probe.termination_grace_period_seconds {
        let path = path.child("terminationGracePeriodSeconds");
        if purpose == Purpose::Readiness {
            errors.invalid(path, &grace, "must not be set for readinessProbes");
        } else if grace <= 0 {
            errors.invalid(path, &grace, "must be greater than 0");
        }
    }
    if purpose != Purpose::Readiness
        && let Some(threshold) = probe.success_threshold.filter(|threshold| *threshold != 1)
    {
        errors.invalid(path.child("successThreshold"), &threshold, "must be 1");
    }
}

/// What a probe or hook does, of either type that the API has for it.
struct Handler<'a> {
    exec: Option<&'a ExecAction>,
    http_get: Option<&'a HTTPGetAction>,
    tcp_socket: Option<&'a TCPSocketAction>,
    grpc: Option<&'a GRPCAction>,
    sleep: Option<&'a SleepAction>,
}

impl<'a> From<&'a Probe> for Handler<'a> {
    fn from(probe: &'a Probe) -> Self {
        Handler {
            exec: probe.exec.as_ref(),
            http_get: probe.http_get.as_ref(),
            tcp_socket: probe.tcp_socket.as_ref(),
            grpc: probe.grpc.as_ref(),
            sleep: None,
        }
    }
}

impl<'a> From<&'a LifecycleHandler> for Handler<'a> {
    fn from(hook: &'a LifecycleHandler) -> Self {
        Handler {
            exec: hook.exec.as_ref(),
            http_get: hook.http_get.as_ref(),
            tcp_socket: hook.tcp_socket.as_ref(),
            grpc: None,
            sleep: hook.sleep.as_ref(),
        }
    }
}

fn handler(handler: &Handler<'_>, pod: &Pod<'_>, path: &FieldPath, errors: &mut Errors) {
    let kinds = [
        ("exec", handler.exec.is_some()),
        ("httpGet", handler.http_get.is_some()),
        ("tcpSocket", handler.tcp_socket.is_some()),
        ("grpc", handler.grpc.is_some()),
        ("sleep", handler.sleep.is_some()),
    ];
    let mut present = kinds.into_iter().filter(|(_, present)| *present).map(|(field, _)| field);
    let Some(first) = present.next() else {
        errors.required(path.clone(), "must specify a handler type");
        return;
    };
    for other in present {
        errors.forbidden(path.child(other), "may not specify more than 1 handler type");
    }
    let path = path.child(first);
    match first {
        "exec" => {
            if handler.exec.is_some_and(|exec| exec.command.as_ref().is_none_or(Vec::is_empty)) {
                errors.required(path.child("command"), "");
            }
        }
        "httpGet" => handler.http_get.into_iter().for_each(|request| http(request, &path, errors)),
        "tcpSocket" => {
            handler.tcp_socket.into_iter().for_each(|socket| port(&socket.port, &path.child("port"), errors));
        }
        "grpc" => {
            if let Some(call) = handler.grpc {
                errors.format(&path.child("port"), &call.port, names::port_number(call.port));
            }
        }
        _ => handler.sleep.into_iter().for_each(|pause| sleep(pause.seconds, pod, &path, errors)),
    }
}

fn http(request: &HTTPGetAction, path: &FieldPath, errors: &mut Errors) {
    errors.present(path.child("path"), request.path.as_deref().unwrap_or_default());
    port(&request.port, &path.child("port"), errors);
    let scheme = request.scheme.as_deref().unwrap_or_default();
    errors.one_of(path.child("scheme"), scheme, &["HTTP", "HTTPS"]);
    for header in request.http_headers.iter().flatten() {
        errors.format(&path.child("httpHeaders"), &header.name, names::http_header(&header.name));
    }
}

fn port(port: &IntOrString, path: &FieldPath, errors: &mut Errors) {
    match port {
        IntOrString::Int(number) => errors.format(path, number, names::port_number(*number)),
        IntOrString::String(name) => errors.format(path, name, names::port_name(name)),
    }
}

/// The rule since v1.33, which allows zero.
fn sleep(seconds: i64, pod: &Pod<'_>, path: &FieldPath, errors: &mut Errors) {
    let grace = pod.grace_seconds();
    if seconds < 0 || seconds > grace {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.invalid(path.child("seconds"), &seconds, detail);
    }
}
