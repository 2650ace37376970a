//! What a label's key and value may look like. An affinity term with any other key or value can't be read.
//!
//! Source: `IsQualifiedName` and `IsValidLabelValue` in `apimachinery/pkg/util/validation`.

const MAX_NAME: usize = 63;
const MAX_PREFIX: usize = 253;

/// Whether `key` is a qualified name: an optional DNS subdomain and a slash, then a name of at most 63 characters.
pub(super) fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_name(key),
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_name(name),
    }
}

/// Whether `value` is empty or a name of at most 63 characters.
pub(super) fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

fn is_name(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    bytes.len() <= MAX_NAME
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn is_dns_subdomain(prefix: &str) -> bool {
    let lower_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    prefix.len() <= MAX_PREFIX
        && prefix.split('.').all(|label| {
            let bytes = label.as_bytes();
            bytes.first().is_some_and(lower_alphanumeric)
                && bytes.last().is_some_and(lower_alphanumeric)
                && bytes.iter().all(|byte| lower_alphanumeric(byte) || *byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_qualified_names() {
        for good in
            ["a", "disk.type", "x_n", "Example.com/Rack".to_lowercase().as_str(), "example.com/RACK", "1/2"]
        {
            assert!(is_label_key(good), "{good}");
        }
        let long_name = "n".repeat(64);
        let long_prefix = format!("{}/a", "p".repeat(254));
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a/b/c",
            "-a",
            "a-",
            "has space",
            "Example.com/a",
            "a..b/c",
            &long_name,
            &long_prefix,
        ] {
            assert!(!is_label_key(bad), "{bad}");
        }
    }

    #[test]
    fn values_are_empty_or_names() {
        let longest = "v".repeat(63);
        for good in ["", "0", "a.b-c_d", &longest] {
            assert!(is_label_value(good), "{good}");
        }
        let too_long = "v".repeat(64);
        for bad in ["-5", "+5", "a/b", "has space", "é", "a.", &too_long] {
            assert!(!is_label_value(bad), "{bad}");
        }
    }
}
