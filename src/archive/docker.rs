//! What `docker save` writes: `manifest.json`, configurations and layers under any paths. It has no manifests as registries have them, so these
//! are made here, the same every time. Rule: `images/archive/importer.go` of containerd.

use serde::Deserialize;

use super::compression::Compression;
use super::descriptor::Config;
use super::entries::Entries;
use super::image::check_layers;
use super::{
    ArchiveError, Blob, Descriptor, Digest, Image, Manifest, Platform, Source, media_type, normalized,
};

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
    let list: Vec<Saved> = entries.json("list of images", MANIFEST)?;
    let (mut images, mut left_out): (Vec<Image>, Vec<String>) = (Vec::new(), Vec::new());
    for saved in list {
        let tags = saved.repo_tags.clone().unwrap_or_default();
        let config: Config = entries.json("configuration", &saved.config)?;
        if platform.rank(&config.platform).is_none() {
            let name = tags.first().cloned().unwrap_or_else(|| saved.config.clone());
            left_out.push(format!("{name} is for {}", config.platform));
            continue;
        }
        let image = image(entries, &saved, &config, &tags)?;
        let is_taken = |name: &&String| images.iter().any(|other| other.names.contains(name));
        if let Some(name) = image.names.iter().find(is_taken) {
            return Err(ArchiveError::Ambiguous { name: name.clone() });
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
    for layer in &saved.layers {
        let (path, file) = entries.file(layer)?.ok_or_else(|| missing("layer", layer))?;
        let kind = match file.compression {
            Compression::None => media_type::DOCKER_LAYER,
            Compression::Gzip => media_type::DOCKER_LAYER_GZIP,
            Compression::Zstd => media_type::OCI_LAYER_ZSTD,
        };
        let descriptor = Descriptor::new(kind, file.digest, file.size);
        found_layers.push((file.compression, file.digest));
        if !blobs.iter().any(|blob| blob.descriptor.digest == descriptor.digest) {
            let (descriptor, source) = (descriptor.clone(), Source::Entry(path.to_owned()));
            blobs.push(Blob { descriptor, children: Vec::new(), source });
        }
        layers.push(descriptor);
    }
    check_layers(config, &found_layers, &saved.config)?;

    let id = config_blob.descriptor.digest;
    let names: Option<Vec<String>> = tags.iter().map(|tag| normalized(tag)).collect();
    let mut names = names.ok_or_else(|| ArchiveError::Name(tags.join(", ")))?;
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Err(ArchiveError::Unnamed(id));
    }
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
