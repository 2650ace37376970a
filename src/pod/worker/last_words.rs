//! What a container that has ended left behind: its termination message, or the last lines of its log where it asks for those.
//!
//! Rule: `getTerminationMessage` in `pkg/kubelet/kuberuntime/kuberuntime_container.go`.

use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

use crate::cri::log::{Completeness, LogLine};
use crate::cri::proto::ContainerStatus;
use crate::pod::observed::Exit;

/// How much of a termination message is read, from its end.
const MESSAGE_BYTES: u64 = 4096;
/// How many of the log's last lines stand in for a message, and how many of their last bytes.
const LOG_LINES: usize = 80;
const LOG_BYTES: usize = 2048;
/// How much of a log is looked at for them.
const LOG_TAIL_BYTES: u64 = 64 * 1024;

const PATH: &str = "io.kubernetes.container.terminationMessagePath";
const POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";

/// The container's own last words; empty if it had none.
pub(super) fn of(status: &ContainerStatus, exit: &Exit) -> String {
    let path = status.annotations.get(PATH);
    let mount = path.and_then(|path| status.mounts.iter().find(|mount| mount.container_path == *path));
    let message = match mount.map(|mount| (mount, tail(Path::new(&mount.host_path), MESSAGE_BYTES))) {
        Some((_, Ok(bytes))) => String::from_utf8_lossy(&bytes).into_owned(),
        Some((mount, Err(error))) if error.kind() != io::ErrorKind::NotFound => {
            return format!("Error on reading termination log {}: {error}", mount.host_path);
        }
        Some(_) | None => String::new(),
    };
    let asks_for_log = status.annotations.get(POLICY).is_some_and(|policy| policy == "FallbackToLogsOnError");
    if message.is_empty() && asks_for_log && exit.code != 0 && exit.reason != "ContainerCannotRun" {
        return last_lines(&tail(Path::new(&status.log_path), LOG_TAIL_BYTES).unwrap_or_default());
    }
    message
}

fn last_lines(log: &[u8]) -> String {
    let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    let mut said = Vec::new();
    for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES)) {
        if let Ok(line) = LogLine::parse(line) {
            said.extend_from_slice(line.content);
            if line.completeness == Completeness::Full {
                said.push(b'\n');
            }
        }
    }
    let start = said.len().saturating_sub(LOG_BYTES);
    String::from_utf8_lossy(&said[start..]).into_owned()
}

fn tail(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    // The path may be a container's own: a fifo there would never open, and nothing but a file has an end.
    let mut file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let length = metadata.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::cri::proto::Mount;

    fn exit(code: i32) -> Exit {
        Exit {
            code,
            reason: "Error".into(),
            message: String::new(),
            started_at: None,
            finished_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn status(dir: &Path, policy: &str) -> ContainerStatus {
        ContainerStatus {
            annotations: BTreeMap::from([
                (PATH.to_owned(), "/dev/termination-log".to_owned()),
                (POLICY.to_owned(), policy.to_owned()),
            ]),
            mounts: vec![Mount {
                container_path: "/dev/termination-log".into(),
                host_path: dir.join("message").display().to_string(),
                ..Default::default()
            }],
            log_path: dir.join("0.log").display().to_string(),
            ..Default::default()
        }
    }

    #[test]
    fn the_end_of_the_message_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("message"), format!("{}end", "x".repeat(5000))).expect("written");
        let words = of(&status(dir.path(), "File"), &exit(1));
        assert_eq!(words.len(), 4096);
        assert!(words.ends_with("xend"));
    }

    #[test]
    fn a_message_that_cant_be_read_says_so_and_the_log_does_not_speak_for_it() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("0.log"), "2026-01-01T00:00:00.0Z stderr F line\n").expect("written");
        assert_eq!(of(&status(dir.path(), "FallbackToLogsOnError"), &exit(1)), "line\n", "there is none");
        nix::unistd::mkfifo(&dir.path().join("message"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
        let path = dir.path().join("message");
        let expected = format!("Error on reading termination log {}: not a regular file", path.display());
        for policy in ["File", "FallbackToLogsOnError"] {
            assert_eq!(of(&status(dir.path(), policy), &exit(1)), expected);
        }
    }

    #[test]
    fn a_long_line_that_the_runtime_cut_is_put_together_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = ["P one ", "P long ", "F line", "F another"]
            .map(|line| format!("2026-01-01T00:00:00.0Z stderr {line}\n"));
        fs::write(dir.path().join("0.log"), log.concat()).expect("written");
        let words = of(&status(dir.path(), "FallbackToLogsOnError"), &exit(1));
        assert_eq!(words, "one long line\nanother\n");
    }

    #[test]
    fn the_log_speaks_only_for_those_that_failed_and_asked_for_it() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("message"), "").expect("written");
        let log: String = (0..100).map(|n| format!("2026-01-01T00:00:00.0Z stderr F line {n}\n")).collect();
        fs::write(dir.path().join("0.log"), log).expect("written");
        let words = of(&status(dir.path(), "FallbackToLogsOnError"), &exit(1));
        assert!(words.starts_with("line 20\n") && words.ends_with("line 99\n"), "{words}");
        assert_eq!(of(&status(dir.path(), "FallbackToLogsOnError"), &exit(0)), "");
        assert_eq!(of(&status(dir.path(), "File"), &exit(1)), "");
    }
}
