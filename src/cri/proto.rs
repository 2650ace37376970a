//! The CRI's messages and service clients, generated from `proto/cri/v1/cri.proto`.
//!
//! Nothing is written here by hand except what generation must leave out: how credentials print.

#![allow(missing_docs, unreachable_pub, clippy::pedantic)]

use std::fmt;

tonic::include_proto!("runtime.v1");

impl fmt::Debug for AuthConfig {
    /// Names the registry and who asks; what proves it stays out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthConfig")
            .field("server_address", &self.server_address)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}
