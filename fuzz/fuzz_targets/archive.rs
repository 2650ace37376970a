//! Whatever lies in the folder of image archives: images whose every blob is what its digest says, or a reason.

#![no_main]

use daemonlet::archive::{self, Platform};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // An error is an answer.
    let _ = archive::survey(bytes, &Platform::of_this_node());
});
