//! Keeping a container's log within bounds: what lies beside it, what of that goes, and the turn itself.
//!
//! Everything blocks, and nothing here decides when. The rules and file names are the kubelet's (`pkg/kubelet/logs/container_log_manager.go`):
//! of `maxFiles` one is the log, one the newest rotated file as it is, and the others are compressed. Only the time in their names is UTC here,
//! so that they stay in order when clocks go back for the winter.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use k8s_openapi::jiff::Timestamp;

const TEMPORARY: &str = ".tmp";
const COMPRESSED: &str = ".gz";

/// What could not be done to which file.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}", path.display())]
pub struct RotationError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Makes room beside `log` for one more rotated file: removes what was left unfinished and what is too old, and compresses the rest.
pub fn make_room(log: &Path, max_files: u32) -> Result<(), RotationError> {
    let mut rotated = Vec::new();
    for path in beside(log)? {
        let superseded = with_suffix(&path, COMPRESSED);
        if has_suffix(&path, TEMPORARY) || superseded.exists() {
            remove(&path)?;
        } else {
            rotated.push(path);
        }
    }
    // The log itself and the file that it becomes have places, too.
    let kept = usize::try_from(max_files.saturating_sub(2)).unwrap_or(usize::MAX);
    rotated.sort();
    let too_old = rotated.len().saturating_sub(kept);
    for path in rotated.drain(..too_old) {
        remove(&path)?;
    }
    rotated.iter().filter(|path| !has_suffix(path, COMPRESSED)).try_for_each(|path| compress(path))
}

/// Moves the log out of the way and says where to; whoever writes it goes on in the moved file until told to reopen.
pub fn turn(log: &Path, now: Timestamp) -> Result<PathBuf, RotationError> {
    let rotated = with_suffix(log, &now.strftime(".%Y%m%d-%H%M%S").to_string());
    fs::rename(log, &rotated).map_err(failed("move away", log))?;
    Ok(rotated)
}

/// Undoes a turn that the runtime didn't follow.
pub fn turn_back(rotated: &Path, log: &Path) -> Result<(), RotationError> {
    fs::rename(rotated, log).map_err(failed("move back", rotated))
}

/// What was rotated of this log, finished or not.
fn beside(log: &Path) -> Result<Vec<PathBuf>, RotationError> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name()) else { return Ok(Vec::new()) };
    let mut prefix = name.to_owned();
    prefix.push(".");
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed("list", directory))? {
        let entry = entry.map_err(failed("list", directory))?;
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn compress(path: &Path) -> Result<(), RotationError> {
    let (temporary, compressed) = (with_suffix(path, TEMPORARY), with_suffix(path, COMPRESSED));
    let written = File::open(path).and_then(|mut plain| {
        let mut encoder = GzEncoder::new(File::create(&temporary)?, Compression::default());
        io::copy(&mut plain, &mut encoder)?;
        encoder.finish().map(drop)
    });
    let written = written
        .map_err(failed("compress", path))
        .and_then(|()| fs::rename(&temporary, &compressed).map_err(failed("rename", &temporary)));
    if written.is_err() {
        // A disk that is full would be kept so.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    remove(path)
}

fn remove(path: &Path) -> Result<(), RotationError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RotationError {
    move |source| RotationError { action, path: path.to_owned(), source }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn has_suffix(path: &Path, suffix: &str) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(suffix.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use tempfile::TempDir;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn rotate(log: &Path, text: &str, second: i64) {
        fs::write(log, text).unwrap();
        make_room(log, 5).unwrap();
        turn(log, Timestamp::from_second(second).unwrap()).unwrap();
    }

    #[test]
    fn five_files_are_kept_and_all_but_two_are_compressed() {
        let dir = TempDir::new().unwrap();
        let log = dir.path().join("0.log");
        for second in 0..7 {
            rotate(&log, &format!("written until {second}"), second);
        }
        fs::write(&log, "now").unwrap();
        let of = |second: u32| format!("0.log.19700101-00000{second}");
        let expected = vec![
            "0.log".to_owned(),
            format!("{}.gz", of(3)),
            format!("{}.gz", of(4)),
            format!("{}.gz", of(5)),
            of(6),
        ];
        assert_eq!(names(dir.path()), expected);
        let mut text = String::new();
        let compressed = File::open(dir.path().join(&expected[1])).unwrap();
        GzDecoder::new(compressed).read_to_string(&mut text).unwrap();
        assert_eq!(text, "written until 3");
        assert_eq!(fs::read_to_string(dir.path().join(of(6))).unwrap(), "written until 6");
    }

    #[test]
    fn what_was_left_unfinished_goes_and_other_instances_stay() {
        let dir = TempDir::new().unwrap();
        let write = |name: &str| fs::write(dir.path().join(name), name).unwrap();
        for name in ["1.log", "11.log", "11.log.20240101-000000", "1.log.20240101-000000.tmp"] {
            write(name);
        }
        for name in ["1.log.20240102-000000", "1.log.20240102-000000.gz"] {
            write(name);
        }
        make_room(&dir.path().join("1.log"), 5).unwrap();
        let left = ["1.log", "1.log.20240102-000000.gz", "11.log", "11.log.20240101-000000"];
        assert_eq!(names(dir.path()), left);
    }

    #[test]
    fn a_compression_that_fails_keeps_what_was_rotated_and_takes_no_room() {
        let dir = TempDir::new().unwrap();
        let log = dir.path().join("0.log");
        fs::write(&log, "text").unwrap();
        // It opens like a file, and can't be read.
        fs::create_dir(dir.path().join("0.log.20240101-000000")).unwrap();
        let error = make_room(&log, 5).unwrap_err();
        assert!(error.to_string().starts_with("compress "), "{error}");
        assert_eq!(names(dir.path()), ["0.log", "0.log.20240101-000000"]);

        // Nor does one that can't get its name.
        fs::remove_dir(dir.path().join("0.log.20240101-000000")).unwrap();
        fs::write(dir.path().join("0.log.20240102-000000"), "rotated").unwrap();
        fs::create_dir_all(dir.path().join("0.log.20240102-000000.gz/in the way")).unwrap();
        let error = compress(&dir.path().join("0.log.20240102-000000")).unwrap_err();
        assert!(error.to_string().starts_with("rename "), "{error}");
        let left = ["0.log", "0.log.20240102-000000", "0.log.20240102-000000.gz"];
        assert_eq!(names(dir.path()), left);
    }

    #[test]
    fn the_least_that_can_be_kept_is_the_log_and_one_more() {
        let dir = TempDir::new().unwrap();
        let log = dir.path().join("0.log");
        for second in 0..3 {
            fs::write(&log, "text").unwrap();
            make_room(&log, 2).unwrap();
            turn(&log, Timestamp::from_second(second).unwrap()).unwrap();
        }
        assert_eq!(names(dir.path()), ["0.log.19700101-000002"]);
    }

    #[test]
    fn a_turn_can_be_undone() {
        let dir = TempDir::new().unwrap();
        let log = dir.path().join("0.log");
        fs::write(&log, "text").unwrap();
        let rotated = turn(&log, Timestamp::UNIX_EPOCH).unwrap();
        assert!(!log.exists());
        turn_back(&rotated, &log).unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "text");
    }
}
