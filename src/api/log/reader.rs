//! Reads one attempt's log file: from its end or its beginning, and on over rotations as long as it is followed.
//!
//! Blocking, for a thread of its own. Rule: `ReadLogs` in Kubernetes' `cri-client/pkg/logs/logs.go`; a tail counts lines of
//! the file, as there.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use super::follow::{Wake, Wakes};
use super::options::Extract;
use crate::cri::log::{Completeness, LogLine};

/// How much is read, and about how much is sent, at once.
const CHUNK: usize = 32 * 1024;
/// A line of the file longer than this is no log line (containerd cuts them at 16 KiB).
const MAX_LINE: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    file: File,
    extract: Extract,
    /// What has been read of a line that has not ended yet.
    line: Vec<u8>,
    /// The line so far is too long, and is passed over.
    skips: bool,
    /// Whether what comes next begins a line of the container's.
    begins_line: bool,
    /// How many bytes may still be sent.
    left: u64,
}

impl Reader {
    /// Opens the file, at the line at which the extract begins.
    pub(super) fn open(path: PathBuf, extract: Extract) -> io::Result<Self> {
        let mut file = File::open(&path)?;
        if let Some(lines) = extract.tail_lines {
            let start = tail_start(&file, lines)?;
            file.seek(SeekFrom::Start(start))?;
        }
        let left = extract.limit_bytes.unwrap_or(u64::MAX);
        Ok(Self { path, file, extract, line: Vec::new(), skips: false, begins_line: true, left })
    }

    /// Sends what is there. `send` says whether somebody still listens.
    pub(super) fn read(mut self, mut send: impl FnMut(Vec<u8>) -> bool) -> io::Result<()> {
        if self.drain(&mut send)? {
            self.last_line(&mut send);
        }
        Ok(())
    }

    /// Sends what is there and what comes, until the container has ended and its log is drained.
    pub(super) fn follow(mut self, wakes: &Wakes, mut send: impl FnMut(Vec<u8>) -> bool) -> io::Result<()> {
        loop {
            // Asked before reading, so that what was written before the end is read after it.
            let wake = wakes.state();
            if wake == Wake::Closed || !self.drain(&mut send)? {
                return Ok(());
            }
            if self.turn_to_next_file()? {
                continue;
            }
            if wake == Wake::Ended {
                self.last_line(&mut send);
                return Ok(());
            }
            wakes.wait();
        }
    }

    /// Sends all whole lines up to the end of the file; whether more may be sent.
    fn drain(&mut self, send: &mut impl FnMut(Vec<u8>) -> bool) -> io::Result<bool> {
        let mut chunk = vec![0; CHUNK];
        let mut out = Vec::new();
        loop {
            let length = self.file.read(&mut chunk)?;
            for part in chunk[..length].split_inclusive(|byte| *byte == b'\n') {
                self.take(part, &mut out);
            }
            if out.len() >= CHUNK {
                let is_heard = send(std::mem::take(&mut out));
                if !is_heard {
                    return Ok(false);
                }
            }
            if length == 0 || self.left == 0 {
                break;
            }
        }
        let is_heard = out.is_empty() || send(out);
        Ok(is_heard && self.left > 0)
    }

    /// Takes a line of the file, or what has been read of it.
    fn take(&mut self, part: &[u8], out: &mut Vec<u8>) {
        let is_whole = part.ends_with(b"\n");
        if !self.skips {
            self.line.extend_from_slice(part);
        }
        if self.line.len() > MAX_LINE {
            self.skips = true;
            self.line.clear();
        }
        if is_whole {
            let line = std::mem::take(&mut self.line);
            if !std::mem::take(&mut self.skips) {
                self.write(&line, out);
            }
            self.line = line;
            self.line.clear();
        }
    }

    /// A container that was killed may leave a line without its end.
    fn last_line(&mut self, send: &mut impl FnMut(Vec<u8>) -> bool) {
        let line = std::mem::take(&mut self.line);
        let mut out = Vec::new();
        if !line.is_empty() && !self.skips {
            self.write(&line, &mut out);
        }
        if !out.is_empty() {
            send(out);
        }
    }

    fn write(&mut self, line: &[u8], out: &mut Vec<u8>) {
        // What is no log line is passed over, as the kubelet does.
        let Ok(parsed) = LogLine::parse(line) else { return };
        if self.extract.since.is_some_and(|since| parsed.time < since) {
            return;
        }
        let from = out.len();
        if self.extract.timestamps && self.begins_line {
            out.extend_from_slice(&time_of(line));
            out.push(b' ');
        }
        out.extend_from_slice(parsed.content);
        self.begins_line = parsed.completeness == Completeness::Full;
        if self.begins_line {
            out.push(b'\n');
        }
        let written = u64::try_from(out.len() - from).unwrap_or(u64::MAX);
        if written > self.left {
            out.truncate(from + usize::try_from(self.left).unwrap_or(usize::MAX));
        }
        self.left = self.left.saturating_sub(written);
    }

    /// Goes on with the file that has taken this one's place, or from the beginning if this one was cut short.
    fn turn_to_next_file(&mut self) -> io::Result<bool> {
        let ours = self.file.metadata()?;
        match std::fs::metadata(&self.path) {
            Ok(theirs) if (theirs.dev(), theirs.ino()) != (ours.dev(), ours.ino()) => {
                // The runtime writes to the new file from its making on; what it wrote to the old one until then is read first.
                if self.file.stream_position()? < self.file.metadata()?.len() {
                    return Ok(true);
                }
                self.file = File::open(&self.path)?;
                self.line.clear();
                Ok(true)
            }
            Ok(_) if ours.len() < self.file.stream_position()? => {
                self.file.rewind()?;
                self.line.clear();
                Ok(true)
            }
            Ok(_) => Ok(false),
            // Renamed away, and the runtime has yet to make the next.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A line's time with all nine digits of its fraction, in the zone in which the runtime wrote it.
fn time_of(line: &[u8]) -> Vec<u8> {
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let time = &line[..end];
    let is_zone = |byte: &u8| matches!(byte, b'Z' | b'z' | b'+' | b'-');
    let start_of_zone = time.iter().skip(10).position(is_zone).map_or(time.len(), |at| at + 10);
    let (clock, zone) = time.split_at(start_of_zone);
    let (seconds, fraction) = match clock.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&clock[..dot], &clock[dot + 1..]),
        None => (clock, &[][..]),
    };
    let mut out = seconds.to_vec();
    out.push(b'.');
    out.extend((0..9).map(|digit| fraction.get(digit).copied().unwrap_or(b'0')));
    out.extend_from_slice(zone);
    out
}

/// Where the last `lines` lines begin.
fn tail_start(file: &File, lines: u64) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    if lines == 0 {
        return Ok(end);
    }
    let mut block = vec![0; CHUNK];
    // The line feed at the very end closes the last line and begins none.
    let mut left = lines;
    let mut is_last_byte = true;
    while end > 0 {
        let start = end.saturating_sub(CHUNK as u64);
        let length = usize::try_from(end - start).unwrap_or(CHUNK);
        file.read_exact_at(&mut block[..length], start)?;
        for at in (0..length).rev() {
            if block[at] == b'\n' && !is_last_byte {
                left -= 1;
                if left == 0 {
                    return Ok(start + at as u64 + 1);
                }
            }
            is_last_byte = false;
        }
        end = start;
    }
    Ok(0)
}
