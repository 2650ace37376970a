//! hostPath volumes: the path as it is, after the check that its `type` asks for. Never deleted, never re-owned.
//! Rule: `pkg/volume/hostpath/host_path.go`.

use std::fs::{self, DirBuilder, FileType, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::HostPathVolumeSource;

use super::error::{At, Reason};

/// The path as the manifest has it, if it may be used at all.
pub(super) fn written(source: &HostPathVolumeSource) -> Result<PathBuf, Reason> {
    let path = Path::new(&source.path);
    if path.components().any(|component| component == Component::ParentDir) {
        return Err(Reason::HostPathBackstep(source.path.clone()));
    }
    Ok(path.to_owned())
}

/// Checks the path, or makes it where the type says so, and returns it as the manifest has it.
pub(super) fn set_up(source: &HostPathVolumeSource) -> Result<PathBuf, Reason> {
    let path = written(source)?;
    let path = path.as_path();
    let kind = source.type_.as_deref().unwrap_or_default();
    match kind {
        "DirectoryOrCreate" if !exists(path) => {
            DirBuilder::new().recursive(true).mode(0o755).create(path).at("make directory", path)?;
        }
        "FileOrCreate" if !exists(path) => {
            // Not truncating: another pod may have made and filled it since.
            let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(path);
            open.at("create", path)?;
        }
        _ => {}
    }
    let (fits, expected): (fn(&FileType) -> bool, _) = match kind {
        "" => return Ok(path.to_owned()),
        "DirectoryOrCreate" | "Directory" => (FileType::is_dir, "a directory"),
        "FileOrCreate" | "File" => (FileType::is_file, "a file"),
        "Socket" => (FileTypeExt::is_socket, "a socket file"),
        "CharDevice" => (FileTypeExt::is_char_device, "a character device"),
        "BlockDevice" => (FileTypeExt::is_block_device, "a block device"),
        other => return Err(Reason::HostPathUnknownType(other.to_owned())),
    };
    let found = fs::metadata(path).is_ok_and(|metadata| fits(&metadata.file_type()));
    if found { Ok(path.to_owned()) } else { Err(Reason::HostPathType { path: path.to_owned(), expected }) }
}

/// Whether the path, links followed, is there.
fn exists(path: &Path) -> bool {
    fs::metadata(path).is_ok()
}
