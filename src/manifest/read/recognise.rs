//! What a document claims to be, and what daemonlet does with such.

use crate::manifest::Kind;
use crate::manifest::tree::Node;

/// What is to be done with a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim<'a> {
    /// An object of a kind that daemonlet reads.
    Known(Kind),
    /// A list of objects; those without a kind of their own are of this one.
    List(Option<(&'a str, &'a str)>),
    /// An object of a kind that is set aside.
    Other { kind: &'a str, api_version: &'a str },
    /// A known kind under another version: what to write instead.
    OldVersion { kind: Kind, remedy: String },
    /// It does not say what it is: the missing field and what to do.
    Nothing { field: &'static str, message: String },
}

/// Looks at `kind` and `apiVersion`, which `inherited` stands in for inside a typed list.
pub(super) fn recognise<'a>(root: &'a Node, inherited: Option<(&'a str, &'a str)>) -> Claim<'a> {
    let written = |field: &'static str| root.str(field).filter(|text| !text.is_empty());
    let kind = written("kind").or(inherited.map(|(kind, _)| kind));
    let api_version = written("apiVersion").or(inherited.map(|(_, version)| version));
    let Some(kind) = kind else {
        return missing(root, "kind", "DaemonSet");
    };
    let known = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
    let Some(api_version) = api_version else {
        return missing(root, "apiVersion", known.map_or("v1", Kind::api_version));
    };
    match known {
        Some(known) if known.api_version() == api_version => Claim::Known(known),
        Some(known) if is_version_of(known, api_version) => {
            Claim::OldVersion { kind: known, remedy: remedy(known, api_version) }
        }
        Some(_) => Claim::Other { kind, api_version },
        None if kind == "List" && api_version == "v1" => Claim::List(None),
        None => match listed(kind) {
            Some(item) if item.api_version() == api_version => {
                Claim::List(Some((item.as_str(), item.api_version())))
            }
            Some(item) if is_version_of(item, api_version) => {
                Claim::OldVersion { kind: item, remedy: remedy(item, api_version) }
            }
            _ => Claim::Other { kind, api_version },
        },
    }
}

fn missing<'a>(root: &Node, field: &'static str, example: &str) -> Claim<'a> {
    let message = match root.get(field) {
        Some(node) if root.str(field).is_none() && node.value != crate::manifest::tree::Value::Null => {
            format!("cannot read {} as string: put it in quotes", node.value.kind())
        }
        _ => format!("Required value: every object says what it is, for example `{field}: {example}`"),
    };
    Claim::Nothing { field, message }
}

/// The kind that a typed list such as `DaemonSetList` holds.
fn listed(kind: &str) -> Option<Kind> {
    let item = kind.strip_suffix("List")?;
    Kind::ALL.into_iter().find(|known| known.as_str() == item)
}

/// Whether an API version is, was or is easily mistaken for one of this kind's, rather than a stranger's kind of the same name.
fn is_version_of(kind: Kind, api_version: &str) -> bool {
    let group = |version: &str| version.rsplit_once('/').map_or(String::new(), |(group, _)| group.to_owned());
    let own = group(kind.api_version());
    let written = group(api_version);
    written == own || written.is_empty() || (own == "apps" && written == "extensions")
}

fn remedy(kind: Kind, api_version: &str) -> String {
    let right = kind.api_version();
    let more = match kind {
        Kind::DaemonSet if api_version.contains("beta") => {
            " (and spec.selector.matchLabels with the template's labels, which apps/v1 requires)"
        }
        _ => "",
    };
    format!("Unsupported value: {api_version:?}: write `apiVersion: {right}`{more}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::yaml;

    fn claim(text: &str) -> String {
        let (documents, _) = yaml::parse(text, 1);
        match recognise(&documents[0].root, None) {
            Claim::OldVersion { kind, remedy } => format!("{kind}: {remedy}"),
            Claim::Nothing { field, message } => format!("{field}: {message}"),
            claim => format!("{claim:?}"),
        }
    }

    #[test]
    fn known_kinds_need_their_own_version_and_other_kinds_are_left_alone() {
        for (text, expected) in [
            ("{kind: DaemonSet, apiVersion: apps/v1}", "Known(DaemonSet)"),
            ("{kind: Node, apiVersion: v1}", "Known(Node)"),
            ("{kind: List, apiVersion: v1}", "List(None)"),
            ("{kind: DaemonSetList, apiVersion: apps/v1}", "List(Some((\"DaemonSet\", \"apps/v1\")))"),
            ("{kind: Service, apiVersion: v1}", "Other { kind: \"Service\", api_version: \"v1\" }"),
            (
                "{kind: Node, apiVersion: infra.example/v1}",
                "Other { kind: \"Node\", api_version: \"infra.example/v1\" }",
            ),
            (
                "{kind: RuntimeClass, apiVersion: node.k8s.io/v1beta1}",
                "RuntimeClass: Unsupported value: \"node.k8s.io/v1beta1\": write `apiVersion: node.k8s.io/v1`",
            ),
            (
                "{kind: DaemonSet, apiVersion: v1}",
                "DaemonSet: Unsupported value: \"v1\": write `apiVersion: apps/v1`",
            ),
            (
                "{apiVersion: v1}",
                "kind: Required value: every object says what it is, for example `kind: DaemonSet`",
            ),
            (
                "{kind: DaemonSet}",
                "apiVersion: Required value: every object says what it is, for example `apiVersion: apps/v1`",
            ),
            (
                "{kind: DaemonSet, apiVersion: 1}",
                "apiVersion: cannot read number as string: put it in quotes",
            ),
        ] {
            assert_eq!(claim(text), expected, "{text}");
        }
        assert!(
            claim("{kind: DaemonSet, apiVersion: extensions/v1beta1}")
                .contains("apps/v1` (and spec.selector")
        );
    }
}
