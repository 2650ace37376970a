//! A relay before a unix socket, for a runtime that answers slowly.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Passes on what is asked at once, and what is answered after a while. Its threads end with the connections.
#[derive(Debug)]
pub(crate) struct Relay {
    delay: Arc<AtomicU64>,
    path: PathBuf,
}

impl Relay {
    /// Listens on `path` for the service on `target`.
    pub(crate) fn start(path: &Path, target: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let delay = Arc::new(AtomicU64::new(0));
        let (of_relay, target) = (Arc::clone(&delay), target.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A service that is away closes the connection, as it would without a relay.
                let Ok(server) = UnixStream::connect(&target) else { continue };
                relay(client, server, &of_relay);
            }
        });
        Self { delay, path: path.to_owned() }
    }

    /// Where to connect to.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How long each part of an answer takes from now on. Answers that follow one another don't add up.
    pub(crate) fn slow_down(&self, delay: Duration) {
        self.delay.store(delay.as_millis().try_into().unwrap(), Ordering::Relaxed);
    }
}

fn relay(client: UnixStream, server: UnixStream, delay: &Arc<AtomicU64>) {
    let (asking, asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (due, waiting) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        forward(asking, |bytes| (&asked).write_all(bytes).is_ok());
        let _ = asked.shutdown(Shutdown::Both);
    });
    let delay = Arc::clone(delay);
    thread::spawn(move || {
        forward(server, |bytes| {
            let delay = Duration::from_millis(delay.load(Ordering::Relaxed));
            due.send((Instant::now() + delay, bytes.to_vec())).is_ok()
        });
    });
    thread::spawn(move || {
        for (at, bytes) in waiting {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if (&client).write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
    });
}

fn forward(mut from: UnixStream, mut to: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if !to(&buffer[..length]) {
            break;
        }
    }
}
