//! `daemonlet check-config`: whether the agent would start with this configuration.

use crate::bundle::signature::Trust;
use crate::config::{Loaded, Refused, Sources, load, sample};
use crate::error_chain::error_chain;
use crate::exit_code::ExitCode;

/// What to print, and how to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// For standard output.
    pub text: String,
    /// For standard error, a problem a line.
    pub problems: String,
    /// How the command ends.
    pub code: ExitCode,
}

/// Checks the configuration as the agent would read it.
pub fn check_config(sources: &Sources) -> Answer {
    match load(sources) {
        Ok(Loaded { settings, warnings }) => {
            // The agent would start with it, and trust nobody.
            let keys = settings.trust_file.and_then(|path| Trust::read(&path).err());
            let keys = keys.map(|error| format!("trustFile: {}", error_chain(&error)));
            Answer {
                text: format!("{}: the configuration is good\n", sources.file.display()),
                problems: warnings
                    .iter()
                    .map(ToString::to_string)
                    .chain(keys)
                    .fold(String::new(), |list, problem| format!("{list}warning: {problem}\n")),
                code: ExitCode::Ok,
            }
        }
        Err(Refused { problems }) => Answer {
            text: String::new(),
            problems: problems.iter().fold(String::new(), |list, problem| format!("{list}{problem}\n")),
            code: ExitCode::Config,
        },
    }
}

/// Prints the commented default configuration (`--print-default`).
pub fn print_default() -> Answer {
    Answer { text: sample(), problems: String::new(), code: ExitCode::Ok }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_configuration_ends_well_and_a_bad_one_with_ex_config() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, "maxPods: 20\n").unwrap();
        let sources = Sources { file, file_required: true, ..Sources::default() };
        let good = check_config(&sources);
        assert_eq!((good.code, good.problems.as_str()), (ExitCode::Ok, ""));

        std::fs::write(&sources.file, "trustFile: /nowhere/trust.pub\n").unwrap();
        let without_keys = check_config(&sources);
        assert_eq!(without_keys.code, ExitCode::Ok);
        assert!(
            without_keys.problems.starts_with("warning: trustFile: read the trust file /nowhere/trust.pub: ")
        );

        std::fs::write(&sources.file, "maxPod: 20\nrootDir: x\n").unwrap();
        let bad = check_config(&sources);
        assert_eq!((bad.code, bad.text.as_str()), (ExitCode::Config, ""));
        assert_eq!(bad.problems.lines().count(), 2);
        assert!(
            bad.problems.contains("config.yaml:1: maxPod: there is no such key, did you mean maxPods?\n")
        );
    }
}
