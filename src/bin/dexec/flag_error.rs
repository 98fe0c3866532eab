//! Command lines that run nothing: docker's messages and exit codes for wrong options, and `--help`.

use std::ffi::OsString;
use std::io::Write as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use dexec::exit_code;

const USAGE: &str = "dexec [OPTIONS] CONTAINER COMMAND [ARG...]";

/// Ends the program with this exit code and text: on standard output if the code is 0, otherwise on standard error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) code: i64,
    pub(crate) text: String,
}

impl Stop {
    pub(crate) fn flag_error(message: &str) -> Self {
        Self {
            code: exit_code::USAGE_ERROR,
            text: format!("{message}\n\nUsage:  {USAGE}\n\nRun 'dexec --help' for more information\n"),
        }
    }

    pub(crate) fn too_few_arguments() -> Self {
        Self {
            code: exit_code::FAILURE,
            text: format!(
                "dexec: 'dexec' requires at least 2 arguments\n\nUsage:  {USAGE}\n\nRun 'dexec --help' for more \
                 information\n"
            ),
        }
    }

    /// Converts clap's error to docker's message.
    pub(crate) fn from_clap(
        error: &clap::Error,
        line: &[OsString],
        command: &clap::Command,
        help: fn(bool) -> String,
    ) -> Self {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.as_str(),
            _ => "",
        };
        match error.kind() {
            ErrorKind::DisplayHelp => Self {
                code: 0,
                text: help(line.iter().any(|word| word == "--help")),
            },
            ErrorKind::DisplayVersion => Self {
                code: 0,
                text: error.render().to_string(),
            },
            ErrorKind::UnknownArgument => Self::flag_error(&unknown_flag(text(ContextKind::InvalidArg))),
            ErrorKind::InvalidValue if text(ContextKind::InvalidValue).is_empty() => {
                let names = flag_names(text(ContextKind::InvalidArg), command);
                Self::flag_error(&missing_value(&names, line.last()))
            }
            ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::InvalidUtf8 => {
                let reason = match std::error::Error::source(error) {
                    Some(reason) => reason.to_string(),
                    None => valid_values(error),
                };
                let names = flag_names(text(ContextKind::InvalidArg), command);
                // The text after a variable's `=` may be secret.
                let value = match names.as_str() {
                    "-e, --env" => String::new(),
                    _ => format!(" {:?}", text(ContextKind::InvalidValue)),
                };
                Self::flag_error(&format!("invalid argument{value} for \"{names}\" flag: {reason}"))
            }
            ErrorKind::ArgumentConflict => {
                let names = |kind| flag_names(text(kind), command);
                let (given, other) = (names(ContextKind::InvalidArg), names(ContextKind::PriorArg));
                Self::flag_error(&format!("conflicting options: {given} and {other}"))
            }
            _ => Self::flag_error(error.render().to_string().trim()),
        }
    }

    /// Prints the text and returns the exit code.
    pub(crate) fn report(self) -> i64 {
        // If the text can't be written, the exit code still reports the error.
        let _ = match self.code {
            0 => std::io::stdout().write_all(self.text.as_bytes()),
            _ => std::io::stderr().write_all(self.text.as_bytes()),
        };
        self.code
    }
}

/// `unknown flag: --x`, or `unknown shorthand flag: 'x' in -x`. docker also shows the letters after it, some of which
/// may be a secret value.
fn unknown_flag(argument: &str) -> String {
    let letter = argument
        .strip_prefix('-')
        .filter(|rest| !rest.starts_with('-'))
        .and_then(|rest| rest.chars().next());
    match letter {
        Some(letter) => format!("unknown shorthand flag: '{letter}' in -{letter}"),
        None => format!("unknown flag: {}", argument.split('=').next().unwrap_or(argument)),
    }
}

/// The message for an option without a value. If the option was short, it is the last argument.
fn missing_value(names: &str, last: Option<&OsString>) -> String {
    let is_short = last.is_some_and(|word| word.as_encoded_bytes().starts_with(b"-"))
        && last.is_some_and(|word| !word.as_encoded_bytes().starts_with(b"--"));
    match names.split_once(", ") {
        Some((short, _)) if is_short => {
            let letter = short.trim_start_matches('-');
            format!("flag needs an argument: '{letter}' in -{letter}")
        }
        Some((_, long)) => format!("flag needs an argument: {long}"),
        None => format!("flag needs an argument: {names}"),
    }
}

/// Converts clap's name of a flag, `--env <NAME=VALUE>`, to docker's, `-e, --env`.
fn flag_names(argument: &str, command: &clap::Command) -> String {
    let long = argument
        .trim_start_matches('-')
        .split(|end: char| !(end.is_ascii_alphanumeric() || end == '-'))
        .next()
        .unwrap_or_default();
    let short = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(long))
        .and_then(clap::Arg::get_short);
    match short {
        Some(short) => format!("-{short}, --{long}"),
        None => format!("--{long}"),
    }
}

fn valid_values(error: &clap::Error) -> String {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) => format!("must be one of {}", values.join(", ")),
        _ => "can't be parsed".to_owned(),
    }
}
