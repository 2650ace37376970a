//! What a YAML scalar means to Kubernetes.
//!
//! Kubernetes reads YAML with `sigs.k8s.io/yaml`, whose scalars are YAML 1.1's with some of 1.2: `0600` and `0o600` are octal,
//! `yes`, `on` and `y` are booleans, timestamps stay strings. Any other reader's idea of a scalar would make another object
//! of the same text. Rule: `goyaml.v2/resolve.go`.

use super::tree::Value;

/// The meaning of an unquoted scalar without a tag.
pub(crate) fn plain(text: &str) -> Value {
    word(text).or_else(|| number(text)).unwrap_or_else(|| Value::String(text.to_owned()))
}

/// The meaning of a scalar with a tag of the core schema (`str`, `int`, …), or `None` if the text is no such thing.
pub(crate) fn tagged(tag: &str, text: &str) -> Option<Value> {
    match (tag, plain(text)) {
        ("str" | "binary", _) => Some(Value::String(text.to_owned())),
        #[expect(clippy::cast_precision_loss, reason = "the tag asks for a float")]
        ("float", Value::Int(int)) => Some(Value::Float(int as f64)),
        ("bool", Value::Int(_) | Value::Float(_) | Value::Null | Value::String(_))
        | ("int", Value::Bool(_) | Value::Float(_) | Value::Null | Value::String(_))
        | ("float", Value::Bool(_) | Value::Null | Value::String(_))
        | ("null", Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_))
        | ("timestamp", Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Null) => None,
        // The tag fits, or is an application's own and says nothing about the value.
        (_, value) => Some(value),
    }
}

/// A map key as JSON holds it, or `None` for a value that can't be a key.
pub(crate) fn key(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Int(int) => Some(int.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Float(float) => Some(float.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

fn word(text: &str) -> Option<Value> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Some(Value::Bool(true))
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Some(Value::Bool(false))
        }
        "" | "~" | "null" | "Null" | "NULL" => Some(Value::Null),
        ".nan" | ".NaN" | ".NAN" => Some(Value::Float(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(Value::Float(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => Some(Value::Float(f64::NEG_INFINITY)),
        _ => None,
    }
}

fn number(text: &str) -> Option<Value> {
    let first = text.bytes().next()?;
    if first == b'.' {
        return decimal(text);
    }
    if !(first.is_ascii_digit() || first == b'+' || first == b'-') {
        return None;
    }
    let plain: String = text.chars().filter(|&c| c != '_').collect();
    integer(&plain).map(Value::Int).or_else(|| decimal(&plain))
}

/// An integer as Go's `strconv.ParseInt` with base 0 reads it.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.bytes().next()?.is_ascii_hexdigit() {
        return None; // a second sign
    }
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// A number of the form `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`; an integral one is an integer, as it is once
/// Go has written it as JSON.
fn decimal(text: &str) -> Option<Value> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && all_digits(fraction),
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction),
        None => !mantissa.is_empty() && all_digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    if !(mantissa_fits && exponent_fits) {
        return None;
    }
    let float: f64 = text.parse().ok()?;
    if !float.is_finite() {
        return None; // out of a float's range: Go leaves such a text a string
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked to be integral and far below 2^63")]
    Some(if float.fract() == 0.0 && float.abs() < 1e15 {
        Value::Int(float as i64)
    } else {
        Value::Float(float)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_they_mean_to_kubernetes() {
        let string = |text: &str| Value::String(text.to_owned());
        for (text, expected) in [
            ("0600", Value::Int(0o600)),
            ("0o600", Value::Int(0o600)),
            ("0644", Value::Int(420)),
            ("-010", Value::Int(-8)),
            ("0", Value::Int(0)),
            ("0x1F", Value::Int(31)),
            ("0b101", Value::Int(5)),
            ("1_000", Value::Int(1000)),
            ("+5", Value::Int(5)),
            ("08", Value::Int(8)), // no octal, but a decimal float, which is integral
            ("9223372036854775807", Value::Int(i64::MAX)),
            ("1.5", Value::Float(1.5)),
            (".5", Value::Float(0.5)),
            ("1e3", Value::Int(1000)),
            ("1.", Value::Int(1)),
            ("yes", Value::Bool(true)),
            ("Off", Value::Bool(false)),
            ("y", Value::Bool(true)),
            ("yES", string("yES")),
            ("~", Value::Null),
            ("", Value::Null),
            ("NULL", Value::Null),
            ("nULL", string("nULL")),
            ("2001-12-14", string("2001-12-14")),
            ("1:30", string("1:30")),
            ("1.2.3", string("1.2.3")),
            ("100m", string("100m")),
            ("1Gi", string("1Gi")),
            ("0x", string("0x")),
            ("--1", string("--1")),
            ("+-1", string("+-1")),
            ("-", string("-")),
            ("1e", string("1e")),
            ("nan", string("nan")),
            ("inf", string("inf")),
            ("infinity", string("infinity")),
            ("1e999", string("1e999")),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }

    #[test]
    fn a_tag_forces_the_kind_or_fails() {
        assert_eq!(tagged("str", "0600"), Some(Value::String("0600".to_owned())));
        assert_eq!(tagged("float", "2"), Some(Value::Float(2.0)));
        assert_eq!(tagged("int", "x"), None);
        assert_eq!(tagged("bool", "yes"), Some(Value::Bool(true)));
    }

    #[test]
    fn keys_are_strings_as_in_json() {
        assert_eq!(key(plain("yes")).as_deref(), Some("true"));
        assert_eq!(key(plain("010")).as_deref(), Some("8"));
        assert_eq!(key(plain("~")), None);
    }
}
