//! Whatever lies in `node.yaml`: this node and no other, or problems.

#![no_main]

use std::path::Path;
use std::sync::Arc;

use daemonlet::node;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let name = "edge-1".parse().expect("a name");
    match node::interpret(&Arc::from(Path::new("node.yaml")), bytes, &name) {
        Ok((node, _)) => assert_eq!(node.metadata.name.as_deref(), Some("edge-1")),
        Err(problems) => assert!(!problems.is_empty()),
    }
});
