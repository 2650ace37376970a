//! The images of the tests: those of the examples, built once and kept below `target`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The image of the sandboxes.
pub(super) const PAUSE: &str = "localhost/daemonlet/pause:1";

/// The file of an image that `examples/images.sh` builds.
pub(crate) fn file(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("images");
    build(&directory);
    directory.join(format!("{name}.tar"))
}

/// Makes a variant of the busybox image below `directory`: with another configuration, and with further files in a layer of its own.
pub(crate) fn busybox_with(directory: &Path, tag: &str, config: &Value, files: &[(&str, &str)]) -> PathBuf {
    let image = directory.join(tag.replace(['/', ':'], "-"));
    let layer = image.join("layer");
    fs::create_dir_all(&layer).unwrap();
    tar(&["-xf", &file("busybox").display().to_string(), "-C", &image.display().to_string()]);
    for (path, text) in files {
        let path = layer.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let top = image.join("top.tar");
    tar(&["-cf", &top.display().to_string(), "-C", &layer.display().to_string(), "."]);
    let digest = Sha256::digest(fs::read(top).unwrap());

    let mut described: Value = serde_json::from_slice(&fs::read(image.join("config.json")).unwrap()).unwrap();
    described["config"] = config.clone();
    described["rootfs"]["diff_ids"].as_array_mut().unwrap().push(json!(format!("sha256:{digest:x}")));
    fs::write(image.join("config.json"), described.to_string()).unwrap();
    let manifest = json!([{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar", "top.tar"]}]);
    fs::write(image.join("manifest.json"), manifest.to_string()).unwrap();
    let packed = image.with_extension("tar");
    let parts = ["manifest.json", "config.json", "layer.tar", "top.tar"];
    let (packed_name, image_name) = (packed.display().to_string(), image.display().to_string());
    tar(&[&["-cf", packed_name.as_str(), "-C", image_name.as_str()], &parts[..]].concat());
    packed
}

fn tar(words: &[&str]) {
    let output = Command::new("tar").args(words).output().unwrap();
    assert!(output.status.success(), "tar {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Builds all images unless they are there and no older than the script. One test builds, the others wait.
fn build(directory: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images.sh");
    fs::create_dir_all(directory).unwrap();
    let lock = File::create(directory.join("lock")).unwrap();
    lock.lock().unwrap();
    let last_built = directory.join("fluentd.tar");
    let built_at = fs::metadata(last_built).and_then(|file| file.modified());
    let written_at = fs::metadata(&script).and_then(|file| file.modified()).unwrap();
    if built_at.is_ok_and(|built_at| built_at >= written_at) {
        return;
    }
    let output = Command::new("bash").arg(&script).arg(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
