//! JSON byte for byte as Go's `encoding/json` writes it, for annotations and hashes that other programs compare.

use serde::Serialize;

/// The value in compact JSON, with the characters escaped that Go escapes beyond the standard.
pub(super) fn to_go_json(value: &impl Serialize) -> String {
    let plain = serde_json::to_string(value).unwrap_or_default();
    // None of these can stand outside a string.
    let mut escaped = String::with_capacity(plain.len());
    for character in plain.chars() {
        match character {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_escapes_is_escaped() {
        assert_eq!(to_go_json(&["a<b>&\u{2028}é\"\n"]), r#"["a\u003cb\u003e\u0026\u2028é\"\n"]"#);
    }
}
