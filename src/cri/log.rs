//! A line of a container's log as the runtime writes it: `<time> <stream> <tags> <content>`.
//!
//! The format is the CRI's ("CRI logging format", read by the kubelet in `cri-client/pkg/logs`). Content is bytes: a container may
//! write anything. Nothing is guessed: what is not such a line is an error, and the reader goes on with the next.

use std::fmt;
use std::str::{self, FromStr};

use jiff::Timestamp;

/// Which of a container's outputs a line came from. A container with a terminal has only the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Whether a log line is a whole line of the container's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Completeness {
    /// The line ends here.
    Full,
    /// The runtime cut a long line (containerd: 16 KiB): the stream's next log line carries on.
    Partial,
}

/// One line of a log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// When the runtime read it.
    pub time: Timestamp,
    /// Where it came from.
    pub stream: LogStream,
    /// Whether the container's line ends with it.
    pub completeness: Completeness,
    /// What the container wrote, without a line feed.
    pub content: &'a [u8],
}

/// What keeps some bytes from being a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedLine {
    /// It ends before all four parts were there.
    #[error("the log line has no {0}")]
    Missing(&'static str),
    /// The first part is no RFC 3339 time.
    #[error("the log line does not start with a time")]
    Time,
    /// The second part is neither `stdout` nor `stderr`.
    #[error("the log line names no stream")]
    Stream,
}

impl fmt::Display for LogStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        })
    }
}

impl FromStr for LogStream {
    type Err = MalformedLine;

    fn from_str(name: &str) -> Result<Self, MalformedLine> {
        match name {
            "stdout" => Ok(Self::Stdout),
            "stderr" => Ok(Self::Stderr),
            _ => Err(MalformedLine::Stream),
        }
    }
}

impl<'a> LogLine<'a> {
    /// Reads one line, with or without its line feed. Tags that it does not know are passed over, as the format asks.
    pub fn parse(line: &'a [u8]) -> Result<Self, MalformedLine> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let (time, rest) = word(line, "stream")?;
        let (stream, rest) = word(rest, "tags")?;
        let (tags, content) = word(rest, "content")?;
        let text = |bytes| str::from_utf8(bytes).ok();
        Ok(Self {
            time: text(time).and_then(|time| time.parse().ok()).ok_or(MalformedLine::Time)?,
            stream: text(stream).ok_or(MalformedLine::Stream)?.parse()?,
            completeness: match tags.split(|byte| *byte == b':').next() {
                Some(b"P") => Completeness::Partial,
                _ => Completeness::Full,
            },
            content,
        })
    }
}

/// The bytes before the first space and those after it; `next` is what is missing if there is no space.
fn word<'a>(line: &'a [u8], next: &'static str) -> Result<(&'a [u8], &'a [u8]), MalformedLine> {
    let space = line.iter().position(|byte| *byte == b' ').ok_or(MalformedLine::Missing(next))?;
    let (word, rest) = line.split_at(space);
    Ok((word, rest.get(1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> Result<LogLine<'_>, MalformedLine> {
        LogLine::parse(line.as_bytes())
    }

    #[test]
    fn lines_are_read_as_the_kubelet_reads_them() {
        use Completeness::{Full, Partial};
        use LogStream::{Stderr, Stdout};
        let cases: [(&str, LogStream, Completeness, &str); 8] = [
            ("2024-05-01T10:00:00.123456789Z stdout F hello world\n", Stdout, Full, "hello world"),
            ("2024-05-01T12:00:00.5+02:00 stderr F x", Stderr, Full, "x"),
            ("2024-05-01T10:00:00Z stdout P half", Stdout, Partial, "half"),
            ("2024-05-01T10:00:00Z stdout P:TAG1:TAG2 half\n", Stdout, Partial, "half"),
            ("2024-05-01T10:00:00Z stdout F:x y\n", Stdout, Full, "y"),
            ("2024-05-01T10:00:00Z stdout F \n", Stdout, Full, ""),
            ("2024-05-01T10:00:00Z stdout F  two  spaces \n", Stdout, Full, " two  spaces "),
            ("2024-05-01T10:00:00Z stdout F a\r\n", Stdout, Full, "a\r"),
        ];
        for (text, stream, completeness, content) in cases {
            let line = parse(text).unwrap();
            assert_eq!((line.stream, line.completeness), (stream, completeness), "{text:?}");
            assert_eq!(line.content, content.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn the_time_is_kept_to_the_nanosecond_whatever_its_offset() {
        let line = parse("2024-05-01T12:00:00.123456789+02:00 stdout F x").unwrap();
        assert_eq!(line.time, "2024-05-01T10:00:00.123456789Z".parse().unwrap());
    }

    #[test]
    fn what_is_no_log_line_is_named() {
        let cases = [
            ("", MalformedLine::Missing("stream")),
            ("2024-05-01T10:00:00Z", MalformedLine::Missing("stream")),
            ("2024-05-01T10:00:00Z stdout", MalformedLine::Missing("tags")),
            ("2024-05-01T10:00:00Z stdout F", MalformedLine::Missing("content")),
            ("yesterday stdout F x", MalformedLine::Time),
            ("2024-05-01T10:00:00Z stdlog F x", MalformedLine::Stream),
        ];
        for (text, error) in cases {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail_otherwise(bytes: Vec<u8>) {
            let _: Result<_, MalformedLine> = LogLine::parse(&bytes);
        }

        #[test]
        fn content_comes_out_as_it_went_in(content: Vec<u8>) {
            prop_assume!(!content.ends_with(b"\n"));
            let mut line = b"2024-05-01T10:00:00Z stderr F ".to_vec();
            line.extend(&content);
            line.push(b'\n');
            prop_assert_eq!(LogLine::parse(&line).unwrap().content, &content[..]);
        }
    }
}
