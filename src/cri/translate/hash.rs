//! The container hash: what tells that a container's image has changed.
//!
//! Rule: `HashContainer` in the kubelet's `pkg/kubelet/container/helpers.go`: FNV-1a over the printed bytes of a JSON object of name
//! and image. A kubelet that takes a pod over finds the same figure.

use std::fmt::Write as _;

use super::go_json::to_go_json;

const OFFSET: u32 = 0x811c_9dc5;
const PRIME: u32 = 0x0100_0193;

#[derive(serde::Serialize)]
struct Hashed<'a> {
    image: &'a str,
    name: &'a str,
}

/// The hash of a container as its annotation holds it: lower-case hexadecimal.
pub fn container_hash(name: &str, image: &str) -> String {
    let mut printed = "([]uint8)[".to_owned();
    let json = to_go_json(&Hashed { image, name });
    for (index, byte) in json.bytes().enumerate() {
        let separator = if index == 0 { "" } else { " " };
        let _ = write!(printed, "{separator}{byte}");
    }
    printed.push(']');
    let hash = printed.bytes().fold(OFFSET, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME));
    format!("{hash:x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_a_kubelet() {
        for (name, image, hash) in [
            ("test", "foo/image:v1", "309b502f"),
            ("pause", "registry.k8s.io/pause:3.10", "28ed4cd7"),
            ("a&b", "x<y>:1", "be808352"),
        ] {
            assert_eq!(container_hash(name, image), hash, "{name}");
        }
    }
}
