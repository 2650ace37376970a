//! Settings from the environment: `DAEMONLET_` and the key in capitals (`store.pollInterval` is `DAEMONLET_STORE_POLL_INTERVAL`).

use super::keys::KEYS;
use super::layer::Layer;
use super::problem::{Origin, Problem};

const PREFIX: &str = "DAEMONLET_";
/// Variables of this prefix that are no settings.
const OTHERS: [&str; 3] = ["DAEMONLET_CONFIG", "DAEMONLET_SOCKET", "DAEMONLET_SHARED"];

/// Reads the settings among `variables` into `layer`, over what is there. Variables of our prefix that are no setting are worth a
/// warning only: another release, or another program, may know them.
pub(super) fn read(
    variables: impl IntoIterator<Item = (String, String)>,
    layer: &mut Layer,
    warnings: &mut Vec<Problem>,
) {
    let mut variables: Vec<_> = variables
        .into_iter()
        .filter(|(name, _)| name.starts_with(PREFIX) && !OTHERS.contains(&name.as_str()))
        .collect();
    variables.sort();
    for (name, value) in variables {
        match KEYS.iter().find(|key| variable(key.path) == name) {
            Some(key) => layer.insert_text(key, &value, Origin::Environment(name)),
            None => warnings.push(Problem {
                origin: Origin::Environment(name),
                key: String::new(),
                message: "there is no such setting, the variable is ignored".to_owned(),
            }),
        }
    }
}

/// The variable of a key.
pub(super) fn variable(path: &str) -> String {
    let letters: Vec<char> = path.chars().collect();
    let mut name = PREFIX.to_owned();
    for (index, letter) in letters.iter().enumerate() {
        if *letter == '.' {
            name.push('_');
            continue;
        }
        let before = index.checked_sub(1).and_then(|index| letters.get(index));
        let after = letters.get(index + 1);
        let ends_word = before.is_some_and(char::is_ascii_lowercase);
        // The last capital of several begins the next word, but not in a plural (`nodeIPs`).
        let plural =
            after == Some(&'s') && letters.get(index + 2).is_none_or(|next| !next.is_ascii_lowercase());
        let begins_word = before.is_some_and(char::is_ascii_uppercase)
            && after.is_some_and(char::is_ascii_lowercase)
            && !plural;
        if letter.is_ascii_uppercase() && (ends_word || begins_word) {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_key_s_variable_reads_as_one_would_write_it() {
        let rows = [
            ("nodeName", "DAEMONLET_NODE_NAME"),
            ("nodeIPs", "DAEMONLET_NODE_IPS"),
            ("clusterDNS", "DAEMONLET_CLUSTER_DNS"),
            ("cpuCFSQuotaPeriod", "DAEMONLET_CPU_CFS_QUOTA_PERIOD"),
            ("store.pollInterval", "DAEMONLET_STORE_POLL_INTERVAL"),
            (
                "crashLoopBackOff.maxContainerRestartPeriod",
                "DAEMONLET_CRASH_LOOP_BACK_OFF_MAX_CONTAINER_RESTART_PERIOD",
            ),
        ];
        for (path, expected) in rows {
            assert_eq!(variable(path), expected);
        }
    }

    #[test]
    fn no_two_keys_share_a_variable() {
        let names: BTreeSet<_> = KEYS.iter().map(|key| variable(key.path)).collect();
        assert_eq!(names.len(), KEYS.len());
    }
}
