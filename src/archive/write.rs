//! Writing an archive: the same bytes for the same content, whoever writes it and when.

use std::fmt;
use std::io::{self, Read, Write};

use tar::{EntryType, Header};

/// By this annotation of `index.json` containerd, docker and daemonlet know an image's name.
pub const NAME_ANNOTATION: &str = "io.containerd.image.name";

const BLOCK: u64 = 512;
/// Two empty blocks.
const END: [u8; 1024] = [0; 1024];

/// Writes a tar file. Paths must be such as a plain header has room for: up to a hundred letters, and somewhat more with directories.
pub struct TarWriter<W: Write>(W);

impl<W: Write> fmt::Debug for TarWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TarWriter")
    }
}

impl<W: Write> TarWriter<W> {
    /// A writer of a new archive.
    pub fn new(target: W) -> Self {
        Self(target)
    }

    /// Writes a file; `content` must have as many bytes as `size` says.
    ///
    /// # Errors
    /// When it can't be written, or `content` can't be read.
    pub fn file(&mut self, path: &str, size: u64, mode: u32, content: impl Read) -> io::Result<()> {
        self.begin(path, size, mode)?;
        if io::copy(&mut content.take(size), &mut self.0)? < size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pad(size)
    }

    /// Begins a file whose content is written to [`target`](Self::target); [`pad`](Self::pad) ends it.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn begin(&mut self, path: &str, size: u64, mode: u32) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_size(size);
        header.set_mode(mode);
        header.set_mtime(0);
        header.set_path(path)?;
        header.set_cksum();
        self.0.write_all(header.as_bytes())
    }

    /// Ends a file of this size that was begun.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn pad(&mut self, size: u64) -> io::Result<()> {
        let missing = usize::try_from((BLOCK - size % BLOCK) % BLOCK).unwrap_or_default();
        self.0.write_all(END.get(..missing).unwrap_or_default())
    }

    /// Writes a symbolic link.
    #[cfg(test)]
    pub(super) fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        header.set_path(path)?;
        header.set_link_name(target)?;
        header.set_cksum();
        self.0.write_all(header.as_bytes())
    }

    /// Writes the name of the file behind it, as GNU's tar does where a header has no room for it.
    #[cfg(test)]
    pub(super) fn long_name(&mut self, name: &str) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(name.len() as u64);
        header.set_path("././@LongLink")?;
        header.set_cksum();
        self.0.write_all(header.as_bytes())?;
        self.0.write_all(name.as_bytes())?;
        self.pad(name.len() as u64)
    }

    /// What is written to.
    pub fn target(&mut self) -> &mut W {
        &mut self.0
    }

    /// Gives back what was written to, without an end: somebody else writes it.
    pub fn abandon(self) -> W {
        self.0
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// When its end can't be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.0.write_all(&END)?;
        Ok(self.0)
    }
}
