//! One way to print an error with all its causes: `a: b: c`.

use std::error::Error;
use std::fmt::Write as _;

/// The error and each of its sources, outermost first.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("read the file")]
    struct Outer(#[source] io::Error);

    #[test]
    fn every_cause_is_told_once() {
        let error = Outer(io::Error::other("the disk is on fire"));
        assert_eq!(error_chain(&error), "read the file: the disk is on fire");
    }
}
