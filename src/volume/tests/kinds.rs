//! Which files the kinds made of API objects hold: tables, and each kind once on disk.

use super::*;

/// What a volume of this source holds, or its problem.
fn files(fixture: &Fixture, volume: &Value) -> Result<BTreeMap<String, (u32, String)>, String> {
    let source = fixture.set_up_one(volume)?;
    assert!(source.read_only && source.selinux_relabel);
    let found = seen(&source.host_path);
    tear_down(&fixture.root, UID).unwrap();
    Ok(found)
}

fn expect(fixture: &Fixture, volume: &Value, expected: Result<&[(&str, u32, &str)], &str>) {
    match (files(fixture, volume), expected) {
        (Ok(found), Ok(expected)) => {
            let expected =
                expected.iter().map(|(path, mode, text)| ((*path).to_owned(), (*mode, (*text).to_owned())));
            assert_eq!(found, expected.collect(), "{volume}");
        }
        (Err(found), Err(reason)) => {
            assert_eq!(found, format!("MountVolume.SetUp failed for volume \"v\" : {reason}"), "{volume}");
        }
        (found, expected) => panic!("{volume}: {found:?} is not {expected:?}"),
    }
}

#[test]
fn a_config_map_volume_holds_its_keys() {
    let mut fixture = Fixture::new();
    let object = json!({"metadata": {"namespace": "ns", "name": "m"},
        "data": {"a": "1", "b.conf": "2"}, "binaryData": {"bin": "Mw=="}});
    fixture.put(Object::ConfigMap(serde_json::from_value(object).unwrap()));
    fixture.put_config_map("empty", &json!(null));
    let items = json!([{"key": "a", "path": "x/y/a", "mode": 0o400}, {"key": "bin", "path": "x/bin"}]);
    let missing = json!([{"key": "a", "path": "a"}, {"key": "none", "path": "n"}]);
    for (source, expected) in [
        (json!({"name": "m"}), Ok(&[("a", 0o644, "1"), ("b.conf", 0o644, "2"), ("bin", 0o644, "3")][..])),
        (
            json!({"name": "m", "items": []}),
            Ok(&[("a", 0o644, "1"), ("b.conf", 0o644, "2"), ("bin", 0o644, "3")]),
        ),
        (
            json!({"name": "m", "defaultMode": 0o600, "items": items}),
            Ok(&[("x/bin", 0o600, "3"), ("x/y/a", 0o400, "1")]),
        ),
        (json!({"name": "m", "items": missing}), Err("configmap references non-existent config key: none")),
        (json!({"name": "m", "items": missing, "optional": true}), Ok(&[("a", 0o644, "1")])),
        (json!({"name": "none"}), Err("configmap \"none\" not found")),
        (json!({"name": "none", "optional": true, "items": missing}), Ok(&[])),
        (json!({"name": "empty"}), Ok(&[])),
        (
            json!({"name": "m", "items": [{"key": "a", "path": "../../a"}]}),
            Err("invalid path: must not contain '..': ../../a"),
        ),
        (
            json!({"name": "m", "items": [{"key": "a", "path": "x"}, {"key": "bin", "path": "x/y"}]}),
            Err("invalid path: x is wanted as a file and as a directory"),
        ),
    ] {
        expect(&fixture, &json!({"configMap": source}), expected);
    }
}

#[test]
fn a_secret_volume_holds_its_keys_in_memory() {
    let mut fixture = Fixture::new();
    fixture.put_secret("s", &[("user", "root"), ("password", "p")]);
    let items = json!([{"key": "password", "path": "dir/pw", "mode": 0o440}]);
    for (source, expected) in [
        (
            json!({"secretName": "s", "defaultMode": 0o400}),
            Ok(&[("password", 0o400, "p"), ("user", 0o400, "root")][..]),
        ),
        (json!({"secretName": "s", "items": items}), Ok(&[("dir/pw", 0o440, "p")])),
        (
            json!({"secretName": "s", "items": [{"key": "none", "path": "n"}]}),
            Err("references non-existent secret key: none"),
        ),
        (json!({"secretName": "none"}), Err("secret \"none\" not found")),
        (json!({"secretName": "none", "optional": true}), Ok(&[])),
    ] {
        expect(&fixture, &json!({"secret": source}), expected);
    }
    fixture.memory_limit = Some(1 << 20);
    let dir = fixture.set_up_one(&json!({"secret": {"secretName": "s"}})).unwrap().host_path;
    let mount = mounts::at(&dir).unwrap().unwrap();
    assert_eq!(mount.fs_type, "tmpfs");
    assert!(mount.options.contains("size=1024k"), "{}", mount.options);
}

#[test]
fn a_downward_api_volume_holds_facts_about_the_pod() {
    let fixture = Fixture::new();
    let field = |path: &str, field: &str| json!({"path": path, "fieldRef": {"fieldPath": field}});
    let memory = json!({"path": "sub/memory", "mode": 0o400,
        "resourceFieldRef": {"containerName": "c", "resource": "limits.memory", "divisor": "1Mi"}});
    for (items, expected) in [
        (
            json!([field("labels", "metadata.labels"), field("name", "metadata.name"), memory]),
            Ok(&[("labels", 0o644, "app=\"x\""), ("name", 0o644, "p"), ("sub/memory", 0o400, "64")][..]),
        ),
        (json!([field("n", "spec.nodeName")]), Err("unsupported fieldPath: spec.nodeName")),
        (
            json!([field("n", "spec.nodeName"), field("../m", "metadata.name")]),
            Err("[unsupported fieldPath: spec.nodeName, invalid path: must not contain '..': ../m]"),
        ),
    ] {
        expect(&fixture, &json!({"downwardAPI": {"items": items}}), expected);
    }
    let items = json!([field("name", "metadata.name"), memory]);
    let volume = json!({"downwardAPI": {"defaultMode": 0o600, "items": items}});
    expect(&fixture, &volume, Ok(&[("name", 0o600, "p"), ("sub/memory", 0o400, "64")]));
    let dir = fixture.set_up_one(&json!({"downwardAPI": {"items": items}})).unwrap().host_path;
    assert_eq!(fs_type(&dir).as_deref(), Some("tmpfs"));
}

fn put_token(fixture: &mut Fixture, name: &str, account: &str, kind: &str, token: &str) {
    fixture.put_secret(name, &[("token", token)]);
    let Some(Object::Secret(secret)) = fixture.objects.get(crate::manifest::Kind::Secret, "ns", name) else {
        return;
    };
    let mut secret = secret.clone();
    secret.type_ = Some(kind.to_owned());
    let annotation = ("kubernetes.io/service-account.name".to_owned(), account.to_owned());
    secret.metadata.annotations = Some(BTreeMap::from([annotation]));
    fixture.put(Object::Secret(secret));
}

#[test]
fn a_projected_volume_lays_its_sources_over_each_other() {
    let mut fixture = Fixture::new();
    fixture.put_config_map("m", &json!({"a": "map", "m": "map"}));
    fixture.put_secret("s", &[("a", "secret")]);
    put_token(&mut fixture, "other", "other", "kubernetes.io/service-account-token", "wrong account");
    put_token(&mut fixture, "opaque", "default", "Opaque", "wrong type");
    put_token(&mut fixture, "tok", "default", "kubernetes.io/service-account-token", "t0ken");
    let (map, secret) = (json!({"configMap": {"name": "m"}}), json!({"secret": {"name": "s"}}));
    let name =
        json!({"downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}});
    let token = json!({"serviceAccountToken": {"path": "token"}});
    let absent = json!({"configMap": {"name": "none"}});
    let optional = json!({"secret": {"name": "none", "optional": true}});
    let bundle = json!({"clusterTrustBundle": {"path": "ca", "name": "x"}});
    for (sources, expected) in [
        (json!([map, secret]), Ok(&[("a", 0o640, "secret"), ("m", 0o640, "map")][..])),
        (json!([secret, map, optional]), Ok(&[("a", 0o640, "map"), ("m", 0o640, "map")])),
        (json!([name, token]), Ok(&[("name", 0o640, "p"), ("token", 0o640, "t0ken")])),
        (
            json!([
                {"configMap": {"name": "m", "items": [{"key": "m", "path": "x/m", "mode": 0o400}]}},
                {"secret": {"name": "s", "items": [{"key": "a", "path": "x/s"}]}},
                {"configMap": {"name": "none", "optional": true}},
                {"clusterTrustBundle": {"name": "b", "path": "ca", "optional": true}},
            ]),
            Ok(&[("x/m", 0o400, "map"), ("x/s", 0o640, "secret")]),
        ),
        (json!([absent, map]), Err("configmap \"none\" not found")),
        (
            json!([absent, {"secret": {"name": "none"}}]),
            Err("[configmap \"none\" not found, secret \"none\" not found]"),
        ),
        (
            json!([bundle]),
            Err("projected source clusterTrustBundle needs an API server, and daemonlet runs without one"),
        ),
        (json!([]), Ok(&[])),
    ] {
        expect(&fixture, &json!({"projected": {"defaultMode": 0o640, "sources": sources}}), expected);
    }
}

#[test]
fn a_token_is_its_accounts_and_for_its_user_only() {
    let mut fixture = Fixture::new();
    let volume = json!({"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}});
    let mut pod = pod_with(&volume);
    let spec = pod.spec.as_mut().unwrap();
    spec.service_account_name = Some("agent".to_owned());
    spec.security_context = Some(serde_json::from_value(json!({"runAsUser": 1234})).unwrap());
    let error = fixture.set_up(&pod).unwrap_err().remove(0).event_message();
    assert!(error.contains("no token for service account \"ns\"/\"agent\""), "{error}");
    put_token(&mut fixture, "tok", "agent", "kubernetes.io/service-account-token", "t0ken");
    for (user_of_container, owner, mode) in
        [(None, 1234, 0o600), (Some(1234), 1234, 0o600), (Some(1), 1, 0o600)]
    {
        let container = &mut pod.spec.as_mut().unwrap().containers[0];
        container.security_context =
            user_of_container.map(|user| serde_json::from_value(json!({"runAsUser": user})).unwrap());
        let dir = fixture.set_up(&pod).unwrap().sources["v"].host_path.clone();
        let metadata = fs::metadata(dir.join("token")).unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (owner, mode));
        tear_down(&fixture.root, UID).unwrap();
    }
}

#[test]
fn other_volumes_find_a_directory_to_be_mounted_on() {
    let mut fixture = Fixture::new();
    fixture.put_config_map("m", &json!({"key": "x"}));
    let pod = pod(&json!({
        "volumes": [{"name": "v", "configMap": {"name": "m"}}, {"name": "e", "emptyDir": {}}],
        "containers": [{"name": "c", "volumeMounts": [
            {"name": "v", "mountPath": "/etc/v"},
            {"name": "e", "mountPath": "/etc/v/sub/dir"},
            {"name": "e", "mountPath": "/etc/v/key", "subPath": "file"},
        ]}],
    }));
    for _ in 0..2 {
        let dir = &fixture.set_up(&pod).unwrap().sources["v"].host_path;
        assert_eq!(mode(&dir.join("sub/dir")), 0o755);
        assert_eq!(fs::read_to_string(dir.join("key")).unwrap(), "x");
    }
}
