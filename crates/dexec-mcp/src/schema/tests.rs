#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use proptest::prelude::*;
use serde_json::json;

#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is only its schema")]
struct Sample {
    #[schemars(length(max = 3))]
    word: String,
    #[schemars(length(min = 1, max = 2), inner(length(max = 2)))]
    list: Vec<String>,
    #[schemars(range(min = 2, max = 5))]
    #[serde(default)]
    number: Option<u64>,
    #[serde(default)]
    switch: bool,
}

#[test]
fn input_schema_is_portable() {
    let schema = Value::Object(of_input::<Sample>());
    assert_eq!(
        schema["properties"]["number"],
        json!({ "type": "integer", "minimum": 2, "maximum": 5 })
    );
    assert_eq!(schema["required"], json!(["word", "list"]));
    assert_eq!(schema["additionalProperties"], false);
    assert!(!schema.to_string().contains("format"));
}

fn values() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        "[aé]{0,4}".prop_map(Value::String),
        any::<bool>().prop_map(Value::Bool),
        (0_u8..8).prop_map(Value::from),
        prop::sample::select(vec![2.0, 2.5, 5.0, -1.0, 1e300]).prop_map(Value::from),
        Just(json!({})),
    ];
    prop_oneof![
        scalar.clone(),
        prop::collection::vec(scalar, 0..4).prop_map(Value::Array)
    ]
}

proptest! {
    /// The check agrees with a real validator.
    #[test]
    fn check_agrees_with_a_schema_validator(
        arguments in prop::collection::btree_map(
            prop::sample::select(vec!["word", "list", "number", "switch", "other"]),
            values(),
            0..6,
        ),
    ) {
        let schema = of_input::<Sample>();
        let arguments: JsonObject = arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let expected = jsonschema::is_valid(&Value::Object(schema.clone()), &Value::Object(arguments.clone()));
        prop_assert_eq!(check(&arguments, &schema).is_ok(), expected, "{:?}", check(&arguments, &schema));
    }
}

#[test]
fn error_names_the_parameter_but_not_its_value() {
    let schema = of_input::<Sample>();
    for (arguments, fault) in [
        (json!({ "list": ["a"] }), "`word` is missing"),
        (json!({ "word": 1, "list": ["a"] }), "`word` must be a string"),
        (
            json!({ "word": "secret", "list": ["a"] }),
            "`word` is longer than 3 characters",
        ),
        (json!({ "word": "a", "list": [] }), "`list` has fewer than 1 items"),
        (
            json!({ "word": "a", "list": ["a", "secret"] }),
            "`list[1]` is longer than 2 characters",
        ),
        (
            json!({ "word": "a", "list": "secret" }),
            "`list` must be an array of strings",
        ),
        (
            json!({ "word": "a", "list": ["a"], "number": 6 }),
            "`number` must be at most 5",
        ),
        (
            json!({ "word": "a", "list": ["a"], "switch": "secret" }),
            "`switch` must be a boolean",
        ),
        (json!({ "word": null, "list": ["a"] }), "`word` must be a string"),
        (
            json!({ "word": "a", "list": ["a"], "new\u{1b}": 1 }),
            "unknown parameter `new\\u{1b}`: the parameters are ",
        ),
    ] {
        let Value::Object(arguments) = arguments else {
            unreachable!()
        };
        let message = check(&arguments, &schema).unwrap_err();
        assert!(message.starts_with(fault) && !message.contains("secret"), "{message}");
    }
    let left_out = json!({ "word": "a", "list": ["a"], "number": null });
    assert!(check(left_out.as_object().unwrap(), &schema).is_ok());
}

#[test]
fn response_schema_has_every_field() {
    let shown = format!("{:?}", dexec::Response::default());
    let fields = shown
        .trim_start_matches("Response { ")
        .trim_end_matches(" }")
        .split(", ");
    let names: Vec<String> = fields
        .map(|field| camel_case(field.split(':').next().unwrap()))
        .collect();
    let schema = of_response();
    let properties: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(properties, names.iter().collect::<Vec<_>>());
    assert_eq!(schema["required"], json!(["exitCode", "success"]));
}

fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}
