//! Archives made by hand.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::archive::{
    Descriptor, Digest, Index, Manifest, NAME_ANNOTATION, Platform, TarWriter, blob_path, media_type,
};

pub(super) fn amd64() -> Platform {
    Platform::new("linux", "amd64")
}

/// The files of an archive.
#[derive(Debug, Default, Clone)]
pub(super) struct Files {
    files: BTreeMap<String, Vec<u8>>,
    links: Vec<(String, String)>,
}

impl Files {
    pub(super) fn put(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.files.insert(path.to_owned(), content.into());
    }

    pub(super) fn with(mut self, path: &str, content: &str) -> Self {
        self.put(path, content);
        self
    }

    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.links.push((path.to_owned(), target.to_owned()));
    }

    pub(super) fn blob(&mut self, media_type: &str, content: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type, content);
        self.put(&blob_path(descriptor.digest), content);
        descriptor
    }

    pub(super) fn remove(&mut self, descriptor: &Descriptor) {
        self.files.remove(&blob_path(descriptor.digest)).unwrap();
    }

    /// Replaces `index.json`.
    pub(super) fn index(&mut self, images: &[(&Descriptor, Option<&str>)]) {
        let mut manifests = Vec::new();
        for (descriptor, name) in images {
            let mut descriptor = Descriptor::clone(descriptor);
            if let Some(name) = name {
                descriptor.annotations.insert(NAME_ANNOTATION.into(), (*name).into());
            }
            manifests.push(descriptor);
        }
        self.put("index.json", index(manifests));
    }

    pub(super) fn nested_index(&mut self, manifests: &[&Descriptor]) -> Descriptor {
        let bytes = index(manifests.iter().copied().cloned().collect());
        self.blob(media_type::OCI_INDEX, &bytes)
    }

    fn blobs_like(&self, mut is_so: impl FnMut(&[u8]) -> bool) -> Vec<String> {
        let blobs = self.files.iter().filter(|(path, content)| path.starts_with("blobs/") && is_so(content));
        blobs.map(|(path, _)| path.clone()).collect()
    }

    /// With a byte of a layer turned.
    pub(super) fn damaged(mut self) -> Self {
        let layer = self.blobs_like(|content| content[0] != b'{').remove(0);
        self.files.get_mut(&layer).unwrap()[600] ^= 1;
        self
    }

    pub(super) fn without_layers(mut self) -> Self {
        for layer in self.blobs_like(|content| content[0] != b'{') {
            self.files.remove(&layer);
        }
        self
    }

    /// With a manifest that is wrong about the size of its layer.
    pub(super) fn resized(mut self) -> Self {
        let path = self.blobs_like(|content| content.windows(8).any(|it| it == b"\"layers\"")).remove(0);
        let mut manifest: Manifest = serde_json::from_slice(&self.files[&path]).unwrap();
        manifest.layers[0].size += 1;
        let descriptor = self.blob(media_type::OCI_MANIFEST, &serde_json::to_vec(&manifest).unwrap());
        self.index(&[(&descriptor, Some("a:1"))]);
        self
    }

    pub(super) fn tar(&self) -> Vec<u8> {
        let mut archive = TarWriter::new(Vec::new());
        for (path, target) in &self.links {
            archive.link(path, target).unwrap();
        }
        for (path, content) in &self.files {
            archive.file(path, content.len() as u64, 0o644, content.as_slice()).unwrap();
        }
        archive.finish().unwrap()
    }
}

fn index(manifests: Vec<Descriptor>) -> Vec<u8> {
    let media_type = media_type::OCI_INDEX.to_owned();
    let index = Index { schema_version: 2, media_type, manifests, annotations: BTreeMap::new() };
    serde_json::to_vec(&index).unwrap()
}

/// A layer with one file.
pub(super) fn layer(content: &[u8]) -> Vec<u8> {
    let mut archive = TarWriter::new(Vec::new());
    archive.file("file", content.len() as u64, 0o644, content).unwrap();
    archive.finish().unwrap()
}

fn config(platform: &Platform, layers: &[Vec<u8>]) -> String {
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let (os, architecture) = (&platform.os, &platform.architecture);
    json!({"os": os, "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": diff_ids}})
        .to_string()
}

/// Puts an image of one layer into an OCI layout.
pub(super) fn platform_image(files: &mut Files, platform: &Platform, content: &[u8]) -> Descriptor {
    let layer = layer(content);
    let config = config(platform, std::slice::from_ref(&layer));
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.into(),
        artifact_type: String::new(),
        config: files.blob(media_type::OCI_CONFIG, config.as_bytes()),
        layers: vec![files.blob(media_type::OCI_LAYER, &layer)],
        annotations: BTreeMap::new(),
    };
    let mut descriptor = files.blob(media_type::OCI_MANIFEST, &serde_json::to_vec(&manifest).unwrap());
    descriptor.platform = Some(platform.clone());
    descriptor
}

/// An image with so many layers, all the same, and many indexes of it by name.
pub(super) fn layered(files: &mut Files, layers: usize) -> (Descriptor, Vec<(String, Descriptor)>) {
    let content = layer(b"one");
    let config = config(&amd64(), &vec![content.clone(); layers]);
    let manifest = Manifest {
        schema_version: 2,
        media_type: media_type::OCI_MANIFEST.into(),
        artifact_type: String::new(),
        config: files.blob(media_type::OCI_CONFIG, config.as_bytes()),
        layers: vec![files.blob(media_type::OCI_LAYER, &content); layers],
        annotations: BTreeMap::new(),
    };
    let mut shared = files.blob(media_type::OCI_MANIFEST, &serde_json::to_vec(&manifest).unwrap());
    shared.platform = Some(amd64());
    let indexes = (0..20).map(|number| {
        let mut one = shared.clone();
        one.annotations.insert("number".into(), number.to_string());
        (format!("a:{number}"), files.nested_index(&[&one]))
    });
    let indexes = indexes.collect();
    (shared, indexes)
}

/// Puts an image among those that docker has saved; answers with its part of `manifest.json`.
pub(super) fn saved(files: &mut Files, directory: &str, tags: &[&str], contents: &[&[u8]]) -> Value {
    let layers: Vec<Vec<u8>> = contents.iter().map(|content| layer(content)).collect();
    let config = config(&amd64(), &layers);
    let config_name = format!("{}.json", Digest::of(config.as_bytes()).digits());
    files.put(&config_name, config);
    let mut names = Vec::new();
    for (number, layer) in layers.into_iter().enumerate() {
        let name = format!("{directory}/{number}/layer.tar");
        files.put(&name, layer);
        names.push(name);
    }
    json!({"Config": config_name, "RepoTags": tags, "Layers": names})
}
