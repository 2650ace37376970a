use proptest::prelude::*;

use super::*;

fn one(text: &str) -> Document {
    let (mut documents, error) = parse(text, 1);
    assert_eq!(error, None, "{text}");
    assert_eq!(documents.len(), 1, "{text}");
    documents.remove(0)
}

fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Int(int) => (*int).into(),
        Value::Float(float) => (*float).into(),
        Value::String(text) => text.clone().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), json(&entry.node))).collect(),
    }
}

fn refused(text: &str) -> SyntaxError {
    let (documents, error) = parse(text, 1);
    assert!(documents.is_empty(), "{text}");
    error.unwrap_or_else(|| panic!("accepted: {text}"))
}

#[test]
fn quoted_scalars_are_strings_and_plain_ones_are_resolved() {
    let document =
        one("a: 0600\nb: '0600'\nc: \"yes\"\nd: yes\ne: |\n  12\nf: !!str 12\ng:\nh: 2024-01-02\n");
    assert_eq!(
        json(&document.root),
        serde_json::json!({
            "a": 384, "b": "0600", "c": "yes", "d": true, "e": "12\n", "f": "12", "g": null, "h": "2024-01-02"
        })
    );
}

#[test]
fn lines_are_those_of_the_file() {
    let (documents, _) = parse("spec:\n  list:\n  - a\n  - b: 1\n", 10);
    let root = &documents[0].root;
    assert_eq!(root.entry("spec").unwrap().line, 10);
    let path = FieldPath::new("spec.list").index(1).child("b");
    assert_eq!(root.line_of(&path), 13);
}

#[test]
fn json_is_read_with_tabs_escapes_and_surrogates() {
    let text = "{\n\t\"a\":\"x\\/\\u00e9\\ud83d\\ude00\\t\",\n\t\"b\":[1,-2.5,true,null],\"c\":{},\n\t\"d\": \"yes\"\n}";
    let expected: serde_json::Value = serde_json::from_str(text).unwrap();
    let document = one(text);
    assert_eq!(json(&document.root), expected);
    assert_eq!(document.root.entry("d").unwrap().line, 4);
}

#[test]
fn anchors_aliases_and_merge_keys_work_as_in_kubernetes() {
    let text = "base: &base {a: 1, b: 2}\nover: &over {b: 3, c: 4}\none:\n  <<: *base\n  b: 9\n\
                many:\n  <<: [*base, *over]\nlate:\n  b: 9\n  <<: *base\nlist: [*base]\n";
    let document = one(text);
    assert!(document.duplicates.is_empty());
    let value = json(&document.root);
    assert_eq!(value["one"], serde_json::json!({"a": 1, "b": 9}));
    assert_eq!(value["many"], serde_json::json!({"a": 1, "b": 2, "c": 4}));
    // goyaml.v2 lets a merge key rule over what is written before it.
    assert_eq!(value["late"], serde_json::json!({"a": 1, "b": 2}));
    assert_eq!(value["list"], serde_json::json!([{"a": 1, "b": 2}]));
}

#[test]
fn of_a_key_written_twice_the_last_one_counts_and_it_is_told() {
    let document = one("spec:\n  a: 1\n  a: 2\n");
    assert_eq!(json(&document.root), serde_json::json!({"spec": {"a": 2}}));
    assert_eq!(document.duplicates, [(FieldPath::new("spec.a"), 3)]);
}

#[test]
fn keys_become_strings_and_collections_are_no_keys() {
    assert_eq!(json(&one("1: a\nyes: b\n").root), serde_json::json!({"1": "a", "true": "b"}));
    assert_eq!(refused("? [a]\n: b\n").line, 1);
    assert_eq!(refused("a: 1\n~: b\n").line, 2);
}

#[test]
fn an_alias_bomb_is_refused_quickly() {
    let level = |level: usize| {
        let inner = format!("*a{}, ", level - 1).repeat(10);
        format!("a{level}: &a{level} [{inner}]\n")
    };
    let bomb: String = std::iter::once("a0: &a0 [x, x]\n".to_owned()).chain((1..30).map(level)).collect();
    assert!(refused(&bomb).message.contains("aliases expand"), "{:?}", refused(&bomb));
    let big = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(100));
    assert!(refused(&big).message.contains("aliases expand"));
}

#[test]
fn nesting_is_bounded_also_through_aliases() {
    let nested = |depth: usize, inner: &str| format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(refused(&"[".repeat(5000)).line, 1);
    assert!(refused(&nested(200, "")).message.contains("nested"));
    let level = |level: usize| format!("a{level}: &a{level} {}\n", nested(100, &format!("*a{}", level - 1)));
    let first = format!("a0: &a0 {}\n", nested(100, ""));
    let chain: String = std::iter::once(first).chain((1..5).map(level)).collect();
    assert!(refused(&chain).message.contains("deep"));
    assert!(refused("a: &a [*a]\n").message.contains("contains itself"));
}

#[test]
fn broken_text_says_the_line() {
    assert_eq!(refused("a: 1\nb: [1, 2\nc: 3\n").line, 3);
    assert_eq!(refused("a:\n\tb: 2\n").line, 2);
    assert_eq!(refused("a: b: c\n").line, 1);
    assert_eq!(refused("a: *nowhere\n").line, 1);
    assert_eq!(refused("a: .inf\n").line, 1);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = parse(&text, 1);
    }

    #[test]
    fn no_yaml_like_text_makes_the_reader_panic(text in "[-a:&*<>|#%!{}\\[\\], \n\t'\"?.0x]{0,200}") {
        let _ = parse(&text, 1);
    }
}
