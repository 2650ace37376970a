//! The images of the tests: those of the examples, built once and kept below `target`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The image of the sandboxes.
pub(super) const PAUSE: &str = "localhost/daemonlet/pause:1";

/// The file of an image that `examples/images.sh` builds.
pub(super) fn file(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("images");
    build(&directory);
    directory.join(format!("{name}.tar"))
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
