//! What the words after a verb mean: `ds`, `ds NAME…`, `ds/NAME pod/NAME`, `ds,pods`.

use clap::Args;

use super::Output;
use super::error::CliError;
use crate::api::resource::ResourceType;

/// Which namespace is meant.
#[derive(Debug, Args)]
pub(super) struct Scope {
    /// The namespace
    #[arg(short, long, default_value = "default", value_name = "NAMESPACE")]
    namespace: String,
    /// All namespaces
    #[arg(short = 'A', long)]
    pub(super) all_namespaces: bool,
}

impl Scope {
    /// The namespace in which an object of a given name is sought.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Where one object is.
    pub(super) fn path_of(&self, resource: &ResourceType, name: &str) -> String {
        format!("{}/{}", resource.path(Some(&self.namespace)), super::client::escape(name))
    }

    /// Where the objects of a resource are, in this scope.
    pub(super) fn path(&self, resource: &ResourceType) -> String {
        resource.path(Some(self.namespace.as_str()).filter(|_| !self.all_namespaces))
    }

    /// Says that there is nothing, and where it was sought.
    pub(super) fn print_nothing_found<'a>(
        &self,
        mut resources: impl Iterator<Item = &'a ResourceType>,
        output: &mut Output<'_>,
    ) -> Result<(), CliError> {
        if self.all_namespaces || resources.any(|resource| !resource.is_namespaced) {
            writeln!(output.err, "No resources found")?;
        } else {
            writeln!(output.err, "No resources found in {} namespace.", self.namespace)?;
        }
        Ok(())
    }
}

/// A kind of object, and which of them: all if no name is given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) resource: &'static ResourceType,
    pub(super) names: Vec<String>,
}

/// Reads the words after a verb.
pub(super) fn targets(words: &[String]) -> Result<Vec<Target>, CliError> {
    let Some(first) = words.first() else {
        return Err(CliError::Usage(
            "You must specify the type of resource: ds, pods, nodes or events".to_owned(),
        ));
    };
    if !first.contains('/') {
        if words[1..].iter().any(|word| word.contains('/')) {
            return Err(CliError::Usage(
                "there is no need to specify a resource type as a separate argument when passing arguments in \
                 resource/name form (e.g. 'daemonlet get resource/<resource_name>' instead of 'daemonlet get resource \
                 resource/<resource_name>')"
                    .to_owned(),
            ));
        }
        let kinds = first.split(',').filter(|kind| !kind.is_empty());
        return kinds
            .map(|kind| Ok(Target { resource: resource(kind)?, names: words[1..].to_vec() }))
            .collect();
    }
    let mut targets: Vec<Target> = Vec::new();
    for word in words {
        let (kind, name) = split(word)?;
        let resource = resource(kind)?;
        match targets.iter_mut().find(|target| target.resource == resource) {
            Some(target) => target.names.push(name.to_owned()),
            None => targets.push(Target { resource, names: vec![name.to_owned()] }),
        }
    }
    Ok(targets)
}

/// The resource of this name.
pub(super) fn resource(word: &str) -> Result<&'static ResourceType, CliError> {
    ResourceType::named(word).ok_or_else(|| {
        CliError::Usage(if word == "all" {
            "there is no \"all\" on a node: ask for ds, pods, nodes or events (several as in ds,pods)"
                .to_owned()
        } else {
            format!("the server doesn't have a resource type {word:?}")
        })
    })
}

fn split(word: &str) -> Result<(&str, &str), CliError> {
    match word.split_once('/') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() && !name.contains('/') => Ok((kind, name)),
        _ => Err(CliError::Usage(format!(
            "arguments in resource/name form may not have more than one slash and need both parts: {word:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::resource::{DAEMON_SETS, PODS};

    fn read(words: &[&str]) -> Result<Vec<Target>, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        targets(&words).map_err(|error| error.to_string())
    }

    fn target(resource: &'static ResourceType, names: &[&str]) -> Target {
        Target { resource, names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn words_name_kinds_and_objects_as_for_kubectl() {
        assert_eq!(read(&["ds"]), Ok(vec![target(&DAEMON_SETS, &[])]));
        assert_eq!(read(&["ds,po"]), Ok(vec![target(&DAEMON_SETS, &[]), target(&PODS, &[])]));
        assert_eq!(read(&["pod", "a", "b"]), Ok(vec![target(&PODS, &["a", "b"])]));
        assert_eq!(
            read(&["pod/a", "ds/x", "pods/b"]),
            Ok(vec![target(&PODS, &["a", "b"]), target(&DAEMON_SETS, &["x"])])
        );
    }

    #[test]
    fn words_that_mean_nothing_are_refused_with_what_would() {
        for (words, part) in [
            (&[][..], "must specify the type of resource"),
            (&["all"], "ask for ds, pods, nodes or events"),
            (&["deployments"], "the server doesn't have a resource type \"deployments\""),
            (&["pod", "pod/a"], "no need to specify a resource type"),
            (&["pod/"], "need both parts"),
            (&["pod/a/b"], "more than one slash"),
        ] {
            let message = read(words).unwrap_err();
            assert!(message.starts_with("error: ") && message.contains(part), "{words:?}: {message}");
        }
    }
}
