//! How an archive or a layer is compressed, told by its first bytes, and how it is read.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// zstd's frames of no data: 16 magic numbers that differ in their first four bits.
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
/// A window that this much memory is needed for is none that zstd's usual levels make; `--long` goes beyond.
const LARGEST_WINDOW: u64 = 32 * 1024 * 1024;

/// How something is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Compression {
    /// Not at all, or in a way that nobody knows.
    #[default]
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// The compression of what begins with these bytes.
    pub(super) fn of(begin: &[u8]) -> Self {
        let is_skippable =
            begin.get(1..4) == Some(&SKIPPABLE) && begin.first().is_some_and(|it| it & 0xf0 == 0x50);
        if begin.starts_with(&GZIP) {
            Self::Gzip
        } else if begin.starts_with(&ZSTD) || is_skippable {
            Self::Zstd
        } else {
            Self::None
        }
    }
}

/// Reads something, decompressed if it is compressed.
pub(super) fn decompressed<'r>(mut source: impl BufRead + 'r) -> io::Result<Box<dyn Read + 'r>> {
    Ok(match Compression::of(source.fill_buf()?) {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(MultiGzDecoder::new(source)),
        Compression::Zstd => Box::new(Zstd::new(source)),
    })
}

/// zstd's frames one after the other: parallel compressors write several, with skippable ones between.
struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    is_in_frame: bool,
}

impl<R: BufRead> Zstd<R> {
    fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(LARGEST_WINDOW);
        Self { source, decoder, is_in_frame: false }
    }

    /// Goes to the next frame with data; `false` at the end.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = io::copy(&mut (&mut self.source).take(length.into()), &mut io::sink())?;
                    if skipped < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_in_frame {
                self.is_in_frame = self.next_frame()?;
                if !self.is_in_frame {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let decoded =
                    self.decoder.decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1));
                decoded.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.is_in_frame = false;
        }
    }
}
