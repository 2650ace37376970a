//! Files of a pod that are not volumes: termination logs and the hosts file.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use nix::libc::O_NOFOLLOW;

use super::error::{At, Reason};
use super::layout::{VolumeRoot, make_private_dirs, set_mode};

/// Makes a new, empty file, writable by every user, for one run of a container to leave its last words in.
pub fn termination_log(root: &VolumeRoot, uid: &str, container: &str) -> Result<PathBuf, Reason> {
    let dir = root.container_dir(uid, container)?;
    make_private_dirs(&dir).at("make directory", &dir)?;
    loop {
        // Each RandomState has fresh keys, and the name only has to be another one each time.
        let random = RandomState::new().hash_one(container);
        let path = dir.join(format!("{:08x}", random & 0xffff_ffff));
        match OpenOptions::new().write(true).create_new(true).mode(0o666).open(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            other => {
                other.at("create", &path)?;
                set_mode(&path, 0o666).at("change the mode of", &path)?;
                return Ok(path);
            }
        }
    }
}

/// Makes the pod's `etc-hosts` hold `content` (mode 0644). It is written in place, because running containers have this
/// very file mounted, and not at all if it holds the content already.
pub fn write_hosts_file(root: &VolumeRoot, uid: &str, content: &str) -> Result<PathBuf, Reason> {
    let dir = root.pod_dir(uid)?;
    make_private_dirs(&dir).at("make directory", &dir)?;
    let path = dir.join("etc-hosts");
    let open = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(O_NOFOLLOW)
        .open(&path);
    let mut file = open.at("open", &path)?;
    let mode = file.metadata().at("look at", &path)?.permissions().mode();
    if mode & 0o7777 != 0o644 {
        set_mode(&path, 0o644).at("change the mode of", &path)?;
    }
    overwrite(&mut file, content).at("write", &path)?;
    Ok(path)
}

fn overwrite(file: &mut File, content: &str) -> std::io::Result<()> {
    let mut old = Vec::new();
    // A container may have filled it: one byte more than expected is enough to know.
    Read::by_ref(file).take(content.len() as u64 + 1).read_to_end(&mut old)?;
    if old == content.as_bytes() {
        return Ok(());
    }
    file.seek(SeekFrom::Start(0))?;
    file.write_all(content.as_bytes())?;
    file.set_len(content.len() as u64)
}
