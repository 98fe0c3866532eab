//! JSON schemas that every client accepts, derived from Rust types; and the check of arguments against them.

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The fields of [`dexec::Response`], for its schema.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "its fields are read by the schema alone")]
struct ResponseFields {
    exit_code: i64,
    stdout: Option<String>,
    stderr: Option<String>,
    success: bool,
    is_truncated: Option<bool>,
    timed_out: Option<bool>,
    signal: Option<String>,
    /// Of any type.
    json: Option<Value>,
    parse_json_error: Option<String>,
    exec_id: Option<String>,
    orphaned: Option<bool>,
    is_lossy: Option<bool>,
    message: Option<String>,
    /// The set may grow, so any word is taken.
    error_kind: Option<String>,
}

/// Returns the schema of an input type. It uses only the part of JSON Schema that all clients support: no `format`,
/// because some reject unknown formats; no `null` beside another type, because optional properties may be left out; no
/// references.
pub(crate) fn of_input<T: JsonSchema>() -> JsonObject {
    portable::<T>(SchemaSettings::draft07())
}

/// Returns the schema of an output type, without descriptions: the tool's description explains the fields.
pub(crate) fn of_output<T: JsonSchema>() -> JsonObject {
    without_words(portable::<T>(SchemaSettings::draft07().for_serialize()))
}

/// Returns the schema of a [`dexec::Response`].
pub(crate) fn of_response() -> JsonObject {
    // The settings for input types, in which an `Option` may be left out.
    without_words(portable::<ResponseFields>(SchemaSettings::draft07()))
}

fn without_words(mut schema: JsonObject) -> JsonObject {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties.into_iter().flat_map(|all| all.values_mut()) {
        if let Value::Object(property) = property {
            property.remove("description");
        }
    }
    schema
}

fn portable<T: JsonSchema>(mut settings: SchemaSettings) -> JsonObject {
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    make_portable(&mut schema);
    match schema {
        Value::Object(mut schema) => {
            // They are sent separately, as the tool's name and description.
            schema.remove("title");
            schema.remove("description");
            schema
        }
        // An empty schema accepts everything.
        _ => JsonObject::new(),
    }
}

fn make_portable(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.remove("format");
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    object.insert("type".to_owned(), one);
                }
            }
            object.values_mut().for_each(make_portable);
        }
        Value::Array(values) => values.iter_mut().for_each(make_portable),
        _ => {}
    }
}

/// Checks arguments against a portable schema. The error names the parameter, without its value.
///
/// `null` for an optional parameter means that it is left out.
pub(crate) fn check(arguments: &JsonObject, schema: &JsonObject) -> Result<(), String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|required| required.iter().any(|other| other == name));
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !arguments.contains_key(name) {
            return Err(format!("`{name}` is missing"));
        }
    }
    for (name, value) in arguments {
        let Some(property) = properties.and_then(|properties| properties.get(name)) else {
            let known: Vec<&str> = properties
                .into_iter()
                .flat_map(|all| all.keys())
                .map(String::as_str)
                .collect();
            let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
            return Err(format!(
                "unknown parameter `{shown}`: the parameters are {}",
                known.join(", ")
            ));
        };
        if !value.is_null() || is_required(name) {
            check_value(name, value, property)?;
        }
    }
    Ok(())
}

fn check_value(name: &str, value: &Value, schema: &Value) -> Result<(), String> {
    let bound = |word: &str| schema.get(word).and_then(Value::as_u64);
    match (schema["type"].as_str().unwrap_or_default(), value) {
        ("boolean", Value::Bool(_)) => Ok(()),
        ("string", Value::String(text)) => match bound("maxLength") {
            // Counting the characters is needed only if the text has more bytes: each character has at least one.
            Some(most) if text.len() as u64 > most && text.chars().count() as u64 > most => {
                Err(format!("`{name}` is longer than {most} characters"))
            }
            _ => Ok(()),
        },
        ("array", Value::Array(values)) => {
            let count = values.len() as u64;
            match (bound("minItems"), bound("maxItems")) {
                (Some(least), _) if count < least => Err(format!("`{name}` has fewer than {least} items")),
                (_, Some(most)) if count > most => Err(format!("`{name}` has more than {most} items")),
                _ => Ok(()),
            }?;
            let mut values = values.iter().enumerate();
            values.try_for_each(|(index, value)| check_value(&format!("{name}[{index}]"), value, &schema["items"]))
        }
        ("integer", Value::Number(number)) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            let bound = |word: &str| schema.get(word).and_then(Value::as_f64);
            match (bound("minimum"), bound("maximum")) {
                _ if number.fract() != 0.0 => Err(format!("`{name}` must be a whole number")),
                (Some(least), _) if number < least => Err(format!("`{name}` must be at least {least}")),
                (_, Some(most)) if number > most => Err(format!("`{name}` must be at most {most}")),
                _ => Ok(()),
            }
        }
        (wanted, _) => {
            let article = if matches!(wanted, "array" | "integer") {
                "an"
            } else {
                "a"
            };
            let of_items = match schema["items"]["type"].as_str() {
                Some(items) => format!(" of {items}s"),
                None => String::new(),
            };
            Err(format!("`{name}` must be {article} {wanted}{of_items}"))
        }
    }
}

#[cfg(test)]
mod tests;
