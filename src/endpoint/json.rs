//! JSON objects, read as Go reads them into structs: names are case-insensitive, and the last of several equal ones
//! wins.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

/// What is wrong with JSON. It contains no part of the JSON, which may hold secrets.
#[derive(Debug)]
pub(super) struct Fault(String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        let what = match error.classify() {
            Category::Eof => "the JSON is incomplete",
            Category::Data => "it is not a JSON object",
            Category::Syntax | Category::Io => "it is not valid JSON",
        };
        Self(format!("{what} (line {}, column {})", error.line(), error.column()))
    }
}

/// The members of an object in order, not yet parsed.
#[derive(Debug, Default)]
pub(super) struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    /// Returns the last member of this name that is not `null`, ignoring case.
    pub(super) fn field<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Fault> {
        self.last(name, |key| key.eq_ignore_ascii_case(name))
    }

    /// Like [`field`](Self::field), but matches the name exactly, as in a Go map.
    pub(super) fn entry<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Fault> {
        self.last(name, |key| key == name)
    }

    fn last<T: DeserializeOwned>(&self, name: &str, is_wanted: impl Fn(&str) -> bool) -> Result<Option<T>, Fault> {
        let mut members = self.0.iter().rev();
        match members.find(|(key, value)| is_wanted(key) && value.get() != "null") {
            Some((_, value)) => {
                let read = serde_json::from_str(value.get());
                read.map(Some)
                    .map_err(|_| Fault(format!("`{name}` has the wrong type")))
            }
            None => Ok(None),
        }
    }

    /// Returns all members. Their values must be strings; `null` means an empty string.
    pub(super) fn texts(&self) -> Result<Vec<(String, String)>, Fault> {
        let texts = self.0.iter().map(|(key, value)| {
            let text: Result<Option<String>, _> = serde_json::from_str(value.get());
            let text = text.map_err(|_| Fault(format!("`{key}` is not a string")))?;
            Ok((key.clone(), text.unwrap_or_default()))
        });
        texts.collect()
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_unit<E>(self) -> Result<Object, E> {
                Ok(Object::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }

        deserializer.deserialize_any(Members)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn field_names_ignore_case_and_the_last_field_wins() {
        let object: Object = serde_json::from_str(r#"{"hOST":"a","Host":"b","other":[{}],"HOST":null}"#).unwrap();
        assert_eq!(object.field::<String>("host").unwrap().unwrap(), "b");
        assert_eq!(object.entry::<String>("hOST").unwrap().unwrap(), "a");
        assert_eq!(object.entry::<String>("host").unwrap(), None);
        assert!(object.field::<String>("other").is_err());
        assert!(object.texts().is_err());
    }

    #[test]
    fn deep_or_invalid_objects_are_errors() {
        let deep = format!("{{\"a\":{}}}", "[".repeat(100_000));
        for text in [deep.as_str(), "[]", "1", "{\"a\"}", ""] {
            assert!(serde_json::from_str::<Object>(text).is_err());
        }
        assert!(serde_json::from_str::<Object>("null").is_ok());
    }
}
