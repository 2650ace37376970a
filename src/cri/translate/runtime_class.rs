//! Which handler of the runtime runs a pod.
//!
//! Rule: `LookupRuntimeHandler` in the kubelet's `pkg/kubelet/runtimeclass`.

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::api::node::v1::RuntimeClass;

use super::error::TranslateError;
use crate::manifest::{Kind, Object, Objects};

/// The `RuntimeClass` that a pod names, if it names one.
///
/// # Errors
/// It names one that is not among the objects.
pub fn runtime_class<'a>(
    spec: &PodSpec,
    objects: &'a Objects,
) -> Result<Option<&'a RuntimeClass>, TranslateError> {
    let Some(name) = spec.runtime_class_name.as_deref().filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    match objects.get(Kind::RuntimeClass, "", name) {
        Some(Object::RuntimeClass(class)) => Ok(Some(class)),
        _ => Err(TranslateError::RuntimeClass(name.to_owned())),
    }
}

/// The handler to run the pod with; `""` is the runtime's own choice.
///
/// # Errors
/// The pod names a `RuntimeClass` that is not among the objects.
pub fn runtime_handler(spec: &PodSpec, objects: &Objects) -> Result<String, TranslateError> {
    Ok(runtime_class(spec, objects)?.map(|class| class.handler.clone()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Origin, Stored};
    use std::path::Path;
    use std::sync::Arc;

    #[test]
    fn a_class_names_its_handler_and_a_missing_one_is_an_error() {
        let mut class = RuntimeClass { handler: "kata-qemu".to_owned(), ..RuntimeClass::default() };
        class.metadata.name = Some("kata".to_owned());
        let object = Object::RuntimeClass(class);
        let origin = Origin { file: Arc::from(Path::new("-")), line: 1 };
        let objects = Objects([(object.key(), Arc::new(Stored { origin, object }))].into());
        let named = |name: &str| {
            let spec = PodSpec { runtime_class_name: Some(name.to_owned()), ..PodSpec::default() };
            runtime_handler(&spec, &objects).map_err(|error| error.to_string())
        };
        assert_eq!(runtime_handler(&PodSpec::default(), &objects), Ok(String::new()));
        assert_eq!(named(""), Ok(String::new()));
        assert_eq!(named("kata"), Ok("kata-qemu".to_owned()));
        assert_eq!(named("gvisor"), Err("runtimeclass.node.k8s.io \"gvisor\" not found".to_owned()));
    }
}
