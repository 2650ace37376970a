//! The members of a tar file, one after the other, with the long names and sizes that GNU's and PAX' extensions give them.
//!
//! In the place of `tar::Archive`, which reads extensions whole into memory, however large a few compressed bytes make them. Here they are
//! bounded, and what nobody writes into an image archive (sparse files) is refused. Rules: POSIX' pax, and tar(5).

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::ArchiveError;

const BLOCK: u64 = 512;
/// A header is one block.
const HEADER: usize = 512;
/// Names are a few hundred bytes; an attribute in a PAX header may be somewhat more.
pub(super) const LARGEST_EXTENSION: u64 = 64 * 1024;

/// What a member is. Its content is read from [`Members`].
#[derive(Debug)]
pub(super) struct Member {
    pub(super) kind: EntryType,
    pub(super) path: Vec<u8>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: u64,
}

/// Goes through a tar file. Reading from it gives the content of the member that came last.
pub(super) struct Members<R> {
    source: R,
    /// Bytes of the member that came last that nobody has read.
    content: u64,
    /// What stands between them and the next member.
    padding: u64,
}

/// What extensions say of the member behind them.
#[derive(Debug, Default)]
struct Said {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

#[derive(Debug, Default)]
struct Pax {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<R: Read> Members<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, content: 0, padding: 0 }
    }

    /// The next member, if there is one more.
    ///
    /// # Errors
    /// When it can't be read, or its extensions are too large.
    pub(super) fn next(&mut self) -> Result<Option<Member>, ArchiveError> {
        let mut said = Said::default();
        let mut is_described = false;
        while let Some(header) = self.header()? {
            let (kind, size) = (header.entry_type(), header.entry_size()?);
            let place = match kind {
                EntryType::GNULongName => &mut said.path,
                EntryType::GNULongLink => &mut said.link,
                EntryType::XHeader | EntryType::XGlobalHeader => {
                    let pax = Pax::read(&self.extension(size)?)?;
                    // What is said of all members says nothing of one that counts.
                    if kind == EntryType::XHeader && said.pax.replace(pax).is_some() {
                        return Err(invalid("two extensions describe one file").into());
                    }
                    is_described |= kind == EntryType::XHeader;
                    continue;
                }
                EntryType::GNUSparse => {
                    let path = String::from_utf8_lossy(&header.path_bytes()).into_owned();
                    return Err(ArchiveError::Sparse(path));
                }
                _ => return self.member(&header, size, said).map(Some),
            };
            let mut name = self.extension(size)?;
            if name.last() == Some(&0) {
                name.pop();
            }
            if place.replace(name).is_some() {
                return Err(invalid("two long names describe one file").into());
            }
            is_described = true;
        }
        if is_described { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) } else { Ok(None) }
    }

    /// What is left behind the last member.
    pub(super) fn into_rest(self) -> R {
        self.source
    }

    fn member(&mut self, header: &Header, size: u64, said: Said) -> Result<Member, ArchiveError> {
        let pax = said.pax.unwrap_or_default();
        let size = pax.size.unwrap_or(size);
        self.begin(size)?;
        let path = said.path.or(pax.path).unwrap_or_else(|| header.path_bytes().into_owned());
        let link = said.link.or(pax.link).or_else(|| header.link_name_bytes().map(Into::into));
        Ok(Member { kind: header.entry_type(), path, link, size })
    }

    /// A header; none at the end, which is an empty one or nothing more at all.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let left = self.content.checked_add(self.padding).ok_or_else(too_large)?;
        (self.content, self.padding) = (0, 0);
        if io::copy(&mut self.source.by_ref().take(left), &mut io::sink())? < left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut header = Header::new_old();
        let mut bytes = Vec::new();
        self.source.by_ref().take(BLOCK).read_to_end(&mut bytes)?;
        if bytes.is_empty() || (bytes.len() as u64 == BLOCK && bytes.iter().all(|byte| *byte == 0)) {
            return Ok(None);
        }
        let block: [u8; HEADER] =
            bytes.try_into().map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        *header.as_mut_bytes() = block;
        // The sum's own eight bytes count as spaces.
        let counted = block.iter().enumerate().map(|(at, byte)| match at {
            148..156 => u32::from(b' '),
            _ => u32::from(*byte),
        });
        if counted.sum::<u32>() != header.cksum()? {
            return Err(invalid("the checksum of a header does not fit"));
        }
        Ok(Some(header))
    }

    fn begin(&mut self, size: u64) -> io::Result<()> {
        size.checked_next_multiple_of(BLOCK).ok_or_else(too_large)?;
        (self.content, self.padding) = (size, (BLOCK - size % BLOCK) % BLOCK);
        Ok(())
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > LARGEST_EXTENSION {
            return Err(ArchiveError::LargeExtension { found: size, most: LARGEST_EXTENSION });
        }
        self.begin(size)?;
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        if self.content > 0 { Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()) } else { Ok(bytes) }
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.by_ref().take(self.content).read(buffer)?;
        self.content = self.content.saturating_sub(count as u64);
        Ok(count)
    }
}

impl Pax {
    /// Each record is its own length, a space, a key, `=`, a value of any bytes, and a line's end.
    fn read(mut bytes: &[u8]) -> io::Result<Self> {
        let mut found = Self::default();
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes).ok_or_else(|| invalid("a PAX header has no records"))?;
            match key {
                b"path" => found.path = Some(value.to_owned()),
                b"linkpath" => found.link = Some(value.to_owned()),
                b"size" => {
                    let size = str::from_utf8(value).ok().and_then(|size| size.parse().ok());
                    found.size = Some(size.ok_or_else(|| invalid("a size in a PAX header is no number"))?);
                }
                _ => {}
            }
            bytes = rest;
        }
        Ok(found)
    }
}

/// Key and value of the first record, and what is behind it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let length: usize = str::from_utf8(bytes.get(..space)?).ok()?.parse().ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let said = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = said.iter().position(|byte| *byte == b'=')?;
    Some((said.get(..equals)?, said.get(equals + 1..)?, rest))
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn too_large() -> io::Error {
    invalid("a size is larger than any file")
}

#[cfg(test)]
mod tests;
