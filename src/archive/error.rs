//! Why an archive is refused.

use std::io;

use super::{Digest, Platform};

/// Why an archive is refused, all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum ArchiveError {
    #[error("read the archive")]
    Read(#[from] io::Error),
    #[error(
        "it is neither an OCI layout nor what docker save writes: it has no index.json and no manifest.json"
    )]
    UnknownFormat,
    #[error("it has more than {0} entries")]
    TooManyEntries(usize),
    #[error("its JSON parts are larger than {0} bytes")]
    TooMuchJson(usize),
    #[error("it has {0} twice, with different contents")]
    Twice(String),
    #[error("{path} is a link that leads nowhere")]
    BrokenLink { path: String },
    #[error("{path} is not what its name says, but {found}")]
    WrongDigest { path: String, found: Digest },
    #[error("{what} {digest} has {found} bytes rather than {expected}")]
    WrongSize { what: &'static str, digest: Digest, expected: u64, found: u64 },
    #[error("{what} {name} is not in it")]
    Missing { what: &'static str, name: String },
    #[error("{name} is no {what}")]
    Json { what: &'static str, name: String, source: serde_json::Error },
    #[error("{name} is no JSON, or too large: it should be the {what}")]
    NoJson { what: &'static str, name: String },
    #[error("its indexes are nested more than {0} deep")]
    TooDeep(usize),
    #[error("the image {0} has no name that a pod could use: give it one when the archive is made")]
    Unnamed(Digest),
    #[error("{0:?} is no name of an image")]
    Name(String),
    #[error("{name} stands for more than one image")]
    Ambiguous { name: String },
    #[error("the configuration of {name} has {diffs} layers, and {layers} are there")]
    Layers { name: String, diffs: usize, layers: usize },
    #[error("layer {layer} is not the one that the configuration {config} names")]
    WrongLayer { layer: String, config: String },
    #[error("it has nothing for {platform}, but for {found}")]
    OtherPlatforms { platform: Platform, found: String },
    #[error("it holds no image")]
    Empty,
}
