//! Whatever a store has for its list and the list's signature: digests of files below its root, or a reason. What was read means the same when
//! it is written as `sha256sum` would.

#![no_main]

use std::fmt::Write as _;
use std::path::{Component, Path};

use daemonlet::bundle::signature;
use daemonlet::store::trust::list;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = signature::decode(bytes, Path::new("SHA256SUMS.minisig"));
    let Ok(digests) = list::parse(bytes) else { return };
    let mut text = String::new();
    for (path, digest) in &digests {
        let stays_below = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        assert!(stays_below, "{path:?}");
        let escaped = path.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
        let mark = if escaped == *path { "" } else { "\\" };
        writeln!(text, "{mark}{}  {escaped}", digest.digits()).expect("a string takes it");
    }
    assert_eq!(list::parse(text.as_bytes()), Ok(digests));
});
