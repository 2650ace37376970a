//! The built-in sandbox image: one static program of ours that waits (`pause.c`), so that a node without a registry can have pods.
//!
//! The same program gives the same image, to the last byte. Rule for what it does: `build/pause/linux/pause.c` of Kubernetes; its image's user
//! is that image's, too.

use serde_json::json;

use crate::archive::{Blob, Descriptor, Digest, Image, Manifest, Platform, Source, TarWriter, media_type};

/// Built for the target; empty where it can't be.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));
const PATH: &str = "pause";
/// Nobody in particular.
const USER: &str = "65535:65535";

/// The image, under this name; none on processors that the program isn't written for.
pub fn built_in_sandbox_image(name: &str) -> Option<Image> {
    if PROGRAM.is_empty() {
        return None;
    }
    let mut layer = TarWriter::new(Vec::new());
    layer.file(PATH, PROGRAM.len() as u64, 0o555, PROGRAM).ok()?;
    let layer = layer.finish().ok()?;
    let platform = Platform::of_this_node();
    let config = json!({
        "created": "1970-01-01T00:00:00Z",
        "os": platform.os,
        "architecture": platform.architecture,
        "config": {"Entrypoint": [format!("/{PATH}")], "User": USER, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer)]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "daemonlet: built-in sandbox image"}],
    });
    let config = serde_json::to_vec(&config).ok()?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.to_owned(),
        artifact_type: String::new(),
        config: Descriptor::of(media_type::OCI_CONFIG, &config),
        layers: vec![Descriptor::of(media_type::OCI_LAYER, &layer)],
        annotations: [].into(),
    };
    let bytes = serde_json::to_vec(&manifest).ok()?;
    let target = Descriptor::of(media_type::OCI_MANIFEST, &bytes);
    let children = manifest.children();
    let blob = |descriptor: &Descriptor, bytes, children| Blob {
        descriptor: descriptor.clone(),
        children,
        source: Source::Bytes(bytes),
    };
    let layers = manifest.layers.iter().map(|descriptor| blob(descriptor, layer.clone(), Vec::new()));
    let mut blobs: Vec<Blob> = layers.collect();
    blobs.push(blob(&manifest.config, config, Vec::new()));
    blobs.push(blob(&target, bytes, children));
    Some(Image { names: vec![name.to_owned()], target, id: manifest.config.digest, blobs })
}

#[cfg(test)]
mod tests;
