//! An object at rest, as the JSON that the API would send.
//!
//! The typed objects of Kubernetes are mostly room for fields that are not set: a container alone takes 4.6 KB, a pod's JSON with all its
//! status about 3 KB. This module must never hold what does not come back from its JSON as it was.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::error;

/// An object that takes little room. Two are equal if the API would show them alike.
pub(super) struct Packed<T> {
    json: Box<[u8]>,
    of: PhantomData<fn() -> T>,
}

impl<T> PartialEq for Packed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl<T> std::fmt::Debug for Packed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.json))
    }
}

impl<T: Serialize + DeserializeOwned> Packed<T> {
    pub(super) fn of(object: &T) -> Self {
        let json = serde_json::to_vec(object).unwrap_or_else(|error| {
            error!(%error, "an object has no JSON");
            Vec::new()
        });
        Self { json: json.into(), of: PhantomData }
    }

    /// The object. What was packed can be unpacked; should it not be so, it is told and the object counts as not there.
    pub(super) fn open(&self) -> Option<T> {
        serde_json::from_slice(&self.json)
            .inspect_err(|error| error!(%error, "an object does not come back from its JSON"))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_packed_comes_back_and_takes_little_room() {
        let pod: Pod = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "creationTimestamp": "2026-01-02T03:04:05Z"},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"memory": "1Gi"}}}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        let packed = Packed::of(&pod);
        assert_eq!(packed.open().unwrap(), pod);
        assert!(packed.json.len() < size_of::<Pod>() / 4);
        assert_eq!(packed, Packed::of(&pod));
    }
}
