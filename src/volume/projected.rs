//! What a projected volume holds: several sources in one directory. Rule: `pkg/volume/projected` (`collectData`).

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    Container, Pod, ProjectedVolumeSource, Secret, ServiceAccountTokenProjection, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::error::Reason;
use super::payload::{DEFAULT_MODE, File, Payload};
use super::{config_map, downward_api, secret};
use crate::manifest::{Kind, Object, Objects};

/// The type of the Secrets that hold a service account's token.
const TOKEN_SECRET_TYPE: &str = "kubernetes.io/service-account-token";
/// The annotation by which such a Secret names its account.
const ACCOUNT_ANNOTATION: &str = "kubernetes.io/service-account.name";

/// The files of a projected volume; where two sources want the same path, the later one has it. Every source that fails
/// is told.
pub(super) fn payload<'a>(
    volume: &'a ProjectedVolumeSource,
    pod: &Pod,
    namespace: &str,
    objects: &'a Objects,
    allocatable: &BTreeMap<String, Quantity>,
) -> Result<Payload<'a>, Reason> {
    let mut payload = Payload::default();
    let mut reasons = Vec::new();
    let mode = volume.default_mode.unwrap_or(DEFAULT_MODE);
    for source in volume.sources.iter().flatten() {
        match of_source(source, pod, namespace, objects, allocatable, mode) {
            Ok(files) => payload.extend(files),
            Err(reason) => reasons.push(reason),
        }
    }
    Reason::of_several(reasons).map_or(Ok(payload), Err)
}

fn of_source<'a>(
    source: &'a VolumeProjection,
    pod: &Pod,
    namespace: &str,
    objects: &'a Objects,
    allocatable: &BTreeMap<String, Quantity>,
    mode: i32,
) -> Result<Payload<'a>, Reason> {
    if let Some(from) = &source.secret {
        let object = objects.secret(namespace, &from.name);
        let optional = from.optional.unwrap_or_default();
        return secret::payload(object, &from.name, from.items.as_deref(), mode, optional);
    }
    if let Some(from) = &source.config_map {
        let object = objects.config_map(namespace, &from.name);
        let optional = from.optional.unwrap_or_default();
        return config_map::payload(object, &from.name, from.items.as_deref(), mode, optional);
    }
    if let Some(from) = &source.downward_api {
        return downward_api::payload(from.items.as_deref().unwrap_or_default(), pod, allocatable, mode);
    }
    if let Some(from) = &source.service_account_token {
        return token_file(from, pod, namespace, objects, mode);
    }
    if let Some(from) = &source.cluster_trust_bundle {
        let optional = from.optional.unwrap_or_default();
        return if optional {
            Ok(Payload::default())
        } else {
            Err(Reason::NeedsApiServer("clusterTrustBundle"))
        };
    }
    if source.pod_certificate.is_some() {
        return Err(Reason::NeedsApiServer("podCertificate"));
    }
    Ok(Payload::default())
}

/// The token of the pod's account. It is for its owner's eyes only as soon as the pod says who that is.
fn token_file<'a>(
    source: &ServiceAccountTokenProjection,
    pod: &Pod,
    namespace: &str,
    objects: &'a Objects,
    mode: i32,
) -> Result<Payload<'a>, Reason> {
    let spec = pod.spec.as_ref();
    let account = spec.and_then(|spec| spec.service_account_name.as_deref()).filter(|name| !name.is_empty());
    let account = account.unwrap_or("default");
    let token = find_token(objects, namespace, account).ok_or_else(|| Reason::NoServiceAccountToken {
        namespace: namespace.to_owned(),
        account: account.to_owned(),
    })?;
    let owner = common_user(pod);
    let grouped = spec.and_then(|spec| spec.security_context.as_ref()?.fs_group).is_some();
    let mut file = File::new(token, if owner.is_some() || grouped { 0o600 } else { mode });
    file.owner = owner;
    let mut payload = Payload::default();
    payload.insert(&source.path, file)?;
    Ok(payload)
}

/// The token in the first Secret, by name, that was made for the account.
fn find_token<'a>(objects: &'a Objects, namespace: &str, account: &str) -> Option<&'a [u8]> {
    let secrets = objects.0.iter().filter(|(key, _)| key.kind == Kind::Secret && key.namespace == namespace);
    secrets.into_iter().find_map(|(_, stored)| match &stored.object {
        Object::Secret(secret) if is_for(secret, account) => {
            secret.data.as_ref()?.get("token").map(|ByteString(token)| token.as_slice())
        }
        _ => None,
    })
}

fn is_for(secret: &Secret, account: &str) -> bool {
    let annotated = secret.metadata.annotations.as_ref().and_then(|all| all.get(ACCOUNT_ANNOTATION));
    secret.type_.as_deref() == Some(TOKEN_SECRET_TYPE) && annotated.is_some_and(|name| name == account)
}

/// The user that every container of the pod runs as, if all of them say so and agree.
fn common_user(pod: &Pod) -> Option<u32> {
    let spec = pod.spec.as_ref()?;
    let of_pod = spec.security_context.as_ref().and_then(|context| context.run_as_user);
    let of =
        |container: &Container| container.security_context.as_ref().and_then(|c| c.run_as_user).or(of_pod);
    let mut users = spec.init_containers.iter().flatten().chain(&spec.containers).map(of);
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok())?
}
