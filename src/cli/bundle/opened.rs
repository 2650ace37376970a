//! Opening a bundle: whole, and signed as the trust file asks for. Both are found out in one reading, so that nothing can change between.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::{CliError, failed_at};
use crate::bundle::Bundle;
use crate::bundle::signature::{self, Trust};

/// A bundle that is whole.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) bundle: Bundle,
    /// Whether it is signed with a trusted key; none where there is no trust file.
    pub(super) is_signed: Option<bool>,
}

/// Opens a bundle, which must be signed if there is a trust file.
pub(super) fn open(file: &Path, trust_file: Option<&Path>) -> Result<Opened, CliError> {
    let failed = failed_at(file);
    let Some(trust_file) = trust_file else {
        return Ok(Opened { bundle: read(file, |_| {})?, is_signed: None });
    };
    let trust = Trust::read(trust_file).map_err(|error| failed(&error))?;
    let signature = signature::read(&signature::beside(file)).map_err(|error| failed(&error))?;
    let mut verifier = trust.verifier(&signature).map_err(|error| failed(&error))?;
    let bundle = read(file, |bytes| verifier.update(bytes))?;
    verifier.finish().map_err(|error| failed(&error))?;
    Ok(Opened { bundle, is_signed: Some(true) })
}

/// Reads a bundle, signed or not.
pub(super) fn read(file: &Path, witness: impl FnMut(&[u8])) -> Result<Bundle, CliError> {
    let failed = failed_at(file);
    let source = File::open(file).map_err(|error| failed(&error))?;
    let length = source.metadata().map_err(|error| failed(&error))?.len();
    Bundle::read(source, length, witness).map_err(|error| failed(&error))
}

/// A reader of the same file once more.
pub(super) fn again(file: &Path) -> Result<BufReader<File>, CliError> {
    File::open(file).map(BufReader::new).map_err(|error| failed_at(file)(&error))
}
