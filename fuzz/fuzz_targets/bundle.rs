//! Whatever is given as a bundle: its manifests and images, or a reason. A bundle that is taken is whole to the last byte.

#![no_main]

use daemonlet::bundle::Bundle;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let length = u64::try_from(bytes.len()).expect("a length");
    if let Ok(bundle) = Bundle::read(bytes, length, |_| {}) {
        let cut = &bytes[..bytes.len() - 1];
        assert!(Bundle::read(cut, length - 1, |_| {}).is_err());
        let _ = bundle.read_manifests(bytes);
    }
});
