//! The tcpSocket probe: a connection that opens is a success. Also how every probe dials, and what Go says when that fails.
//!
//! Rule: `pkg/probe/tcp/tcp.go`. One thing is left out on purpose: the kubelet sets `SO_LINGER` to a second to get rid of
//! closed sockets sooner, but with it `close(2)` waits for the peer even on a non-blocking socket, and here that would stop
//! every task of the agent.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::attempt::Answer;

/// Why a connection did not open, in Go's words.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("dial tcp: lookup {host}: no such host")]
    Lookup {
        /// The name.
        host: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// The address refused or can't be reached.
    #[error("dial tcp {address}: connect: {}", errno_text(.source))]
    Connect {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Nothing answered.
    #[error("dial tcp {0}: i/o timeout")]
    Timeout(String),
}

pub(super) async fn probe(host: &str, port: u16, limit: Duration) -> Answer {
    let dialled = timeout(limit, dial(host, port));
    match dialled.await.unwrap_or_else(|_| Err(DialError::Timeout(join_host_port(host, port)))) {
        Ok(_) => Answer::Success,
        Err(error) => Answer::Failure(error.to_string()),
    }
}

/// Opens a connection to the first address that takes one.
pub(super) async fn dial(host: &str, port: u16) -> Result<TcpStream, DialError> {
    let addresses = match host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => lookup(host, port).await?,
    };
    let mut failed = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(source) => failed = failed.or(Some(DialError::Connect { address, source })),
        }
    }
    Err(failed.unwrap_or_else(|| DialError::Lookup {
        host: host.to_owned(),
        source: io::ErrorKind::NotFound.into(),
    }))
}

async fn lookup(host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
    let found = lookup_host((host, port)).await;
    found.map(Iterator::collect).map_err(|source| DialError::Lookup { host: host.to_owned(), source })
}

/// `host:port`, with an IPv6 address in brackets.
pub(super) fn join_host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// An operating system's error as Go prints it: the C library's words without a capital.
pub(super) fn errno_text(error: &io::Error) -> String {
    let Some(code) = error.raw_os_error() else { return error.to_string() };
    let words = Errno::from_raw(code).desc();
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_port_that_listens_is_well() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address).await else { continue };
            let local = listener.local_addr().unwrap();
            assert_eq!(probe(&local.ip().to_string(), local.port(), LIMIT).await, Answer::Success);
        }
    }

    #[tokio::test]
    async fn a_name_is_looked_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(probe("localhost", port, LIMIT).await, Answer::Success);
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_fails_in_gos_words() {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let expected = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
        assert_eq!(probe("127.0.0.1", port, LIMIT).await, Answer::Failure(expected));
    }

    #[test]
    fn addresses_are_joined_as_go_joins_them() {
        assert_eq!(join_host_port("10.0.0.1", 80), "10.0.0.1:80");
        assert_eq!(join_host_port("fd00::1", 80), "[fd00::1]:80");
    }
}
