//! The arguments of the tool `exec`.
#![expect(clippy::doc_link_with_quotes, reason = "these docs are descriptions in a schema")]

use std::time::Duration;

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::answer::{AnswerOptions, Answers, Structured};
use crate::policy::Policy;
use crate::schema;

/// The limits of a call's timeout, in milliseconds.
const SHORTEST_TIMEOUT: u64 = 1000;
const MAX_TIMEOUT: u64 = 600_000;

/// The parameters that agents hardly use. The leanest list of tools omits them.
const RARE: [&str; 7] = [
    "path",
    "envFile",
    "parseJson",
    "compact",
    "detach",
    "keepNewline",
    "keepAnsi",
];

/// The arguments of a call of `exec`. The tool's schema is derived from this type, and is used to check them.
// Does not implement `Debug`, because the environment and the standard input may contain secrets.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ExecInput {
    /// Container name or ID
    #[schemars(length(max = 255))]
    pub(crate) container: String,

    /// Program and arguments, run without a shell (e.g., ["ls", "-la"] or ["sh", "-c", "ls | wc -l"])
    #[schemars(length(min = 1, max = 1000), inner(length(max = 65536)))]
    pub(crate) command: Vec<String>,

    /// Working directory inside the container, absolute
    #[schemars(length(max = 4096))]
    pub(crate) workdir: Option<String>,

    /// Run command as a specific user (e.g., "root", "1000:1000")
    #[schemars(length(max = 255))]
    user: Option<String>,

    /// Environment variables (e.g., ["KEY=VALUE"])
    #[serde(default)]
    #[schemars(length(max = 1000), inner(length(max = 65536)))]
    pub(crate) env: Vec<String>,

    /// Read environment variables from a file on the server's host
    #[schemars(length(max = 4096))]
    env_file: Option<String>,

    /// Run command in the background: no output, no exit code, no timeout
    #[serde(default)]
    pub(crate) detach: bool,

    /// Stop the command and all its processes after this time, in milliseconds
    #[serde(default, deserialize_with = "whole_number")]
    #[schemars(range(min = SHORTEST_TIMEOUT, max = MAX_TIMEOUT))]
    timeout: Option<u64>,

    /// Parse stdout as JSON and return it in `json` when valid
    #[serde(default)]
    parse_json: bool,

    /// Maximum number of characters of stdout and of stderr to return; the beginning and the end of longer output are kept
    #[serde(default, deserialize_with = "whole_number")]
    #[schemars(range(min = 0))]
    limit: Option<u64>,

    /// Host directory against which a relative envFile is resolved (default: the server's)
    #[schemars(length(max = 4096))]
    path: Option<String>,

    /// Omit the output from structuredContent when that would cost more than the output itself
    compact: Option<bool>,

    /// Standard input of the command
    #[schemars(length(max = 2_097_152))]
    pub(crate) stdin: Option<String>,

    /// Keep the final newline of stdout and stderr
    #[serde(default)]
    keep_newline: bool,

    /// Keep terminal escapes
    #[serde(default)]
    keep_ansi: bool,

    /// Give the command all privileges; refused unless the operator allows it
    #[serde(default)]
    pub(crate) privileged: bool,

    /// Add groups to the user's; refused unless the operator allows it
    #[serde(default)]
    #[schemars(length(max = 100), inner(length(max = 255)))]
    pub(crate) group_add: Vec<String>,
}

impl ExecInput {
    /// Returns the schema that the tool lists. It omits parameters that the operator's rules refuse, and, if answers have
    /// no structured part, those that agents hardly use; calls may have them all the same.
    pub(crate) fn listed_schema(full: &JsonObject, answers: Answers, policy: &Policy) -> JsonObject {
        let mut schema = full.clone();
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.retain(|name, _| match name.as_str() {
                "privileged" => policy.allow_privileged,
                "groupAdd" => policy.allow_group_add,
                name => answers == Answers::Both || !RARE.contains(&name),
            });
        }
        schema
    }

    /// Returns the schema of the arguments, with the defaults that the operator has set.
    pub(crate) fn schema(default_compact: bool, default_timeout: Option<Duration>) -> JsonObject {
        let mut schema = schema::of_input::<Self>();
        let mut set_default = |property: &str, default: Value| {
            if let Some(Value::Object(property)) = schema.get_mut("properties").and_then(|all| all.get_mut(property)) {
                property.insert("default".to_owned(), default);
            }
        };
        set_default("compact", default_compact.into());
        let time = default_timeout.map(|time| u64::try_from(time.as_millis()));
        // The operator's default may be outside the range of the parameter.
        if let Some(Ok(time @ SHORTEST_TIMEOUT..=MAX_TIMEOUT)) = time {
            set_default("timeout", time.into());
        }
        schema
    }

    /// Parses arguments that match the schema. The error names the parameter, and never contains its value.
    pub(crate) fn parse(mut arguments: JsonObject, schema: &JsonObject) -> Result<Self, String> {
        schema::check(&arguments, schema)?;
        arguments.retain(|_, value| !value.is_null());
        let input: Self = serde_json::from_value(Value::Object(arguments)).map_err(|error| error.to_string())?;
        input.check_for_options()?;
        Ok(input)
    }

    /// Rejects names that begin with `-`, so that no program can take them for options.
    fn check_for_options(&self) -> Result<(), String> {
        let named = |name: &str, value: Option<&String>| match value {
            Some(value) if value.starts_with('-') => Err(format!("`{name}` must not begin with `-`")),
            _ => Ok(()),
        };
        named("container", Some(&self.container))?;
        named("command[0]", self.command.first())?;
        named("workdir", self.workdir.as_ref())?;
        named("user", self.user.as_ref())?;
        named("envFile", self.env_file.as_ref())?;
        for (index, entry) in self.env.iter().enumerate() {
            named(&format!("env[{index}]"), Some(entry))?;
        }
        Ok(())
    }

    /// An empty string means that the parameter is left out, as for all optional strings.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref().filter(|user| !user.is_empty())
    }

    pub(crate) fn env_file(&self) -> Option<&str> {
        self.env_file.as_deref().filter(|file| !file.is_empty())
    }

    pub(crate) fn path(&self) -> Option<&str> {
        self.path.as_deref().filter(|path| !path.is_empty())
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout.map(Duration::from_millis)
    }

    /// Copies the call's options for its answer.
    pub(crate) fn apply_to(&self, options: &mut AnswerOptions) {
        options.structured = match self.compact {
            Some(true) => Structured::Compact,
            Some(false) => Structured::Whole,
            // A call that asks for `json` and does not mention `compact` gets it.
            None if self.parse_json => Structured::Limited,
            None => options.structured,
        };
        options.limit = self.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        options.parse_json = self.parse_json;
        options.keep_newline = self.keep_newline;
        options.keep_ansi = self.keep_ansi;
    }
}

/// JSON has only one type of number, so 1000.0 is also a whole number.
fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = Option::<f64>::deserialize(deserializer)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is checked to be whole and not negative, and a larger one stands for the largest"
    )]
    Ok(number.map(|number| number as u64))
}
