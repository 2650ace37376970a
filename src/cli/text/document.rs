//! JSON and YAML as kubectl writes them: keys sorted, block style.

use serde_json::Value;

use crate::cli::error::CliError;

/// JSON with kubectl's indentation of four.
pub(in crate::cli) fn to_json(value: &Value) -> Result<String, CliError> {
    use serde::Serialize;
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter))?;
    out.push(b'\n');
    String::from_utf8(out).map_err(|error| CliError::Answer(error.to_string()))
}

/// YAML that reads back as the same value, also by readers of YAML 1.1 (`"0600"` and `"yes"` stay strings).
pub(in crate::cli) fn to_yaml(value: &Value) -> Result<String, CliError> {
    // kubectl never folds a long line.
    let mut options = serde_saphyr::SerializerOptions::default();
    options.folded_wrap_chars = usize::MAX;
    let mut out = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut out, value, options)
        .map_err(|error| CliError::Answer(error.to_string()))?;
    if !out.ends_with('\n') {
        out.push('\n');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_indented_by_four_and_sorted() {
        let text = to_json(&json!({"b": [1], "a": {}})).unwrap();
        assert_eq!(text, "{\n    \"a\": {},\n    \"b\": [\n        1\n    ]\n}\n");
    }

    #[test]
    fn yaml_is_laid_out_as_kubectl_does() {
        let value = json!({
            "spec": {"containers": [{"name": "a", "args": ["-x", "why"], "env": [{"name": "E", "value": "1"}]}], "volumes": []},
            "metadata": {"name": "p", "labels": {}, "annotations": {"note": "two\nlines\n"}},
            "apiVersion": "v1",
        });
        assert_eq!(
            to_yaml(&value).unwrap(),
            "apiVersion: v1\n\
             metadata:\n\
             \x20 annotations:\n\
             \x20   note: |\n\
             \x20     two\n\
             \x20     lines\n\
             \x20 labels: {}\n\
             \x20 name: p\n\
             spec:\n\
             \x20 containers:\n\
             \x20 - args:\n\
             \x20   - -x\n\
             \x20   - why\n\
             \x20   env:\n\
             \x20   - name: E\n\
             \x20     value: \"1\"\n\
             \x20   name: a\n\
             \x20 volumes: []\n"
        );
    }

    #[test]
    fn a_long_line_is_not_folded() {
        let long = "word ".repeat(60) + "end";
        assert_eq!(to_yaml(&json!({"v": long})).unwrap(), format!("v: {long}\n"));
    }

    #[test]
    fn strings_that_look_like_something_else_are_quoted() {
        for text in [
            "yes",
            "no",
            "on",
            "off",
            "y",
            "n",
            "true",
            "null",
            "~",
            "0600",
            "0o600",
            "1",
            "1.5",
            "1e3",
            "0x1F",
            "1_000",
            "",
            " x",
            "2024-01-01",
            "12:30:45",
            ".inf",
            "a: b",
            "# c",
            "- d",
            "@e",
            "%f",
            "!g",
            "&h",
            "*i",
            "[j",
            "{k",
        ] {
            let out = to_yaml(&json!({"v": text})).unwrap();
            let scalar = out.trim_end_matches('\n').strip_prefix("v: ").unwrap();
            assert!(scalar.starts_with('"') || scalar.starts_with('\''), "{text:?} is written as {scalar}");
            let back: Value = serde_saphyr::from_str(&out).unwrap();
            assert_eq!(back["v"], json!(text));
        }
    }
}
