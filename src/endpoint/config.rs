//! The parts of docker's `config.json` that say where the engine is, how to connect to it, and how to detach from a
//! terminal.

use std::io;
use std::path::Path;

use crate::error::{io_reason, sanitize_line};

use super::file::read_regular;
use super::json::{Fault, Object};

/// The maximum number of characters of a fault that a warning shows.
const MAX_FAULT_LEN: usize = 200;

/// The settings of `config.json`. As in docker, the readable parts of a broken file are used; a file that is not JSON
/// has none.
#[derive(Debug, Default)]
pub(super) struct Config {
    /// Empty if no context is set.
    pub(super) current_context: String,
    pub(super) headers: Vec<(String, String)>,
    /// Empty if no keys are set.
    pub(super) detach_keys: String,
    /// What is wrong with the file. The text is docker's except for the reason.
    pub(super) warning: Option<String>,
}

impl Config {
    /// Reads the file in this directory; a missing file means no settings.
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

    /// Reads what it can, and returns the first fault.
    fn parse(&mut self, contents: &[u8]) -> Result<(), Fault> {
        let text = String::from_utf8_lossy(contents);
        // docker reads only the first value, and accepts an empty file.
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
    fn errors_show_nothing_of_the_config_file() {
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
    fn valid_fields_of_a_broken_config_file_are_used() {
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
