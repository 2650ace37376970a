//! One shell pattern against one name: `*`, `?`, `[a-z]`, `[^a]` and `\`, without `/` in it.
//!
//! Pure. Rule: Go's `path/filepath.Match`, which Kubernetes matches the labels of registry hosts with.

/// Does `pattern` match the whole of `name`? A malformed pattern matches nothing.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    step(&pattern, &name).unwrap_or(false)
}

/// `None` when the pattern is malformed where it is looked at.
fn step(pattern: &[char], name: &[char]) -> Option<bool> {
    let Some((first, rest)) = pattern.split_first() else { return Some(name.is_empty()) };
    match first {
        '*' => {
            for from in 0..=name.len() {
                if step(rest, &name[from..])? {
                    return Some(true);
                }
            }
            Some(false)
        }
        '?' => name.split_first().map_or(Some(false), |(_, name)| step(rest, name)),
        '[' => {
            let (class, rest) = class(rest)?;
            match name.split_first() {
                Some((c, name)) if class.holds(*c) => step(rest, name),
                _ => Some(false),
            }
        }
        '\\' => {
            let (literal, rest) = rest.split_first()?;
            literally(*literal, rest, name)
        }
        literal => literally(*literal, rest, name),
    }
}

fn literally(literal: char, rest: &[char], name: &[char]) -> Option<bool> {
    match name.split_first() {
        Some((c, name)) if *c == literal => step(rest, name),
        _ => Some(false),
    }
}

struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Class {
    fn holds(&self, c: char) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != self.negated
    }
}

/// Reads a character class after its `[`; answers it and what follows its `]`.
fn class(pattern: &[char]) -> Option<(Class, &[char])> {
    let (negated, mut pattern) = match pattern.split_first()? {
        ('^', rest) => (true, rest),
        _ => (false, pattern),
    };
    let mut ranges = Vec::new();
    loop {
        if let (']', rest) = pattern.split_first()?
            && !ranges.is_empty()
        {
            return Some((Class { negated, ranges }, rest));
        }
        let (low, rest) = class_char(pattern)?;
        let (high, rest) = match rest.split_first()? {
            ('-', rest) => class_char(rest)?,
            _ => (low, rest),
        };
        ranges.push((low, high));
        pattern = rest;
    }
}

fn class_char(pattern: &[char]) -> Option<(char, &[char])> {
    match pattern.split_first()? {
        ('-' | ']', _) => None,
        ('\\', rest) => rest.split_first().map(|(c, rest)| (*c, rest)),
        (c, rest) => Some((*c, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_filepath_match_does() {
        for (pattern, name, expected) in [
            ("abc", "abc", true),
            ("abc", "ab", false),
            ("*", "", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a?b", "a☺b", true),
            ("[]a]", "]", false),
            ("[-]", "-", false),
            ("[a", "a", false),
            ("a\\", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
