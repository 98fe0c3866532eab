//! docker's `config.json`, as far as it says where the engine is, how to speak to it, and how to leave a terminal.

use std::io;
use std::path::Path;

use crate::error::{io_reason, sanitize_line};

use super::file::read_regular;
use super::json::{Fault, Object};

/// How many characters of a fault a warning tells.
const MAX_FAULT_LEN: usize = 200;

/// Docker goes on with what it could read of a broken file, and so with nothing of one that is no JSON.
#[derive(Debug, Default)]
pub(super) struct Config {
    /// Empty where none is chosen.
    pub(super) current_context: String,
    pub(super) headers: Vec<(String, String)>,
    /// Empty where none are configured.
    pub(super) detach_keys: String,
    /// What is wrong with the file, in docker's words up to the reason.
    pub(super) warning: Option<String>,
}

impl Config {
    /// Reads the file in this directory; where there is none, nothing is configured.
    pub(super) fn load(directory: &Path) -> Self {
        let path = directory.join("config.json");
        match read_regular(&path) {
            Ok(contents) => {
                let mut config = Self::default();
                if let Err(fault) = config.parse(&contents) {
                    let fault = sanitize_line(&fault.to_string(), MAX_FAULT_LEN);
                    config.warning = Some(format!("Error parsing config file ({}): {fault}", path.display()));
                }
                config
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => Self {
                warning: Some(format!(
                    "Error loading config file: open {}: {}",
                    path.display(),
                    io_reason(&error)
                )),
                ..Self::default()
            },
        }
    }

    /// Takes what can be taken, and tells the first fault.
    fn parse(&mut self, contents: &[u8]) -> Result<(), Fault> {
        let text = String::from_utf8_lossy(contents);
        // docker looks at the first value only, and an empty file is fine.
        let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Object>();
        let Some(object) = values.next().transpose()? else {
            return Ok(());
        };
        let context = object.field::<String>("currentContext").map(|context| {
            self.current_context = context.unwrap_or_default();
        });
        let headers = object.field::<Object>("HttpHeaders").and_then(|headers| {
            self.headers = headers.unwrap_or_default().texts()?;
            Ok(())
        });
        let keys = object.field::<String>("detachKeys").map(|keys| {
            self.detach_keys = keys.unwrap_or_default();
        });
        context.and(headers).and(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, usize, bool) {
        let mut config = Config::default();
        let is_broken = config.parse(text.as_bytes()).is_err();
        (config.current_context, config.headers.len(), is_broken)
    }

    #[test]
    fn a_fault_shows_nothing_of_the_file() {
        for text in [
            r#"{"HttpHeaders":{"X-Token":918273645}}"#,
            r#"{"HttpHeaders":"Bearer 918273645"}"#,
            r#"{"currentContext":918273645}"#,
            r#""918273645""#,
            "918273645",
            "{918273645}",
        ] {
            let fault = Config::default()
                .parse(text.as_bytes())
                .map_err(|fault| fault.to_string());
            assert!(
                fault.as_ref().is_err_and(|fault| !fault.contains("918273645")),
                "{text}: {fault:?}"
            );
        }
    }

    #[test]
    fn what_can_be_read_is_taken() {
        for (text, context, headers, is_broken) in [
            ("", "", 0, false),
            (" \n", "", 0, false),
            ("null", "", 0, false),
            ("{}", "", 0, false),
            (r#"{"auths":{"x":{}},"currentContext":"a"}"#, "a", 0, false),
            (
                r#"{"CURRENTCONTEXT":"a","HTTPHeaders":{"X":"1","Y":"2"}}"#,
                "a",
                2,
                false,
            ),
            (r#"{"currentContext":"a"} and more"#, "a", 0, false),
            (r#"{"currentContext":5,"HttpHeaders":{"X":"1"}}"#, "", 1, true),
            (r#"{"currentContext":"a","HttpHeaders":{"X":1}}"#, "a", 0, true),
            (r#"{"currentContext":"a","HttpHeaders":[]}"#, "a", 0, true),
            (r#"{"currentContext":"a""#, "", 0, true),
            ("[]", "", 0, true),
            ("\u{feff}{}", "", 0, true),
        ] {
            assert_eq!(read(text), (context.to_owned(), headers, is_broken), "{text}");
        }
    }
}
