//! `fsGroup` on whole volumes.

use super::*;

fn with_group(volume: &Value) -> Pod {
    let mut pod = pod_with(volume);
    pod.spec.as_mut().unwrap().security_context =
        Some(serde_json::from_value(json!({"fsGroup": 4321})).unwrap());
    pod
}

fn gid_and_mode(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap();
    (metadata.gid(), metadata.mode() & 0o7777)
}

#[test]
fn an_empty_dir_belongs_to_the_group_which_new_files_inherit() {
    let fixture = Fixture::new();
    for (medium, expected) in [("", 0o2777), ("Memory", 0o3777)] {
        let pod = with_group(&json!({"emptyDir": {"medium": medium}}));
        let dir = fixture.set_up(&pod).unwrap().sources["v"].host_path.clone();
        assert_eq!(gid_and_mode(&dir), (4321, expected), "{medium}");
        fs::write(dir.join("new"), "").unwrap();
        assert_eq!(gid_and_mode(&dir.join("new")).0, 4321);
        tear_down(&fixture.root, UID).unwrap();
    }
}

#[test]
fn the_group_may_read_the_files_of_a_payload_from_the_start_and_after_an_update() {
    let mut fixture = Fixture::new();
    let items = json!([{"key": "a", "path": "sub/a", "mode": 0o400}]);
    let pod = with_group(&json!({"configMap": {"name": "m", "items": items}}));
    for text in ["1", "2"] {
        fixture.put_config_map("m", &json!({"a": text}));
        let dir = fixture.set_up(&pod).unwrap().sources["v"].host_path.clone();
        assert_eq!(gid_and_mode(&dir), (4321, 0o2777));
        assert_eq!(gid_and_mode(&dir.join("..data/sub")), (4321, 0o2755));
        assert_eq!(gid_and_mode(&dir.join("..data/sub/a")), (4321, 0o440));
        assert_eq!(seen(&dir)["sub/a"].1, text);
    }
}

#[test]
fn a_host_path_is_never_given_away() {
    let fixture = Fixture::new();
    let host = fixture.host();
    let before = gid_and_mode(&host);
    fixture.set_up(&with_group(&json!({"hostPath": {"path": host}}))).unwrap();
    assert_eq!(gid_and_mode(&host), before);
}
