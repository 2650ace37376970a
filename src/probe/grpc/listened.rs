//! A connection that tells when the other side has spoken for the first time.
//!
//! A blocking dial of grpc-go has ended only then: with a server that takes connections and stays silent there is none.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// The connection.
#[derive(Debug)]
pub(super) struct Listened {
    stream: TcpStream,
    awaits: Option<oneshot::Sender<()>>,
}

impl Listened {
    /// Listens to a connection. The receiver hears of the first word, or that the connection is gone without any.
    pub(super) fn to(stream: TcpStream) -> (Self, oneshot::Receiver<()>) {
        let (awaits, first_word) = oneshot::channel();
        (Self { stream, awaits: Some(awaits) }, first_word)
    }
}

impl AsyncRead for Listened {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before
            && let Some(awaits) = self.awaits.take()
        {
            // Nobody waits any more for one who speaks too late.
            let _ = awaits.send(());
        }
        polled
    }
}

impl AsyncWrite for Listened {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
