//! Writing an archive: the same bytes for the same content, whoever writes it and when.

use std::fmt;
use std::io::{self, Read, Write};

use tar::{Builder, EntryType, Header};

/// By this annotation of `index.json` containerd, docker and daemonlet know an image's name.
pub const NAME_ANNOTATION: &str = "io.containerd.image.name";

/// Writes a tar file.
pub struct TarWriter<W: Write>(Builder<W>);

impl<W: Write> fmt::Debug for TarWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TarWriter")
    }
}

impl<W: Write> TarWriter<W> {
    /// A writer of a new archive.
    pub fn new(target: W) -> Self {
        Self(Builder::new(target))
    }

    /// Writes a file; `content` must have as many bytes as `size` says.
    ///
    /// # Errors
    /// When it can't be written, or `content` can't be read.
    pub fn file(&mut self, path: &str, size: u64, mode: u32, content: impl Read) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_size(size);
        header.set_mode(mode);
        header.set_mtime(0);
        let mut content = content.take(size);
        self.0.append_data(&mut header, path, &mut content)?;
        if content.limit() > 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// What has been written to.
    pub fn target(&mut self) -> &mut W {
        self.0.get_mut()
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// When its end can't be written.
    pub fn finish(self) -> io::Result<W> {
        self.0.into_inner()
    }
}

#[cfg(test)]
impl<W: Write> From<Builder<W>> for TarWriter<W> {
    fn from(begun: Builder<W>) -> Self {
        Self(begun)
    }
}
