//! The value of a pod's priority class (the `priority` admission plugin of the API server).

use std::cmp::Reverse;

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use thiserror::Error;

use super::blueprint::system_priority;
use super::record::PodRecord;
use crate::manifest::{DaemonSetKey, Kind, Object, Objects};

/// A pod names a class that nobody has defined.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "no PriorityClass with name {0} was found; add one to the store, or use a class that every cluster has: system-node-critical"
)]
pub struct UnknownClass(String);

/// The priority of a pod: that of the class it names, or of the lowest class marked `globalDefault`, or none.
///
/// # Errors
/// When it names a class that is not in the store.
pub fn resolve(spec: &PodSpec, objects: &Objects) -> Result<Option<i32>, UnknownClass> {
    match spec.priority_class_name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => match (system_priority(name), objects.get(Kind::PriorityClass, "", name)) {
            (Some(value), _) => Ok(Some(value)),
            (None, Some(Object::PriorityClass(class))) => Ok(Some(class.value)),
            _ => Err(UnknownClass(name.to_owned())),
        },
        None => Ok(classes(objects)
            .filter(|class| class.global_default == Some(true))
            .map(|class| class.value)
            .min()),
    }
}

/// Who starts first: the pod of the highest priority, and of two with the same the one whose DaemonSet's name comes first.
pub fn start_order(record: &PodRecord) -> (Reverse<i32>, DaemonSetKey) {
    let priority = record.pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or_default();
    (Reverse(priority), record.daemon_set.clone())
}

/// Whether a pod may displace others, as its class says: the one it names, or the default one that gives it its priority.
pub fn preemption_policy<'a>(spec: &PodSpec, objects: &'a Objects) -> Option<&'a str> {
    let class = match spec.priority_class_name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) if system_priority(name).is_some() => return None,
        Some(name) => classes(objects).find(|class| class.metadata.name.as_deref() == Some(name)),
        None => classes(objects)
            .filter(|class| class.global_default == Some(true))
            .min_by_key(|class| class.value),
    };
    class?.preemption_policy.as_deref()
}

fn classes(objects: &Objects) -> impl Iterator<Item = &PriorityClass> {
    objects.0.values().filter_map(|stored| match &stored.object {
        Object::PriorityClass(class) => Some(class),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use k8s_openapi::jiff::Timestamp;

    use crate::manifest::{Origin, Stored};
    use crate::pod::identity::{Incarnation, PodUid};
    use crate::rollout::RevisionHash;

    fn objects(classes: &[(&str, i32, bool)]) -> Objects {
        let stored = classes.iter().map(|(name, value, default)| {
            let class = json!({"metadata": {"name": name}, "value": value, "globalDefault": default});
            let object = Object::PriorityClass(serde_json::from_value(class).expect("a class"));
            let origin = Origin { file: Path::new("x.yaml").into(), line: 1 };
            (object.key(), Arc::new(Stored { origin, object }))
        });
        Objects(stored.collect())
    }

    fn resolved(class: &str, classes: &[(&str, i32, bool)]) -> Result<Option<i32>, UnknownClass> {
        let spec = PodSpec { priority_class_name: Some(class.to_owned()), ..PodSpec::default() };
        resolve(&spec, &objects(classes))
    }

    #[test]
    fn the_most_important_start_first_and_equals_by_name() {
        let record = |name: &str, priority: i32| {
            let pod = json!({"metadata": {"name": name}, "spec": {"priority": priority, "containers": []}});
            let key = DaemonSetKey { namespace: "test".to_owned(), name: name.to_owned() };
            let uid = PodUid::parse(name).unwrap();
            let revision = (RevisionHash::from_label("x"), 1);
            let pod = serde_json::from_value(pod).unwrap();
            PodRecord::new(uid, key, revision, Incarnation(1), Timestamp::UNIX_EPOCH, pod)
        };
        let mut records =
            [record("b", 0), record("a", 0), record("low", -5), record("dns", 2_000_001_000), record("c", 7)];
        records.sort_by_cached_key(start_order);
        let order: Vec<&str> = records.iter().map(|it| it.daemon_set.name.as_str()).collect();
        assert_eq!(order, ["dns", "c", "a", "b", "low"]);
    }

    #[test]
    fn the_class_the_default_or_none() {
        let classes = [("high", 100, false), ("a", 9, true), ("b", 7, true)];
        assert_eq!(resolved("high", &classes), Ok(Some(100)));
        assert_eq!(resolved("system-node-critical", &[]), Ok(Some(2_000_001_000)));
        assert_eq!(resolved("", &classes), Ok(Some(7)));
        assert_eq!(resolved("", &[]), Ok(None));
        assert!(resolved("unknown", &classes).is_err());
    }

    #[test]
    fn a_class_says_whether_its_pods_displace_others() {
        let mut objects = objects(&[("gentle", 100, false), ("other", 5, false)]);
        for stored in objects.0.values_mut() {
            let mut object = Stored::clone(stored);
            if let Object::PriorityClass(class) = &mut object.object
                && class.metadata.name.as_deref() == Some("gentle")
            {
                class.preemption_policy = Some("Never".to_owned());
            }
            *stored = Arc::new(object);
        }
        for (class, policy) in
            [("gentle", Some("Never")), ("other", None), ("system-node-critical", None), ("", None)]
        {
            let spec = PodSpec { priority_class_name: Some(class.to_owned()), ..PodSpec::default() };
            assert_eq!(preemption_policy(&spec, &objects), policy, "{class}");
        }
    }
}
