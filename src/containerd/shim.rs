//! Shims that containerd has forgotten.
//!
//! A containerd that is killed while it starts a sandbox may know nothing of it afterwards: neither its CRI nor its task service has it, and
//! its shim waits for ever. A kubelet leaves it. Must only be asked to end the shim of an id that nothing knows any more.

use std::fs;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::NAMESPACE;

/// Kills the shims of this task, and says how many there were. Blocks.
///
/// # Errors
/// When the processes can't be listed, or one can't be killed.
pub fn end_shims(task: &str) -> io::Result<usize> {
    let mut ended = 0;
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        // A process that has gone meanwhile has no command line.
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let Some(pid) = pid.filter(|_| is_shim_of(&words, task)) else { continue };
        match kill(Pid::from_raw(pid), Signal::SIGKILL) {
            Ok(()) => ended += 1,
            Err(Errno::ESRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(ended)
}

/// Whether these are the words that containerd calls a task's shim with.
fn is_shim_of(command_line: &[u8], task: &str) -> bool {
    let words: Vec<&str> =
        command_line.split(|byte| *byte == 0).filter_map(|word| str::from_utf8(word).ok()).collect();
    let program = words.first().and_then(|program| Path::new(program).file_name()?.to_str());
    let has = |flag: &str, value: &str| words.windows(2).any(|pair| *pair == [flag, value]);
    program.is_some_and(|program| program.starts_with("containerd-shim"))
        && has("-namespace", NAMESPACE)
        && has("-id", task)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tasks_own_shim_is_meant() {
        let line = |text: &str| text.replace(' ', "\0").into_bytes();
        let shim = "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id abc -address /run/containerd.sock";
        assert!(is_shim_of(&line(shim), "abc"));
        assert!(!is_shim_of(&line(shim), "ab"));
        assert!(!is_shim_of(&line(&shim.replace("k8s.io", "moby")), "abc"));
        assert!(!is_shim_of(&line(&shim.replace("containerd-shim-runc-v2", "vi")), "abc"));
        assert!(!is_shim_of(b"", "abc"));
    }
}
