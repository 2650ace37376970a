//! Signatures of bundles, and of the list of a store's manifests: minisign's, in a file beside what is signed.
//!
//! `minisign -S -m site.bundle` makes `site.bundle.minisig`. A trust file has one public key or several, as minisign writes them. With one, only
//! what one of these keys has signed counts. Only signatures over a hash are taken (minisign's way since 0.8): a bundle need not fit in memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use minisign_verify::{PublicKey, Signature, StreamVerifier};

/// A key's text: 42 bytes in base64.
const KEY_LETTERS: usize = 56;

/// Why a bundle is not trusted.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum SignatureError {
    #[error("read the trust file {}", path.display())]
    TrustFile { path: PathBuf, source: io::Error },
    #[error("the trust file {} has no minisign key", .0.display())]
    NoKey(PathBuf),
    #[error("the trust file {} has {key:?}, which is no minisign key", path.display())]
    BadKey { path: PathBuf, key: String },
    #[error("it is not signed: there is no {}", .0.display())]
    Unsigned(PathBuf),
    #[error("read the signature {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is no minisign signature over a hash", .0.display())]
    BadSignature(PathBuf),
    #[error("it is signed with a key that the trust file does not have")]
    UnknownKey,
    #[error("its signature does not fit: it was altered after it was signed")]
    Wrong,
}

/// The keys that are trusted.
#[derive(Debug, Clone)]
pub struct Trust(Vec<PublicKey>);

impl Trust {
    /// Reads a trust file.
    ///
    /// # Errors
    /// When it can't be read or has anything but keys and comments.
    pub fn read(path: &Path) -> Result<Self, SignatureError> {
        let text = fs::read_to_string(path)
            .map_err(|source| SignatureError::TrustFile { path: path.to_owned(), source })?;
        let mut keys = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') || line.starts_with("untrusted comment:") {
                continue;
            }
            let bad = || SignatureError::BadKey {
                path: path.to_owned(),
                key: line.chars().take(KEY_LETTERS).collect(),
            };
            keys.push(PublicKey::from_base64(line).map_err(|_| bad())?);
        }
        if keys.is_empty() { Err(SignatureError::NoKey(path.to_owned())) } else { Ok(Self(keys)) }
    }

    /// The key that has made a signature, ready to see what was signed.
    ///
    /// # Errors
    /// When it is none of the trusted ones.
    pub fn verifier<'a>(&'a self, signature: &'a Signature) -> Result<Verifier<'a>, SignatureError> {
        let mut verifiers = self.0.iter().filter_map(|key| key.verify_stream(signature).ok());
        verifiers.next().map(Verifier).ok_or(SignatureError::UnknownKey)
    }
}

/// Sees what was signed, and says whether it was.
pub struct Verifier<'a>(StreamVerifier<'a>);

impl Verifier<'_> {
    /// Takes more of it.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Whether all of it is what was signed.
    ///
    /// # Errors
    /// When it isn't.
    pub fn finish(mut self) -> Result<(), SignatureError> {
        self.0.finalize().map_err(|_| SignatureError::Wrong)
    }
}

/// Where the signature of a file lies.
pub fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

/// Reads a signature.
///
/// # Errors
/// When there is none, or none that can be read.
pub fn read(path: &Path) -> Result<Signature, SignatureError> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(SignatureError::Unsigned(path.to_owned()))
        }
        Err(source) => Err(SignatureError::Read { path: path.to_owned(), source }),
        Ok(text) => decode(text.as_bytes(), path),
    }
}

/// Understands a signature that was read from `path`.
///
/// # Errors
/// When it is none.
pub fn decode(bytes: &[u8], path: &Path) -> Result<Signature, SignatureError> {
    let decoded = std::str::from_utf8(bytes).ok().and_then(|text| Signature::decode(text).ok());
    decoded.ok_or_else(|| SignatureError::BadSignature(path.to_owned()))
}

/// When a signature was made, by its trusted comment: seconds since 1970. It means something only once the signature has been found good. None
/// where whoever signed has put another comment there.
pub fn signed_at(signature: &Signature) -> Option<u64> {
    let mut fields = signature.trusted_comment().split('\t');
    fields.find_map(|field| field.strip_prefix("timestamp:")?.parse().ok())
}
