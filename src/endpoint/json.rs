//! JSON objects as Go reads them into structs: names match in any case, and the last of several counts.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object in their order, none of them read yet.
#[derive(Debug, Default)]
pub(super) struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    /// The member of this name in any case; `None` where there is none but `null`.
    pub(super) fn field<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, serde_json::Error> {
        self.last(|key| key.eq_ignore_ascii_case(name))
    }

    /// The member of exactly this name, as in a map of Go's.
    pub(super) fn entry<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, serde_json::Error> {
        self.last(|key| key == name)
    }

    fn last<T: DeserializeOwned>(&self, is_wanted: impl Fn(&str) -> bool) -> Result<Option<T>, serde_json::Error> {
        let mut members = self.0.iter().rev();
        match members.find(|(key, value)| is_wanted(key) && value.get() != "null") {
            Some((_, value)) => serde_json::from_str(value.get()).map(Some),
            None => Ok(None),
        }
    }

    /// The members, of which each value is a text.
    pub(super) fn texts(&self) -> Result<Vec<(String, String)>, serde_json::Error> {
        let texts = self.0.iter().map(|(key, value)| {
            let text: Option<String> = serde_json::from_str(value.get())?;
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
    fn names_match_in_any_case_and_the_last_counts() {
        let object: Object = serde_json::from_str(r#"{"hOST":"a","Host":"b","other":[{}],"HOST":null}"#).unwrap();
        assert_eq!(object.field::<String>("host").unwrap().unwrap(), "b");
        assert_eq!(object.entry::<String>("hOST").unwrap().unwrap(), "a");
        assert_eq!(object.entry::<String>("host").unwrap(), None);
        assert!(object.field::<String>("other").is_err());
        assert!(object.texts().is_err());
    }

    #[test]
    fn depth_and_what_is_no_object_are_errors() {
        let deep = format!("{{\"a\":{}}}", "[".repeat(100_000));
        for text in [deep.as_str(), "[]", "1", "{\"a\"}", ""] {
            assert!(serde_json::from_str::<Object>(text).is_err());
        }
        assert!(serde_json::from_str::<Object>("null").is_ok());
    }
}
