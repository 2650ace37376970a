//! The kernel's word that the whole machine ran out of memory and a process had to go.
//!
//! A container that outgrows its own limit is its own affair and shows in its status (`OOMKilled`); this is about the others. Rule: the
//! kubelet's `oom/oom_watcher_linux.go`. Read from `/dev/kmsg`, which hands out one record a read.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The longest record that the kernel hands out.
const LONGEST_RECORD: usize = 8192;

/// A process that the kernel has killed because the machine had no memory left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// Its name, as the kernel knows it: at most 15 bytes.
    pub process: String,
    /// Its process ID.
    pub pid: u32,
}

impl Victim {
    /// The victim that a record of `/dev/kmsg` tells of, if it tells of one. Victims of a cgroup's own limit are not meant.
    fn of_record(record: &str) -> Option<Self> {
        let (prefix, text) = record.split_once(';')?;
        let priority: u32 = prefix.split(',').next()?.parse().ok()?;
        // The facility is above the three bits of the level; anybody but the kernel has another.
        if priority >> 3 != 0 {
            return None;
        }
        let told = text.lines().next()?.strip_prefix("oom-kill:")?;
        if !told.contains(",global_oom,") {
            return None;
        }
        let (_, told) = told.split_once(",task=")?;
        let (process, told) = told.rsplit_once(",pid=")?;
        let pid = told.split(',').next()?.parse().ok()?;
        Some(Self { process: process.to_owned(), pid })
    }
}

/// The kernel's log, from now on.
#[derive(Debug)]
pub struct KernelLog(AsyncFd<File>);

impl KernelLog {
    /// Listens from now on. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the log can't be opened, as in most containers.
    pub fn open() -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(Path::new("/dev/kmsg"))?;
        file.seek(SeekFrom::End(0))?;
        Self::of(file)
    }

    #[expect(
        deprecated,
        reason = "the successor is unsafe code; a File keeps its descriptor for as long as it lives"
    )]
    fn of(file: File) -> io::Result<Self> {
        AsyncFd::with_interest(file, Interest::READABLE).map(Self)
    }

    /// The next victim.
    ///
    /// # Errors
    /// When the log can't be read any more.
    pub async fn next_victim(&mut self) -> io::Result<Victim> {
        let mut record = [0; LONGEST_RECORD];
        loop {
            let mut ready = self.0.readable_mut().await?;
            let Ok(read) = ready.try_io(|file| file.get_mut().read(&mut record)) else { continue };
            match read {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    if let Some(victim) = Victim::of_record(&String::from_utf8_lossy(&record[..length])) {
                        return Ok(victim);
                    }
                }
                // Records were overwritten before they were read; the next read goes on with the oldest that is there.
                Err(error) if error.raw_os_error() == Some(Errno::EPIPE as i32) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    const GLOBAL: &str = "6,1234,567890,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/user.slice,task=a,pid=9 b,pid=4711,uid=0\n SUBSYSTEM=x\n";

    #[test]
    fn only_the_kernels_word_of_a_machine_without_memory_counts() {
        let victim = Victim { process: "a,pid=9 b".to_owned(), pid: 4711 };
        assert_eq!(Victim::of_record(GLOBAL), Some(victim));
        for other in [
            "",
            "6,1,2,-;veth1: entered disabled state",
            "6,1,2,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=c,mems_allowed=0,oom_memcg=/kubepods/x,task_memcg=/kubepods/x,task=sleep,pid=7,uid=0",
            "3,1,2,-;Out of memory: Killed process 4711 (stress) total-vm:1kB",
            // Anybody may write there, with another facility.
            &GLOBAL.replacen("6,", "14,", 1),
            &GLOBAL.replace("pid=4711", "pid=x"),
        ] {
            assert_eq!(Victim::of_record(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn victims_are_told_one_after_the_other() {
        let (kernel, log) = UnixDatagram::pair().unwrap();
        log.set_nonblocking(true).unwrap();
        let mut log = KernelLog::of(File::from(OwnedFd::from(log))).unwrap();
        for record in [GLOBAL, "6,1,2,-;eth0: link up", &GLOBAL.replace("4711", "4712")] {
            kernel.send(record.as_bytes()).unwrap();
        }
        assert_eq!(log.next_victim().await.unwrap().pid, 4711);
        assert_eq!(log.next_victim().await.unwrap().pid, 4712);
    }
}
