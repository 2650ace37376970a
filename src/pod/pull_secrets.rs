//! The credentials of a pod's `imagePullSecrets`.
//!
//! Pure. A secret that is not in the store is left out; one that is none of the two kinds, or is empty, means nothing; one that can't be read fails
//! the pull. Rules: `getPullSecretsForPod` of the kubelet and `MakeDockerKeyring` of `pkg/credentialprovider/secrets`.

use k8s_openapi::api::core::v1::Pod;

use crate::image::{CredentialsError, Keyring, SecretFormat};
use crate::manifest::Objects;

/// What a pod's pull secrets give.
#[derive(Debug, Default)]
pub struct PullSecrets {
    /// What those hold that can be used.
    pub keyring: Keyring,
    /// The names of those that are not in the store.
    pub missing: Vec<String>,
    /// Those that are not what they claim to be.
    pub unusable: Vec<UnusableSecret>,
}

/// A pull secret that is not what it claims to be. Says nothing of what it holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use the image pull secret {name:?}")]
pub struct UnusableSecret {
    /// Its name.
    pub name: String,
    /// Where it stops making sense.
    #[source]
    pub problem: CredentialsError,
}

/// Reads the pod's pull secrets from the store.
pub fn read(pod: &Pod, objects: &Objects) -> PullSecrets {
    let mut read = PullSecrets::default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let secrets = pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_deref());
    for reference in secrets.unwrap_or_default().iter().filter(|reference| !reference.name.is_empty()) {
        let name = &reference.name;
        let Some(secret) = objects.secret(namespace, name) else {
            read.missing.push(name.clone());
            continue;
        };
        let format = secret.type_.as_deref().and_then(SecretFormat::of_secret_type);
        let document = format.and_then(|format| {
            let document = secret.data.as_ref()?.get(format.data_key())?;
            Some((format, document.0.as_slice()))
        });
        if let Some((format, document)) = document.filter(|(_, document)| !document.is_empty())
            && let Err(problem) = read.keyring.add(format, document)
        {
            read.unusable.push(UnusableSecret { name: name.clone(), problem });
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::Secret;
    use serde_json::json;

    use super::*;
    use crate::error_chain::error_chain;
    use crate::image::ImageName;
    use crate::manifest::{Object, Origin, Stored};

    fn objects(secrets: &[(&str, &str, &str)]) -> Objects {
        let secrets = secrets.iter().map(|(name, format, text)| {
            let mut secret = Secret { type_: Some(format!("kubernetes.io/{format}")), ..Secret::default() };
            (secret.metadata.namespace, secret.metadata.name) = (Some("ns".into()), Some((*name).into()));
            secret.data = Some([(format!(".{format}"), ByteString(text.as_bytes().to_vec()))].into());
            let origin = Origin { file: Arc::from(Path::new("secrets.yaml")), line: 1 };
            let object = Object::Secret(secret);
            (object.key(), Arc::new(Stored { origin, object }))
        });
        Objects(secrets.collect())
    }

    #[test]
    fn each_secret_is_used_missing_unusable_or_none() {
        let objects = objects(&[
            ("good", "dockerconfigjson", r#"{"auths": {"r.example": {"username": "u", "password": "p"}}}"#),
            ("shape", "dockerconfigjson", r#"{"auths": ["hunter2"]}"#),
            ("colon", "dockercfg", r#"{"r.example": {"auth": "aHVudGVyMg=="}}"#),
            ("empty", "dockerconfigjson", ""),
            ("other", "opaque", "hunter2"),
        ]);
        let names = ["good", "shape", "colon", "empty", "other", "absent", ""];
        let references: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
        let pod = json!({"metadata": {"namespace": "ns"}, "spec": {"containers": [], "imagePullSecrets": references}});
        let found = read(&serde_json::from_value(pod).unwrap(), &objects);
        assert_eq!(found.missing, ["absent"]);
        let unusable: Vec<_> = found.unusable.iter().map(|problem| error_chain(problem)).collect();
        assert_eq!(
            unusable,
            [
                "use the image pull secret \"shape\": not valid registry credentials: line 1, column 10",
                "use the image pull secret \"colon\": unable to parse auth field of registry \"r.example\", must be formatted as base64(username:password)",
            ]
        );
        assert_eq!(found.keyring.lookup(&ImageName::parse("r.example/a").unwrap()).len(), 1);
    }
}
