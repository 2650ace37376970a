use proptest::prelude::*;

use super::*;
use crate::manifest::Kind;

fn reading(text: &str) -> Reading {
    read(Path::new("m.yaml"), text.as_bytes())
}

fn told(reading: &Reading) -> Vec<String> {
    reading.problems.iter().map(ToString::to_string).collect()
}

const GOOD: &str = "\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers:
      - {name: c, image: 'registry.example/agent:1'}
";

#[test]
fn a_good_document_is_defaulted_and_knows_its_place() {
    let reading = reading(&format!("# a comment\n---\n# another\n{GOOD}"));
    assert_eq!(told(&reading), [""; 0]);
    let [stored] = &reading.objects[..] else { panic!("{:?}", reading.objects) };
    assert_eq!(stored.origin.line, 4);
    assert_eq!(stored.object.key().to_string(), "DaemonSet default/agent");
    assert_eq!(reading.refused, Refused::default());
}

#[test]
fn a_broken_document_does_not_hurt_the_next() {
    let reading =
        reading(&format!("a: [1\n---\n{GOOD}---\nkind: ConfigMap\napiVersion: v1\nmetadata: {{name: 5}}\n"));
    assert_eq!(reading.objects.len(), 1);
    assert!(reading.refused.unidentified);
    let told = told(&reading);
    assert!(
        told[0].starts_with("m.yaml:1: cannot parse this document") || told[0].starts_with("m.yaml:2:"),
        "{told:?}"
    );
    assert_eq!(
        told[1],
        "m.yaml:16: metadata.name: Invalid value: 5: cannot read number as string: put it in quotes"
    );
}

#[test]
fn lists_are_unfolded() {
    for head in ["apiVersion: v1\nkind: List\nitems:\n", "apiVersion: v1\nkind: ConfigMapList\nitems:\n"] {
        let reading = reading(&format!(
            "{head}- {{apiVersion: v1, kind: ConfigMap, metadata: {{name: a}}}}\n- {{apiVersion: v1, kind: ConfigMap, metadata: {{name: b}}}}\n"
        ));
        assert_eq!(told(&reading), [""; 0]);
        let lines: Vec<_> = reading.objects.iter().map(|stored| stored.origin.line).collect();
        assert_eq!(lines, [4, 5]);
    }
    let typed = reading("apiVersion: v1\nkind: ConfigMapList\nitems:\n- {metadata: {name: a}}\n");
    assert_eq!(typed.objects.len(), 1, "{:?}", told(&typed));
}

#[test]
fn other_kinds_are_set_aside_with_one_notice_each() {
    let service = "---\nkind: Service\napiVersion: v1\nmetadata: {name: a}\n";
    let reading = reading(&format!("{service}{service}---\n{GOOD}"));
    assert_eq!(reading.objects.len(), 1);
    assert_eq!(
        told(&reading),
        ["m.yaml:2: notice: Service v1 set aside (2 of them): daemonlet has no use for this kind"]
    );
    assert_eq!(reading.refused, Refused::default());
}

#[test]
fn an_old_api_version_says_what_to_write_instead() {
    let reading =
        reading("kind: DaemonSet\napiVersion: extensions/v1beta1\nmetadata: {name: a, namespace: net}\n");
    assert_eq!(
        told(&reading),
        [
            "m.yaml:2: apiVersion: Unsupported value: \"extensions/v1beta1\": write `apiVersion: apps/v1` (and spec.selector.matchLabels with the template's labels, which apps/v1 requires)"
        ]
    );
    let key = ObjectKey { kind: Kind::DaemonSet, namespace: "net".to_owned(), name: "a".to_owned() };
    assert_eq!(reading.refused, Refused { identified: vec![key], unidentified: false });
}

#[test]
fn an_object_whose_name_cannot_be_read_is_unidentified() {
    for metadata in ["{name: 5}", "{name: a, namespace: n}", "{}", "[]"] {
        let reading = reading(&format!("kind: DaemonSet\napiVersion: apps/v1beta2\nmetadata: {metadata}\n"));
        assert_eq!(reading.refused, Refused { identified: vec![], unidentified: true }, "{metadata}");
    }
}

#[test]
fn one_object_twice_in_a_file_is_refused_twice() {
    let reading = reading(&format!("{GOOD}---\n{GOOD}"));
    assert!(reading.objects.is_empty());
    assert_eq!(
        told(&reading),
        [
            "m.yaml:1: DaemonSet default/agent is written here and at line 12 too: keep one",
            "m.yaml:12: DaemonSet default/agent is written here and at line 1 too: keep one"
        ]
    );
    assert_eq!(reading.refused.identified.len(), 1);
}

#[test]
fn unknown_fields_and_duplicate_keys_are_warnings() {
    let reading = reading(&format!("{GOOD}  replicas: 3\n  replicas: 4\n"));
    assert_eq!(reading.objects.len(), 1);
    let told = told(&reading);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.contains(&"m.yaml:12: warning: spec.replicas: duplicate key: the last one counts".to_owned())
    );
    assert!(told.iter().any(|t| t.starts_with("m.yaml:12: warning: spec.replicas: unknown field")));
}

#[test]
fn what_is_no_manifest_is_one_clear_problem() {
    for (bytes, expected) in [
        (&b"\x7fELF\0\0\0"[..], "m.yaml: the file is binary"),
        (b"a: \xc3(\n", "m.yaml: line 1 is not UTF-8"),
        (b"\xff\xfea\0", "m.yaml: the file is UTF-16"),
        (&vec![b'#'; MAX_FILE_BYTES + 1], "m.yaml: the file has 10485761 bytes"),
        (b"just text\n", "m.yaml:1: a Kubernetes object is due here, not a lone string"),
        (b"- a\n", "m.yaml:1: a Kubernetes object is due here, not a lone array"),
        (b"name: x\n", "m.yaml:1: kind: Required value"),
    ] {
        let reading = read(Path::new("m.yaml"), bytes);
        assert_eq!(reading.problems.len(), 1, "{:?}", reading.problems);
        assert!(reading.problems[0].to_string().starts_with(expected), "{}", reading.problems[0]);
        assert!(reading.refused.unidentified);
    }
}

#[test]
fn nothing_at_all_is_no_problem() {
    for text in ["", "\u{feff}", "# only a comment\n", "---\n---\n", "null\n"] {
        let reading = reading(text);
        assert!(
            reading.problems.is_empty() && !reading.refused.unidentified,
            "{text:?}: {:?}",
            told(&reading)
        );
    }
}

#[test]
fn json_and_windows_line_ends_are_read_too() {
    let json = "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"a\"}}";
    assert_eq!(reading(&format!("{json}\n{}", json.replace("\"a\"", "\"b\""))).objects.len(), 2);
    let windows = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
    assert_eq!(told(&reading(&windows)), [""; 0]);
    assert_eq!(reading(&windows).objects.len(), 1);
}

#[test]
fn a_file_of_nonsense_is_told_in_bounds() {
    let many = reading(&"--- \na: b\n".repeat(3000));
    assert_eq!(many.problems.len(), 1001);
    assert!(told(&many).contains(&"m.yaml: 2000 more problems in this file are not listed".to_owned()));
    let kinds: Vec<_> = (0..300).map(|n| format!("---\nkind: K{n}\napiVersion: x/v1\n")).collect();
    let kinds = reading(&kinds.concat());
    assert!(told(&kinds).contains(&"m.yaml: notice: 100 objects of further kinds set aside".to_owned()));
    let item = "      - {name: c, image: i}\n";
    let huge = GOOD.replace("      - {name: c, image: 'registry.example/agent:1'}\n", &item.repeat(20_000));
    let huge = reading(&huge);
    assert_eq!(told(&huge), ["m.yaml:1: more than 50000 values in one object: split it"]);
    assert_eq!(huge.refused.identified.len(), 1);
}

#[test]
fn the_deepest_nesting_that_is_read_needs_no_large_stack() {
    let depth = 125;
    let data = format!("{}1{}", "{a: ".repeat(depth), "}".repeat(depth));
    let text =
        format!("kind: ControllerRevision\napiVersion: apps/v1\nmetadata: {{name: a}}\ndata: {data}\n");
    let read = std::thread::Builder::new().stack_size(1 << 20).spawn(move || reading(&text).objects.len());
    assert_eq!(read.unwrap().join().unwrap(), 1);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(Path::new("x"), &bytes);
    }

    #[test]
    fn no_damage_to_a_good_manifest_makes_it_panic(at in 0..GOOD.len(), with in "[-: {}\\[\\]a0'\"\n]{0,4}") {
        let text = format!("{}{with}{}", &GOOD[..at], &GOOD[at..]);
        let reading = read(Path::new("x"), text.as_bytes());
        prop_assert!(reading.objects.len() <= 2);
    }
}
