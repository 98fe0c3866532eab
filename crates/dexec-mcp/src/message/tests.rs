#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn scan(text: &str) -> Scan {
    let mut scan = Scan::default();
    scan.feed(text.as_bytes()).unwrap();
    scan
}

#[test]
fn id_is_found_at_any_position() {
    let id = |text: &str| scan(text).id().map(|id| serde_json::to_value(id).unwrap());
    for (text, expected) in [
        (r#"{"id":1}"#, Some(json!(1))),
        (r#" { "a" : [1, {"id": 7}], "id" : "x\"y" } "#, Some(json!("x\"y"))),
        (r#"{"params":{"id":2,"b":"}"},"id":-3,"c":4}"#, Some(json!(-3))),
        (r#"{"a":"\"id\":5","b":"id","id":6}"#, Some(json!(6))),
        (r#"{"id":null}"#, None),
        (r#"{"id":{"id":1}}"#, None),
        (r#"{"id":1.5}"#, None),
        (r#"[{"id":1}]"#, None),
        (r#"{"idx":1,"":2}"#, None),
        ("", None),
    ] {
        assert_eq!(id(text), expected, "{text}");
    }
    let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(MAX_ID_LEN));
    assert!(scan(&long).has_id() && scan(&long).id().is_none());
    let spaced = format!(r#"{{"id":{}12345}}"#, " ".repeat(2 * MAX_ID_LEN));
    assert_eq!(scan(&spaced).id(), Some(RequestId::Number(12345)));
}

#[test]
fn oversized_message_is_refused_and_its_id_is_found() {
    for (values, is_too_much) in [(MAX_VALUES / 2 - 10, false), (MAX_VALUES + 1, true)] {
        for value in ["0,", r#""","#, "[],", "{},", r#""[,{\",","#] {
            let text = format!(r#"{{"a":[{}0],"id":9}}"#, value.repeat(values));
            let mut scan = Scan::default();
            let found = scan.feed(text.as_bytes());
            assert_eq!(found.is_err(), is_too_much, "{value}");
            assert_eq!(scan.id(), Some(RequestId::Number(9)));
        }
    }
    let mut scan = Scan::default();
    scan.feed(br#"{"a":""#).unwrap();
    let most = vec![b','; LARGEST - 6];
    scan.feed(&most).unwrap();
    assert!(scan.feed(br#"","id":"late"}"#).is_err());
    assert_eq!(scan.id(), Some(RequestId::String("late".into())));
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec(("id|[a-z\"\\\\:,{}]{0,4}", inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(values) => values.values().map(count).sum(),
        _ => 0,
    }
}

proptest! {
    #[test]
    fn scan_agrees_with_the_json_parser(value in value(), at in any::<prop::sample::Index>(), is_pretty in any::<bool>()) {
        let text = if is_pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let mut scan = Scan::default();
        let (one, other) = text.as_bytes().split_at(at.index(text.len() + 1));
        scan.feed(one).unwrap();
        scan.feed(other).unwrap();
        let id = value.get("id").filter(|_| value.is_object());
        let is_id = |id: &&Value| id.is_i64() || id.as_str().is_some_and(|id| serde_json::to_string(id).unwrap().len() <= MAX_ID_LEN);
        prop_assert_eq!(scan.has_id(), id.is_some());
        let found = scan.id().map(|id| serde_json::to_value(id).unwrap());
        prop_assert_eq!(found.as_ref(), id.filter(is_id));
        prop_assert!(count(&value) <= scan.values + 1, "no value is missed");
    }

    #[test]
    fn scan_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut scan = Scan::default();
        let _ = scan.feed(&bytes);
        let _ = (scan.id(), scan.has_id());
    }
}
