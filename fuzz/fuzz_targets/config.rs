//! Whatever an operator writes into the configuration: settings, or problems that each name a place.

#![no_main]

use std::path::Path;

use daemonlet::config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(refused) = config::of_text(Path::new("config.yaml"), text) {
        assert!(!refused.problems.is_empty());
        for problem in refused.problems {
            assert!(problem.to_string().contains("config.yaml"), "{problem}");
        }
    }
});
