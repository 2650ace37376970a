//! `$(VAR)` references in commands, arguments, environment values and `subPathExpr`.
//!
//! One pass, never recursive: what a variable expands to is not looked at again. Rules: Kubernetes'
//! `third_party/forked/golang/expansion`.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Container;

/// Replaces each `$(NAME)` that `lookup` knows; an unknown one stays as it is written, and `$$` is a literal `$`.
pub fn expand<'a>(input: &str, mut lookup: impl FnMut(&str) -> Option<&'a str>) -> String {
    let mut output = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(dollar) = rest.find('$') {
        let (literal, reference) = rest.split_at(dollar);
        output.push_str(literal);
        let after = &reference[1..];
        if let Some(unescaped) = after.strip_prefix('$') {
            output.push('$');
            rest = unescaped;
            continue;
        }
        let closed = after.strip_prefix('(').and_then(|body| body.split_once(')'));
        let Some((name, behind)) = closed else {
            output.push('$');
            rest = after;
            continue;
        };
        if let Some(value) = lookup(name) {
            output.push_str(value);
        } else {
            output.push_str("$(");
            output.push_str(name);
            output.push(')');
        }
        rest = behind;
    }
    output.push_str(rest);
    output
}

/// Expands every word of a command or of its arguments against the container's environment.
pub fn expand_words(words: &[String], env: &[(String, String)]) -> Vec<String> {
    words.iter().map(|word| expand(word, |name| value_of(env, name))).collect()
}

/// Expands the command of an exec probe, which knows only what the container's `env` says itself: values as they are written,
/// and nothing for those from elsewhere.
pub fn expand_probe_words(words: &[String], container: &Container) -> Vec<String> {
    let variables = container.env.as_deref().unwrap_or_default();
    let value_of = |name: &str| {
        let variable = variables.iter().rev().find(|variable| variable.name == name)?;
        Some(variable.value.as_deref().unwrap_or_default())
    };
    words.iter().map(|word| expand(word, value_of)).collect()
}

/// Expands a `subPathExpr`, in which every variable must be known and not empty.
///
/// # Errors
/// The names that are unknown or empty, sorted.
pub fn expand_strictly(input: &str, env: &[(String, String)]) -> Result<String, Vec<String>> {
    let mut missing = BTreeSet::new();
    let expanded = expand(input, |name| {
        let value = value_of(env, name).filter(|value| !value.is_empty());
        if value.is_none() {
            missing.insert(name.to_owned());
        }
        value
    });
    if missing.is_empty() { Ok(expanded) } else { Err(missing.into_iter().collect()) }
}

// A device's variables come first and the pod's own later ones of the same name win.
fn value_of<'a>(env: &'a [(String, String)], name: &str) -> Option<&'a str> {
    env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known(name: &str) -> Option<&'static str> {
        match name {
            "A" => Some("a"),
            "B" => Some("$(A)"),
            "EMPTY" => Some(""),
            "odd name" => Some("odd"),
            _ => None,
        }
    }

    #[test]
    fn references_expand_as_kubernetes_expands_them() {
        for (input, output) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "a"),
            ("x$(A)y$(A)z", "xayaz"),
            ("$(B)", "$(A)"),
            ("$(EMPTY)", ""),
            ("$(odd name)", "odd"),
            ("$(UNKNOWN)", "$(UNKNOWN)"),
            ("$()", "$()"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$a"),
            ("$$$$(A)", "$$(A)"),
            ("$$", "$"),
            ("$", "$"),
            ("end$", "end$"),
            ("$A", "$A"),
            ("$(A", "$(A"),
            ("$(A$(A)", "$(A$(A)"),
            ("$(A)$(", "a$("),
            ("($(A))", "(a)"),
            ("$é$(A)é", "$éaé"),
            ("$($(A))", "$($(A))"),
        ] {
            assert_eq!(expand(input, known), output, "{input}");
        }
    }

    #[test]
    fn an_open_reference_is_literal_and_what_follows_is_still_read() {
        assert_eq!(expand("$(A $$ $", known), "$(A $ $");
    }

    #[test]
    fn a_sub_path_needs_every_variable_to_have_a_value() {
        let env = vec![("POD".to_owned(), "p-1".to_owned()), ("NONE".to_owned(), String::new())];
        assert_eq!(expand_strictly("logs/$(POD)", &env), Ok("logs/p-1".to_owned()));
        assert_eq!(
            expand_strictly("$(Z)/$(NONE)/$(POD)/$(A)", &env),
            Err(vec!["A".to_owned(), "NONE".to_owned(), "Z".to_owned()])
        );
    }

    #[test]
    fn a_probe_knows_only_what_is_written_in_the_container() {
        let container: Container = serde_json::from_value(serde_json::json!({"name": "c", "env": [
            {"name": "A", "value": "$(B)"},
            {"name": "REF", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ]}))
        .unwrap();
        let words = ["$(A)", "<$(REF)>", "$(OTHER)"].map(str::to_owned);
        assert_eq!(expand_probe_words(&words, &container), ["$(B)", "<>", "$(OTHER)"]);
    }

    proptest! {
        #[test]
        fn text_without_a_dollar_never_changes(text in "[^$]*") {
            prop_assert_eq!(expand(&text, known), text);
        }

        #[test]
        fn doubling_every_dollar_gives_the_text_back(text in "[$()A-C]{0,24}") {
            prop_assert_eq!(expand(&text.replace('$', "$$"), known), text);
        }

        #[test]
        fn knowing_nothing_only_unescapes(text in "[$()A-C]{0,24}") {
            let nothing = expand(&text, |_| None);
            prop_assert!(nothing.len() <= text.len());
            if !text.contains("$$") {
                prop_assert_eq!(nothing, text);
            }
        }
    }
}
