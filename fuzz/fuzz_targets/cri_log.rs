//! Whatever a container's log file holds: a line, or a reason why it is none.

#![no_main]

use daemonlet::cri::log::LogLine;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if let Ok(parsed) = LogLine::parse(line) {
            assert!(parsed.content.len() < line.len());
        }
    }
});
