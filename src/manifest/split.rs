//! A file's text cut into documents, so that one broken document does not hurt the next.
//!
//! The cut is made in the text, before any parsing, at lines that begin with `---` in the first column, as Kubernetes'
//! document reader does (`apimachinery/pkg/util/yaml/decoder.go`). Inside a block scalar such a line is indented, so it
//! never cuts. Several JSON values that follow one another are documents of their own.

use serde::de::IgnoredAny;

/// The text of one document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunk<'a> {
    /// Its first line, counted from 1 in the file.
    pub(crate) line: u32,
    /// What is written there.
    pub(crate) text: &'a str,
}

/// The documents of a file, without those that are empty or hold only comments.
pub(crate) fn documents(text: &str) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let (mut start, mut start_line) = (0, 1);
    let (mut offset, mut line) = (0, 1);
    for written in text.split_inclusive('\n') {
        if offset > start && begins_document(written) {
            push(&mut chunks, Chunk { line: start_line, text: &text[start..offset] });
            (start, start_line) = (offset, line);
        }
        offset += written.len();
        line += 1;
    }
    push(&mut chunks, Chunk { line: start_line, text: &text[start..] });
    chunks
}

fn begins_document(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn push<'a>(chunks: &mut Vec<Chunk<'a>>, chunk: Chunk<'a>) {
    if chunk.text.lines().all(is_blank) {
        return;
    }
    if chunk.text.trim_start().starts_with('{') {
        json_values(chunks, &chunk);
    } else {
        chunks.push(chunk);
    }
}

/// Whether a line holds nothing of a document: blank, a comment, a directive or the separator itself.
fn is_blank(line: &str) -> bool {
    let rest = if begins_document(line) { &line[3..] } else { line };
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with('#') || line.starts_with('%') || line.trim_end() == "..."
}

/// Cuts JSON values that follow one another; what is not JSON is left whole for the YAML reader to judge.
fn json_values<'a>(chunks: &mut Vec<Chunk<'a>>, chunk: &Chunk<'a>) {
    let mut values = serde_json::Deserializer::from_str(chunk.text).into_iter::<IgnoredAny>();
    let (mut start, mut line) = (0, chunk.line);
    while let Some(value) = values.next() {
        let end = if value.is_ok() { values.byte_offset() } else { chunk.text.len() };
        let text = &chunk.text[start..end];
        let leading = text.len() - text.trim_start().len();
        let first = line + newlines(&text[..leading]);
        chunks.push(Chunk { line: first, text: &text[leading..] });
        line = first + newlines(&text[leading..]);
        start = end;
        if value.is_err() {
            return;
        }
    }
}

fn newlines(text: &str) -> u32 {
    u32::try_from(text.bytes().filter(|&b| b == b'\n').count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(u32, &str)> {
        documents(text).into_iter().map(|chunk| (chunk.line, chunk.text)).collect()
    }

    #[test]
    fn documents_begin_at_separators_in_the_first_column() {
        assert_eq!(cut("a: 1\n---\nb: 2\n"), [(1, "a: 1\n"), (2, "---\nb: 2\n")]);
        assert_eq!(cut("a: |\n  x\n  ---\n  y\n"), [(1, "a: |\n  x\n  ---\n  y\n")]);
        assert_eq!(cut("a: 1\r\n---\r\nb: 2\r\n").len(), 2);
        assert_eq!(cut("--- # first\na: 1\n--- {b: 2}\n").len(), 2);
        assert_eq!(cut("a: b\n---x\n").len(), 1);
    }

    #[test]
    fn empty_documents_and_comments_are_none() {
        for text in ["", "\n\n", "---\n---\n", "# only\n--- # a comment\n  # here\n...\n", "%YAML 1.1\n---\n"]
        {
            assert_eq!(cut(text), [], "{text:?}");
        }
        assert_eq!(cut("%YAML 1.1\n---\na: 1\n"), [(2, "---\na: 1\n")]);
    }

    #[test]
    fn json_values_in_a_row_are_documents() {
        assert_eq!(
            cut("{\"a\":\n1}\n\n{\"b\":2}{\"c\":3}\n"),
            [(1, "{\"a\":\n1}"), (4, "{\"b\":2}"), (4, "{\"c\":3}")]
        );
        assert_eq!(cut("{\"a\":1}\n{\"b\":\n"), [(1, "{\"a\":1}"), (2, "{\"b\":\n")]);
        assert_eq!(cut("{a: b}\n"), [(1, "{a: b}\n")]);
    }
}
