//! Which registries images may come from.
//!
//! Names are compared in full, part by part: `busybox` is `docker.io/library/busybox`, and `docker.io/library` allows it. Which name
//! the runtime's mirrors turn it into is not seen here.

use std::fmt;

use k8s_openapi::api::core::v1::PodSpec;

use super::not_listed;
use crate::image::ImageName;
use crate::manifest::FieldPath;
use crate::manifest::validate::FieldError;

/// A registry, or a part of one: `registry.example:5000/team`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry(String);

impl Registry {
    /// Reads a registry with or without a path.
    ///
    /// # Errors
    /// When the text is none; says what one looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "write registry.example, registry.example:5000/team, or docker.io/library for official images";
        let fault = || format!("{text:?} is no registry: {FORM}");
        // What stands before an image's name, without tag and digest, is all that may be written here.
        let image = format!("{text}/image");
        let name = ImageName::parse(&image).map_err(|_| fault())?;
        let (written, _) = text.split_once('/').unwrap_or((text, ""));
        let says_registry =
            name.repository().split('/').next() == Some(written) || written == "index.docker.io";
        let prefix = name.repository().strip_suffix("/image").filter(|_| says_registry).ok_or_else(fault)?;
        // An image right below Docker Hub is an official one; the whole of the hub is meant.
        let is_hub = !text.contains('/') && prefix == "docker.io/library";
        Ok(Self(comparable(if is_hub { "docker.io" } else { prefix })))
    }

    fn has(&self, image: &ImageName) -> bool {
        let repository = comparable(image.repository());
        repository.strip_prefix(&self.0).is_some_and(|rest| rest.starts_with('/') || rest.is_empty())
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Host names are the same in capitals; the rest of a name has none.
fn comparable(repository: &str) -> String {
    repository.to_ascii_lowercase()
}

/// Registries that images may come from; none at all: any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registries(Vec<Registry>);

impl Registries {
    /// A list of these registries.
    pub fn new(allowed: Vec<Registry>) -> Self {
        Self(allowed)
    }

    /// One error for each image of the pod that is from elsewhere, images of volumes included.
    pub(super) fn refuse(&self, spec: &PodSpec) -> Vec<FieldError> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let of = |field, containers| images_of(FieldPath::new(field), containers);
        let init = of("spec.initContainers", spec.init_containers.as_deref().unwrap_or_default());
        let volumes = spec.volumes.iter().flatten().enumerate().filter_map(|(index, volume)| {
            let reference = volume.image.as_ref()?.reference.as_deref()?;
            Some((FieldPath::new("spec.volumes").index(index).child("image.reference"), reference))
        });
        let all = init.chain(of("spec.containers", &spec.containers)).chain(volumes);
        let listed: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        let allowed = format!("images from {}", listed.join(", "));
        all.filter_map(|(path, image)| {
            let name = ImageName::parse(image).ok();
            let is_allowed = name.as_ref().is_some_and(|name| self.0.iter().any(|it| it.has(name)));
            let shown = name.as_ref().map_or(image, ImageName::repository);
            (!is_allowed).then(|| not_listed(path, shown, &allowed, "allowedImageRegistries"))
        })
        .collect()
    }
}

fn images_of(
    path: FieldPath,
    containers: &[k8s_openapi::api::core::v1::Container],
) -> impl Iterator<Item = (FieldPath, &str)> {
    containers.iter().enumerate().filter_map(move |(index, container)| {
        Some((path.index(index).child("image"), container.image.as_deref()?))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_registry_is_written_with_its_host_and_perhaps_a_path() {
        for (text, expected) in [
            ("registry.example", "registry.example"),
            ("registry.example:5000/team/a", "registry.example:5000/team/a"),
            ("Registry.Example/team", "registry.example/team"),
            ("localhost", "localhost"),
            ("docker.io", "docker.io"),
            ("index.docker.io", "docker.io"),
            ("docker.io/library", "docker.io/library"),
            ("docker.io/prom", "docker.io/prom"),
        ] {
            let found = Registry::parse(text).map(|registry| registry.to_string());
            assert_eq!(found.as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "/",
            "library",
            "prom/node",
            "https://registry.example",
            "registry.example/",
            "r.example/a:1",
            "a b",
        ] {
            assert!(Registry::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn images_are_compared_by_their_full_name() {
        for (allowed, image, expected) in [
            ("docker.io", "busybox:1", true),
            ("docker.io", "index.docker.io/prom/x", true),
            ("docker.io/library", "busybox", true),
            ("docker.io/library", "prom/node-exporter", false),
            ("registry.example", "registry.example/a/b:1", true),
            ("registry.example", "REGISTRY.example/a", true),
            ("registry.example", "registry.example:5000/a", false),
            ("registry.example", "registry.example.evil.test/a", false),
            ("registry.example", "evil.test/registry.example/a", false),
            ("registry.example/team", "registry.example/team/a", true),
            ("registry.example/team", "registry.example/teams/a", false),
            ("registry.example/team/a", "registry.example/team/a:2", true),
        ] {
            let (registry, image) = (Registry::parse(allowed).unwrap(), ImageName::parse(image).unwrap());
            assert_eq!(registry.has(&image), expected, "{allowed} {image}");
        }
    }

    #[test]
    fn each_image_from_elsewhere_is_named() {
        let spec: PodSpec = serde_json::from_value(json!({
            "initContainers": [{"name": "i", "image": "r.example/a"}, {"name": "j", "image": "busybox:1"}],
            "containers": [{"name": "c", "image": "ghcr.io/x/y@nonsense"}],
            "volumes": [{"name": "v", "image": {"reference": "quay.io/v"}}, {"name": "w", "emptyDir": {}}],
        }))
        .unwrap();
        let list = Registries::new(vec![Registry::parse("r.example").unwrap()]);
        let found = list.refuse(&spec);
        let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
        let fields: Vec<&str> = shown.iter().map(|text| text.split(": ").next().unwrap()).collect();
        assert_eq!(
            fields,
            ["spec.initContainers[1].image", "spec.containers[0].image", "spec.volumes[0].image.reference"]
        );
        assert_eq!(
            shown[0],
            "spec.initContainers[1].image: Forbidden: \"docker.io/library/busybox\" is not allowed on this node, only images from \
             r.example: use one of these, or add it to allowedImageRegistries in the agent's configuration"
        );
        assert_eq!(Registries::default().refuse(&spec), []);
    }
}
