//! The command of an exec probe, with `$(VAR)` replaced.
//!
//! Pure. A probe knows less than its container does: only values written in `env` themselves; what comes by `valueFrom` is
//! empty, what comes by `envFrom` unknown. Rule: `ExpandContainerCommandOnlyStatic` in the kubelet's `container/helpers.go`,
//! and `k8s.io/kubernetes/third_party/forked/golang/expansion`.

use k8s_openapi::api::core::v1::EnvVar;

/// The command with every known variable replaced once.
pub(super) fn expand(command: &[String], env: &[EnvVar]) -> Vec<String> {
    let value = |name: &str| {
        let found = env.iter().rev().find(|variable| variable.name == name)?;
        Some(found.value.as_deref().unwrap_or_default())
    };
    command.iter().map(|word| expand_word(word, value)).collect()
}

fn expand_word<'a>(word: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut expanded = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(dollar) = rest.find('$') {
        expanded.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(escaped) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = escaped;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|name| name.split_once(')')) {
            match value(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::EnvVarSource;

    #[test]
    fn only_what_env_itself_says_is_replaced_and_only_once() {
        let env = [
            EnvVar { name: "A".into(), value: Some("one".into()), ..Default::default() },
            EnvVar { name: "B".into(), value: Some("$(A)".into()), ..Default::default() },
            EnvVar { name: "S".into(), value_from: Some(EnvVarSource::default()), ..Default::default() },
        ];
        for (word, expanded) in [
            ("$(A)-$(A)", "one-one"),
            ("$(B)", "$(A)"),
            ("[$(S)]", "[]"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$one"),
            ("$A $", "$A $"),
            ("$(A", "$(A"),
        ] {
            assert_eq!(expand(&[word.to_owned()], &env), [expanded], "{word}");
        }
    }
}
