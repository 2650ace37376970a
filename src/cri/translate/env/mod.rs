//! A container's environment: `envFrom`, `env`, and where the API server is.
//!
//! Rule: `makeEnvironmentVariables` in the kubelet's `pkg/kubelet/kubelet_pods.go`. The kubelet gives the variables in no order; here
//! each keeps the place where it was first set, so that the same pod always yields the same request.

mod service;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapKeySelector, Container, EnvFromSource, EnvVarSource, Pod, Secret, SecretKeySelector,
};

use super::downward::{field_value, resource_value};
use super::error::TranslateError;
use super::expansion::expand;
use super::host::Host;
use super::view::PodView;
use crate::manifest::Objects;

/// The variables of a container, each name once; `ips` are the pod's addresses, as [`super::pod_ips::pod_ips`] gives them.
///
/// # Errors
/// An object or key that is not optional is missing, or a field does not exist.
pub fn resolve(
    pod: &Pod,
    container: &Container,
    objects: &Objects,
    ips: &[IpAddr],
    host: &Host,
) -> Result<Vec<(String, String)>, TranslateError> {
    let view = PodView::of(pod)?;
    if view.spec.enable_service_links.is_none() {
        return Err(TranslateError::NoServiceLinks);
    }
    let services = host.api_server.as_ref().map(service::variables).unwrap_or_default();
    let sources = Sources { pod, view, container, objects, ips, host };
    let mut variables = Variables::default();
    for source in container.env_from.iter().flatten() {
        sources.read_all(source, &mut variables)?;
    }
    for variable in container.env.iter().flatten() {
        let literal = variable.value.as_deref().unwrap_or_default();
        let value = match &variable.value_from {
            _ if !literal.is_empty() => {
                Some(expand(literal, |name| variables.get(name).or_else(|| lookup(&services, name))))
            }
            Some(source) => sources.read_one(&variable.name, source)?,
            None => Some(String::new()),
        };
        if let Some(value) = value {
            variables.set(&variable.name, value);
        }
    }
    for (name, value) in services {
        if variables.get(&name).is_none() {
            variables.set(&name, value);
        }
    }
    Ok(variables.0)
}

#[derive(Default)]
struct Variables(Vec<(String, String)>);

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        lookup(&self.0, name)
    }

    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }
}

fn lookup<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
    variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

struct Sources<'a> {
    pod: &'a Pod,
    view: PodView<'a>,
    container: &'a Container,
    objects: &'a Objects,
    ips: &'a [IpAddr],
    host: &'a Host,
}

impl Sources<'_> {
    /// Sets a variable for every key of an object.
    fn read_all(&self, source: &EnvFromSource, variables: &mut Variables) -> Result<(), TranslateError> {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &source.config_map_ref {
            if let Some(found) = self.config_map(&reference.name, reference.optional)? {
                for (key, value) in found.data.iter().flatten() {
                    variables.set(&format!("{prefix}{key}"), value.clone());
                }
            }
        } else if let Some(reference) = &source.secret_ref
            && let Some(found) = self.secret(&reference.name, reference.optional)?
        {
            for (key, value) in found.data.iter().flatten() {
                variables.set(&format!("{prefix}{key}"), text(&reference.name, key, &value.0)?);
            }
        }
        Ok(())
    }

    /// A single value; `None` where what is optional is missing.
    fn read_one(&self, name: &str, source: &EnvVarSource) -> Result<Option<String>, TranslateError> {
        if let Some(field) = &source.field_ref {
            field_value(self.pod, field, self.ips, self.host).map(Some)
        } else if let Some(selector) = &source.resource_field_ref {
            resource_value(self.view.spec, Some(self.container), selector, self.host).map(Some)
        } else if let Some(selector) = &source.config_map_key_ref {
            self.config_map_key(selector)
        } else if let Some(selector) = &source.secret_key_ref {
            self.secret_key(selector)
        } else if source.file_key_ref.is_some() {
            Err(TranslateError::FileKeyRef(name.to_owned()))
        } else {
            Ok(Some(String::new()))
        }
    }

    fn config_map_key(&self, selector: &ConfigMapKeySelector) -> Result<Option<String>, TranslateError> {
        let Some(found) = self.config_map(&selector.name, selector.optional)? else { return Ok(None) };
        match found.data.as_ref().and_then(|data| data.get(&selector.key)) {
            Some(value) => Ok(Some(value.clone())),
            None if selector.optional == Some(true) => Ok(None),
            None => Err(TranslateError::ConfigMapKey {
                key: selector.key.clone(),
                namespace: self.view.namespace.to_owned(),
                name: selector.name.clone(),
            }),
        }
    }

    fn secret_key(&self, selector: &SecretKeySelector) -> Result<Option<String>, TranslateError> {
        let Some(found) = self.secret(&selector.name, selector.optional)? else { return Ok(None) };
        match found.data.as_ref().and_then(|data| data.get(&selector.key)) {
            Some(value) => text(&selector.name, &selector.key, &value.0).map(Some),
            None if selector.optional == Some(true) => Ok(None),
            None => Err(TranslateError::SecretKey {
                key: selector.key.clone(),
                namespace: self.view.namespace.to_owned(),
                name: selector.name.clone(),
            }),
        }
    }

    fn config_map(&self, name: &str, optional: Option<bool>) -> Result<Option<&ConfigMap>, TranslateError> {
        match self.objects.config_map(self.view.namespace, name) {
            None if optional != Some(true) => Err(TranslateError::ConfigMapMissing(name.to_owned())),
            found => Ok(found),
        }
    }

    fn secret(&self, name: &str, optional: Option<bool>) -> Result<Option<&Secret>, TranslateError> {
        match self.objects.secret(self.view.namespace, name) {
            None if optional != Some(true) => Err(TranslateError::SecretMissing(name.to_owned())),
            found => Ok(found),
        }
    }
}

// The CRI carries values as text; a runtime refuses the whole request for one that is not.
fn text(name: &str, key: &str, bytes: &[u8]) -> Result<String, TranslateError> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| TranslateError::SecretNotText { key: key.to_owned(), name: name.to_owned() })
}
