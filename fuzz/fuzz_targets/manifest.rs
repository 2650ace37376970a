//! Whatever lies in the store: it is read without harm, and what was read means the same when it is written and read again.

#![no_main]

use std::path::Path;

use daemonlet::manifest::{self, Object};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let reading = manifest::read(Path::new("any.yaml"), bytes);
    for stored in &reading.objects {
        let Object::DaemonSet(daemon_set) = &stored.object else { continue };
        let text = serde_json::to_vec(daemon_set).expect("what was read can be written");
        let again = manifest::read(Path::new("again.json"), &text);
        let [same] = &again.objects[..] else {
            panic!("one object was written: {:?}", again.problems);
        };
        assert_eq!(stored.object, same.object);
    }
});
