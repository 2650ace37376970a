//! Defaults of a container: pull policy, termination message, ports, probes, handlers.

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::text;
use crate::image::ImageName;
use crate::manifest::Quantity;

pub(super) fn container(container: &mut Container) {
    text(&mut container.termination_message_path, "/dev/termination-log");
    text(&mut container.termination_message_policy, "File");
    let image = container.image.as_deref().unwrap_or_default();
    let policy = if names_latest(image) { "Always" } else { "IfNotPresent" };
    text(&mut container.image_pull_policy, policy);
    for port in container.ports.iter_mut().flatten() {
        text(&mut port.protocol, "TCP");
    }
    for source in container.env.iter_mut().flatten().filter_map(|variable| variable.value_from.as_mut()) {
        if let Some(field) = source.field_ref.as_mut() {
            text(&mut field.api_version, "v1");
        }
        if let Some(file) = source.file_key_ref.as_mut() {
            file.optional.get_or_insert(false);
        }
    }
    if let Some(resources) = container.resources.as_mut() {
        let amounts = [resources.limits.as_mut(), resources.requests.as_mut()];
        amounts.into_iter().flatten().flat_map(|amounts| amounts.values_mut()).for_each(round);
    }
    let probes =
        [&mut container.liveness_probe, &mut container.readiness_probe, &mut container.startup_probe];
    probes.into_iter().flatten().for_each(probe);
    if let Some(lifecycle) = container.lifecycle.as_mut() {
        [&mut lifecycle.post_start, &mut lifecycle.pre_stop].into_iter().flatten().for_each(handler);
    }
}

/// Rounds to thousandths, away from zero. What is no quantity is left for validation.
pub(super) fn round(quantity: &mut ApiQuantity) {
    if let Ok(amount) = Quantity::try_from(&*quantity)
        && !amount.is_whole_milli()
    {
        *quantity = amount.rounded_to_milli().into();
    }
}

/// Whether an image reference has the tag `latest`, beside a digest too, or neither tag nor digest. What is no reference has no tag.
pub(super) fn names_latest(image: &str) -> bool {
    ImageName::parse(image).is_ok_and(|name| name.effective_tag() == Some("latest"))
}

fn probe(probe: &mut Probe) {
    for (field, default) in [
        (&mut probe.timeout_seconds, 1),
        (&mut probe.period_seconds, 10),
        (&mut probe.success_threshold, 1),
        (&mut probe.failure_threshold, 3),
    ] {
        if field.unwrap_or_default() == 0 {
            *field = Some(default);
        }
    }
    if let Some(request) = probe.http_get.as_mut() {
        http(request);
    }
    if let Some(call) = probe.grpc.as_mut() {
        call.service.get_or_insert_default();
    }
}

fn handler(handler: &mut LifecycleHandler) {
    if let Some(request) = handler.http_get.as_mut() {
        http(request);
    }
}

fn http(request: &mut HTTPGetAction) {
    text(&mut request.path, "/");
    text(&mut request.scheme, "HTTP");
}
