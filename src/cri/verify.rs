//! What every v1 runtime's answer must hold, checked before anything is decided on it.
//!
//! The rules are the kubelet's (`cri-client`, `remote_runtime.go` and `remote_image.go`): an answer that fails here counts as a
//! failed call, never as "the pod has no id". Each function names the first field that is missing.

use super::proto::{ContainerStatus, Image, PodSandboxStatus, StatusResponse, VersionResponse};

/// The version that every v1 runtime reports for its API.
pub(super) const API_VERSION: &str = "0.1.0";

/// What is wrong with an answer.
pub(super) type Problem = String;

fn missing(what: &str) -> Problem {
    format!("{what} is not set")
}

fn require(present: bool, what: &str) -> Result<(), Problem> {
    if present { Ok(()) } else { Err(missing(what)) }
}

pub(super) fn id(id: &str, what: &str) -> Result<(), Problem> {
    require(!id.is_empty(), what)
}

pub(super) fn version(answer: &VersionResponse) -> Result<(), Problem> {
    require(!answer.runtime_name.is_empty(), "runtime_name")?;
    require(!answer.runtime_version.is_empty(), "runtime_version")?;
    require(!answer.runtime_api_version.is_empty(), "runtime_api_version")?;
    if answer.version == API_VERSION {
        Ok(())
    } else {
        Err(format!("API version {:?} where CRI v1 says {API_VERSION:?}", answer.version))
    }
}

pub(super) fn status(answer: &StatusResponse) -> Result<(), Problem> {
    for condition in [StatusResponse::RUNTIME_READY, StatusResponse::NETWORK_READY] {
        require(answer.condition(condition).is_some(), &format!("condition {condition}"))?;
    }
    Ok(())
}

pub(super) fn sandbox(answer: Option<PodSandboxStatus>) -> Result<PodSandboxStatus, Problem> {
    let status = answer.ok_or_else(|| missing("status"))?;
    require(!status.id.is_empty(), "status.id")?;
    let metadata = status.metadata.as_ref().ok_or_else(|| missing("status.metadata"))?;
    require(!metadata.name.is_empty(), "status.metadata.name")?;
    require(!metadata.namespace.is_empty(), "status.metadata.namespace")?;
    require(!metadata.uid.is_empty(), "status.metadata.uid")?;
    require(status.created_at != 0, "status.created_at")?;
    Ok(status)
}

pub(super) fn container(answer: Option<ContainerStatus>) -> Result<ContainerStatus, Problem> {
    let status = answer.ok_or_else(|| missing("status"))?;
    require(!status.id.is_empty(), "status.id")?;
    require(status.metadata.as_ref().is_some_and(|m| !m.name.is_empty()), "status.metadata.name")?;
    require(status.created_at != 0, "status.created_at")?;
    require(status.image.as_ref().is_some_and(|i| !i.image.is_empty()), "status.image.image")?;
    require(!status.image_ref.is_empty(), "status.image_ref")?;
    Ok(status)
}

/// No image at all is a good answer: it is not there.
pub(super) fn image(answer: Option<Image>) -> Result<Option<Image>, Problem> {
    if let Some(image) = &answer {
        require(!image.id.is_empty(), "image.id")?;
        require(image.size != 0, "image.size")?;
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cri::proto::{
        ContainerMetadata, ImageSpec, PodSandboxMetadata, RuntimeCondition, RuntimeStatus,
    };

    fn sandbox_status() -> PodSandboxStatus {
        PodSandboxStatus {
            id: "s".into(),
            metadata: Some(PodSandboxMetadata {
                name: "n".into(),
                namespace: "ns".into(),
                uid: "u".into(),
                attempt: 0,
            }),
            created_at: 1,
            ..Default::default()
        }
    }

    fn container_status() -> ContainerStatus {
        ContainerStatus {
            id: "c".into(),
            metadata: Some(ContainerMetadata { name: "n".into(), attempt: 0 }),
            created_at: 1,
            image: Some(ImageSpec { image: "i".into(), ..Default::default() }),
            image_ref: "sha256:1".into(),
            ..Default::default()
        }
    }

    /// What makes an answer bad, and the field that is then missed.
    type Spoiled<T, const N: usize> = [(fn(&mut T), &'static str); N];

    /// The problem that is found when `spoil` was done to a good answer.
    fn spoiled<T>(mut good: T, spoil: fn(&mut T), check: fn(Option<T>) -> Result<T, Problem>) -> Problem {
        spoil(&mut good);
        check(Some(good)).err().unwrap_or_default()
    }

    #[test]
    fn a_sandbox_must_have_an_identity_and_a_time() {
        assert!(sandbox(Some(sandbox_status())).is_ok());
        assert_eq!(sandbox(None).unwrap_err(), "status is not set");
        let cases: Spoiled<PodSandboxStatus, 6> = [
            (|s| s.id.clear(), "status.id"),
            (|s| s.metadata = None, "status.metadata"),
            (|s| s.metadata.as_mut().unwrap().name.clear(), "status.metadata.name"),
            (|s| s.metadata.as_mut().unwrap().namespace.clear(), "status.metadata.namespace"),
            (|s| s.metadata.as_mut().unwrap().uid.clear(), "status.metadata.uid"),
            (|s| s.created_at = 0, "status.created_at"),
        ];
        for (spoil, what) in cases {
            assert_eq!(spoiled(sandbox_status(), spoil, sandbox), format!("{what} is not set"));
        }
    }

    #[test]
    fn a_container_must_have_an_identity_a_time_and_an_image() {
        assert!(container(Some(container_status())).is_ok());
        assert_eq!(container(None).unwrap_err(), "status is not set");
        let cases: Spoiled<ContainerStatus, 6> = [
            (|s| s.id.clear(), "status.id"),
            (|s| s.metadata = None, "status.metadata.name"),
            (|s| s.metadata.as_mut().unwrap().name.clear(), "status.metadata.name"),
            (|s| s.created_at = 0, "status.created_at"),
            (|s| s.image = None, "status.image.image"),
            (|s| s.image_ref.clear(), "status.image_ref"),
        ];
        for (spoil, what) in cases {
            assert_eq!(spoiled(container_status(), spoil, container), format!("{what} is not set"));
        }
    }

    #[test]
    fn a_runtime_must_speak_v1_and_name_itself() {
        let good = VersionResponse {
            version: "0.1.0".into(),
            runtime_name: "containerd".into(),
            runtime_version: "2.0".into(),
            runtime_api_version: "v1".into(),
        };
        assert_eq!(version(&good), Ok(()));
        let unnamed = VersionResponse { runtime_name: String::new(), ..good.clone() };
        assert_eq!(version(&unnamed).unwrap_err(), "runtime_name is not set");
        let other = VersionResponse { version: "0.2.0".into(), ..good };
        assert_eq!(version(&other).unwrap_err(), "API version \"0.2.0\" where CRI v1 says \"0.1.0\"");
    }

    #[test]
    fn a_status_must_have_both_conditions_and_an_image_its_id_and_size() {
        let condition = |kind: &str| RuntimeCondition { r#type: kind.into(), ..Default::default() };
        let mut answer = StatusResponse {
            status: Some(RuntimeStatus { conditions: vec![condition("RuntimeReady")] }),
            ..Default::default()
        };
        assert_eq!(status(&answer).unwrap_err(), "condition NetworkReady is not set");
        answer.status.as_mut().unwrap().conditions.push(condition("NetworkReady"));
        assert_eq!(status(&answer), Ok(()));

        assert_eq!(image(None), Ok(None));
        let found = Image { id: "i".into(), size: 1, ..Default::default() };
        assert!(image(Some(found.clone())).is_ok());
        assert_eq!(image(Some(Image { size: 0, ..found })).unwrap_err(), "image.size is not set");
    }
}
