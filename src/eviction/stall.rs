//! The kernel's word that memory is getting tight: tasks begin to wait for it (`/proc/pressure/memory`, PSI triggers).
//!
//! Only a reason to look sooner. What is measured decides; on a kernel without PSI the regular look alone makes sure.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tracing::debug;

/// Tasks that wait for memory for 150 ms within two seconds: reclaim has become work. The window is the one that the kernel grants anybody.
const TRIGGER: &[u8] = b"some 150000 2000000\0";

/// The kernel's notice of stalls.
#[derive(Debug)]
pub struct Stalls(Option<AsyncFd<File>>);

impl Stalls {
    /// Asks the kernel for notice. Must be called within a tokio runtime.
    pub fn of_memory() -> Self {
        let asked = open(Path::new("/proc/pressure/memory"));
        Self(asked.inspect_err(|error| debug!(%error, "the kernel gives no notice of memory stalls")).ok())
    }

    /// Waits for tasks to stall; for ever where the kernel gives no notice. At most once in two seconds.
    pub async fn next(&mut self) {
        let Some(file) = &self.0 else { return std::future::pending().await };
        if let Ok(mut ready) = file.ready(Interest::PRIORITY).await {
            ready.clear_ready();
            return;
        }
        self.0 = None;
        std::future::pending::<()>().await;
    }
}

#[expect(
    deprecated,
    reason = "the successor is unsafe code; a File keeps its descriptor for as long as it lives"
)]
fn open(path: &Path) -> io::Result<AsyncFd<File>> {
    let mut file = File::options().read(true).write(true).open(path)?;
    file.write_all(TRIGGER)?;
    AsyncFd::with_interest(file, Interest::PRIORITY)
}
