//! What went wrong on the bus.

use thiserror::Error;

/// What zbus says. It says what its cause says, too: so the chain of causes ends here, and nothing is told twice.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct BusError(zbus::Error);

impl BusError {
    /// The name of the error that somebody on the bus has answered with, if somebody has.
    pub fn answered(&self) -> Option<&str> {
        match &self.0 {
            zbus::Error::MethodError(name, ..) => Some(name.as_str()),
            _ => None,
        }
    }
}

impl From<zbus::Error> for BusError {
    fn from(error: zbus::Error) -> Self {
        Self(error)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::error_chain::error_chain;

    #[test]
    fn what_zbus_says_is_said_once() {
        let cause = io::Error::new(io::ErrorKind::NotFound, "no such socket");
        let chain = error_chain(&BusError::from(zbus::Error::from(cause)));
        assert_eq!(chain.matches("no such socket").count(), 1, "{chain}");
    }
}
