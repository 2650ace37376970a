//! Puts a payload on disk so that a reader sees the old files or the new ones, never a mixture.
//!
//! The files lie in a directory named after the time; `..data` points at it, and each name a container sees is a link
//! through `..data`. An update writes a new directory and renames one link. Layout: `pkg/volume/util/atomic_writer.go`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::error::{At, PathError};
use super::layout::set_mode;
use super::payload::{File, Payload};

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// The files were already there with the same bytes.
    Unchanged,
    /// The files were replaced (or written for the first time).
    Replaced,
}

/// Whether a payload has been written to `dir` before, whole.
pub(super) fn is_written(dir: &Path) -> bool {
    dir.join(DATA).is_dir()
}

/// Makes `dir` hold the payload. `own` is called when the new files lie there, before anybody sees them.
pub(super) fn write<E: From<PathError>>(
    dir: &Path,
    payload: &Payload<'_>,
    own: impl FnOnce() -> Result<(), E>,
) -> Result<Written, E> {
    let old = current(dir)?;
    sweep(dir, old.as_deref())?;
    let same = match &old {
        Some(old) => holds(&dir.join(old), payload)?,
        None => false,
    };
    if !same {
        let fresh = make_stamped_dir(dir)?;
        let files = dir.join(&fresh);
        if let Err(error) = write_files(&files, payload).map_err(E::from).and_then(|()| own()) {
            // A volume in memory that is full would stay full. What can't be removed now is swept next time.
            let _ = fs::remove_dir_all(&files);
            return Err(error);
        }
        let link = dir.join(DATA_NEW);
        symlink(&fresh, &link).at("make link", &link)?;
        fs::rename(&link, dir.join(DATA)).at("replace", &dir.join(DATA))?;
    }
    link_names(dir, payload)?;
    unlink_others(dir, payload)?;
    if same {
        return Ok(Written::Unchanged);
    }
    if let Some(old) = old.map(|old| dir.join(old)) {
        fs::remove_dir_all(&old).at("remove", &old)?;
    }
    Ok(Written::Replaced)
}

/// The name of the directory that `..data` points at, if it is one of ours.
fn current(dir: &Path) -> Result<Option<PathBuf>, PathError> {
    let link = dir.join(DATA);
    match fs::read_link(&link) {
        Ok(target) => {
            let ours = target.parent() == Some(Path::new("")) && is_reserved(target.as_os_str());
            Ok(Some(target).filter(|target| ours && dir.join(target).is_dir()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at("read link", &link),
    }
}

/// Removes what a writer that was killed left behind.
fn sweep(dir: &Path, keep: Option<&Path>) -> Result<(), PathError> {
    for entry in fs::read_dir(dir).at("list", dir)? {
        let entry = entry.at("list", dir)?;
        let (name, path) = (entry.file_name(), entry.path());
        if !is_reserved(&name) || name == DATA || keep == Some(Path::new(&name)) {
            continue;
        }
        let is_dir = entry.file_type().at("look at", &path)?.is_dir();
        if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.at("remove", &path)?;
    }
    Ok(())
}

fn is_reserved(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"..")
}

/// Whether the directory holds exactly the payload's bytes. Modes are not compared: they never change in a pod's life.
fn holds(dir: &Path, payload: &Payload<'_>) -> Result<bool, PathError> {
    let mut files = 0;
    let mut dirs = vec![dir.to_owned()];
    while let Some(sub) = dirs.pop() {
        for entry in fs::read_dir(&sub).at("list", &sub)? {
            let entry = entry.at("list", &sub)?;
            let path = entry.path();
            if entry.file_type().at("look at", &path)?.is_dir() {
                dirs.push(path);
                continue;
            }
            files += 1;
            let wanted =
                path.strip_prefix(dir).ok().and_then(Path::to_str).and_then(|path| payload.get(path));
            if !wanted.is_some_and(|wanted| has_bytes(&path, wanted)) {
                return Ok(false);
            }
        }
    }
    Ok(files == payload.len())
}

/// Whether the file can be read and has these bytes; one that can't is written anew.
fn has_bytes(path: &Path, file: &File<'_>) -> bool {
    let length = fs::metadata(path).is_ok_and(|metadata| metadata.len() == file.data.len() as u64);
    length && fs::read(path).is_ok_and(|bytes| bytes == *file.data)
}

/// Makes a directory named after the time, with nine more digits to tell it from another of the same second.
fn make_stamped_dir(dir: &Path) -> Result<PathBuf, PathError> {
    let now = jiff::Timestamp::now();
    let second = now.strftime("..%Y_%m_%d_%H_%M_%S").to_string();
    let mut digits = now.subsec_nanosecond().unsigned_abs();
    loop {
        let name = PathBuf::from(format!("{second}.{digits:09}"));
        let path = dir.join(&name);
        match DirBuilder::new().create(&path) {
            Ok(()) => {
                set_mode(&path, 0o755).at("change the mode of", &path)?;
                return Ok(name);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => digits = (digits + 1) % 1_000_000_000,
            Err(error) => return Err(error).at("make directory", &path),
        }
    }
}

fn write_files(dir: &Path, payload: &Payload<'_>) -> Result<(), PathError> {
    for (name, file) in payload.iter() {
        let path = dir.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).at("make directory", parent)?;
        }
        write_file(&path, file).at("write", &path)?;
    }
    Ok(())
}

fn write_file(path: &Path, file: &File<'_>) -> io::Result<()> {
    // Nobody else may read it before it has its own mode.
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    opened.write_all(&file.data)?;
    if file.owner.is_some() {
        chown(path, file.owner, None)?;
    }
    set_mode(path, file.mode)
}

/// Links each top name to its place behind `..data`.
fn link_names(dir: &Path, payload: &Payload<'_>) -> Result<(), PathError> {
    for name in payload.top_names() {
        let link = dir.join(name);
        let target = Path::new(DATA).join(name);
        match fs::read_link(&link) {
            Ok(found) if found == target => continue,
            Ok(_) => fs::remove_file(&link).at("remove", &link)?,
            Err(_) => {}
        }
        symlink(&target, &link).at("make link", &link)?;
    }
    Ok(())
}

/// Removes the links of names that the payload no longer has.
fn unlink_others(dir: &Path, payload: &Payload<'_>) -> Result<(), PathError> {
    let names: BTreeSet<&str> = payload.top_names().collect();
    for entry in fs::read_dir(dir).at("list", dir)? {
        let entry = entry.at("list", dir)?;
        let (name, path) = (entry.file_name(), entry.path());
        let known = name.to_str().is_some_and(|name| names.contains(name));
        if !is_reserved(&name) && !known && fs::read_link(&path).is_ok_and(|target| target.starts_with(DATA))
        {
            fs::remove_file(&path).at("remove", &path)?;
        }
    }
    Ok(())
}
