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
    #[error("its JSON parts and the names of its files are larger than {0} bytes")]
    TooMuchHeld(usize),
    #[error("the name or the attributes of a file in it have {found} bytes, and may have {most}")]
    LargeExtension { found: u64, most: u64 },
    #[error("{0} is a sparse file, which no writer of image archives makes")]
    Sparse(String),
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
    #[error("its indexes and manifests lead to more than {0} descriptors")]
    TooManyDescriptors(usize),
    #[error(
        "its indexes, manifests and configurations are larger than {0} bytes, each as often as it is named"
    )]
    TooMuchFollowed(u64),
    #[error("the image {0} has no name that a pod could use: give it one when the archive is made")]
    Unnamed(Digest),
    #[error("{0:?} is no name of an image")]
    Name(String),
    #[error("the name {name} has another digest than what it stands for, which is {found}")]
    ForeignDigest { name: String, found: Digest },
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
