//! The command of an exec probe, with `$(VAR)` replaced.
//!
//! Pure. A probe knows less than its container does: only values written in `env` themselves; what comes by `valueFrom` is
//! empty, what comes by `envFrom` unknown. Rule: `ExpandContainerCommandOnlyStatic` in the kubelet's `container/helpers.go`.

use k8s_openapi::api::core::v1::EnvVar;

use crate::cri::translate::expansion;

/// The command with every known variable replaced once.
pub(super) fn expand(command: &[String], env: &[EnvVar]) -> Vec<String> {
    let value = |name: &str| {
        let found = env.iter().rev().find(|variable| variable.name == name)?;
        Some(found.value.as_deref().unwrap_or_default())
    };
    command.iter().map(|word| expansion::expand(word, value)).collect()
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
