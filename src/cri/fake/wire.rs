//! How clients reach the fake runtime: in memory, or over a unix socket; and how they lose it.
//!
//! Every connection runs through a pipe of our own, so that an outage can cut them all at once as a dying runtime does.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, copy_bidirectional, duplex};
use tokio::net::UnixListener;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

/// What a pipe holds before its writer has to wait, in bytes.
const PIPE: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Wire {
    /// Where the server takes its connections from.
    server: UnboundedSender<io::Result<DuplexStream>>,
    links: Mutex<Links>,
}

#[derive(Debug, Default)]
struct Links {
    down: bool,
    /// Every pipe and listener; they end when this is dropped.
    tasks: JoinSet<()>,
    sockets: Vec<PathBuf>,
}

impl Wire {
    pub(super) fn new(server: UnboundedSender<io::Result<DuplexStream>>) -> Arc<Self> {
        Arc::new(Self { server, links: Mutex::default() })
    }

    fn links(&self) -> std::sync::MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection in memory.
    pub(super) fn connect(&self) -> io::Result<DuplexStream> {
        let (near, far) = duplex(PIPE);
        self.attach(far)?;
        Ok(near)
    }

    /// Joins a client's connection to the server.
    fn attach(&self, mut client: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> io::Result<()> {
        let mut links = self.links();
        if links.down {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, mut far) = duplex(PIPE);
        self.server.send(Ok(near)).map_err(|_| io::ErrorKind::ConnectionRefused)?;
        links.tasks.spawn(async move {
            // Either side may hang up: that is how a connection ends.
            let _: io::Result<_> = copy_bidirectional(&mut client, &mut far).await;
        });
        Ok(())
    }

    /// Takes connections at a unix socket too.
    pub(super) fn listen(self: &Arc<Self>, path: &Path) -> io::Result<()> {
        let listener = UnixListener::bind(path)?;
        let wire = Arc::downgrade(self);
        let mut links = self.links();
        if !links.sockets.iter().any(|known| known == path) {
            links.sockets.push(path.to_owned());
        }
        links.tasks.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Some(wire) = wire.upgrade() else { return };
                if wire.attach(client).is_err() {
                    return;
                }
            }
        });
        Ok(())
    }

    /// Cuts every connection and takes no new one, as if the runtime had died.
    pub(super) fn cut(&self) {
        let mut links = self.links();
        links.down = true;
        links.tasks = JoinSet::new();
        for socket in &links.sockets {
            // One that a test removed already is as good.
            let _: io::Result<()> = std::fs::remove_file(socket);
        }
    }

    /// Takes connections again wherever it did before.
    pub(super) fn restore(self: &Arc<Self>) -> io::Result<()> {
        let sockets = {
            let mut links = self.links();
            links.down = false;
            links.sockets.clone()
        };
        sockets.iter().try_for_each(|socket| self.listen(socket))
    }
}
