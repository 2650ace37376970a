//! What `docker save` writes: `manifest.json`, configurations and layers under any paths. It has no manifests as registries have them, so these
//! are made here, the same every time. Rule: `images/archive/importer.go` of containerd.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::compression::Compression;
use super::descriptor::Config;
use super::entries::Entries;
use super::follow::Follower;
use super::image::check_layers;
use super::name::named;
use super::{ArchiveError, Blob, Descriptor, Digest, Image, Manifest, Platform, Source, media_type};

/// The name of the list of images.
pub(super) const MANIFEST: &str = "manifest.json";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// The images of an archive, and what was left out because it is for other platforms.
pub(super) fn images(
    entries: &Entries,
    platform: &Platform,
) -> Result<(Vec<Image>, Vec<String>), ArchiveError> {
    let mut follow = Follower::new(entries);
    let list: Vec<Saved> = follow.read("list of images", MANIFEST)?;
    let (mut images, mut left_out): (Vec<Image>, Vec<String>) = (Vec::new(), Vec::new());
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for saved in list {
        let tags = saved.repo_tags.clone().unwrap_or_default();
        follow.count(1 + saved.layers.len() + tags.len())?;
        let config: Config = follow.read("configuration", &saved.config)?;
        if platform.rank(&config.platform).is_none() {
            let name = tags.first().cloned().unwrap_or_else(|| saved.config.clone());
            left_out.push(format!("{name} is for {}", config.platform));
            continue;
        }
        let image = image(entries, &saved, &config, &tags)?;
        for name in &image.names {
            if !taken.insert(name.clone()) {
                return Err(ArchiveError::Ambiguous { name: name.clone() });
            }
        }
        images.push(image);
    }
    Ok((images, left_out))
}

fn image(entries: &Entries, saved: &Saved, config: &Config, tags: &[String]) -> Result<Image, ArchiveError> {
    let missing = |what, name: &str| ArchiveError::Missing { what, name: name.to_owned() };
    let found = entries.file(&saved.config)?;
    let (path, file) = found.ok_or_else(|| missing("configuration", &saved.config))?;
    check_name(path, file.digest)?;
    let described = Descriptor::new(media_type::DOCKER_CONFIG, file.digest, file.size);
    let config_blob =
        Blob { descriptor: described, children: Vec::new(), source: Source::Entry(path.to_owned()) };

    let (mut blobs, mut layers, mut found_layers): (Vec<Blob>, Vec<_>, Vec<_>) = Default::default();
    let mut seen = BTreeSet::new();
    for layer in &saved.layers {
        let (path, file) = entries.file(layer)?.ok_or_else(|| missing("layer", layer))?;
        let kind = match file.compression {
            Compression::None => media_type::DOCKER_LAYER,
            Compression::Gzip => media_type::DOCKER_LAYER_GZIP,
            Compression::Zstd => media_type::OCI_LAYER_ZSTD,
        };
        let descriptor = Descriptor::new(kind, file.digest, file.size);
        found_layers.push((file.compression, file.digest));
        if seen.insert(descriptor.digest) {
            let (descriptor, source) = (descriptor.clone(), Source::Entry(path.to_owned()));
            blobs.push(Blob { descriptor, children: Vec::new(), source });
        }
        layers.push(descriptor);
    }
    check_layers(config, &found_layers, &saved.config)?;

    let id = config_blob.descriptor.digest;
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::DOCKER_MANIFEST.to_owned(),
        artifact_type: String::new(),
        config: config_blob.descriptor.clone(),
        layers,
        annotations: [].into(),
    };
    let no_json = |source| ArchiveError::Json { what: "manifest", name: saved.config.clone(), source };
    let bytes = serde_json::to_vec(&manifest).map_err(no_json)?;
    let target = Descriptor::of(media_type::DOCKER_MANIFEST, &bytes);
    let names: Result<BTreeSet<String>, _> = tags.iter().map(|tag| named(tag, target.digest)).collect();
    let names: Vec<String> = names?.into_iter().collect();
    if names.is_empty() {
        return Err(ArchiveError::Unnamed(id));
    }
    let children = manifest.children();
    blobs.push(config_blob);
    blobs.push(Blob { descriptor: target.clone(), children, source: Source::Bytes(bytes) });
    Ok(Image { names, target, id, blobs })
}

/// A configuration is named after its digest, in one of several ways.
fn check_name(path: &str, found: Digest) -> Result<(), ArchiveError> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let digits = name.strip_prefix("sha256:").unwrap_or(name);
    let said = Digest::from_digits(digits.strip_suffix(".json").unwrap_or(digits));
    if said.is_some_and(|said| said != found) {
        return Err(ArchiveError::WrongDigest { path: path.to_owned(), found });
    }
    Ok(())
}
