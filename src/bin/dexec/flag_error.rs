//! Command lines that are no request: docker's texts and exit codes for wrong options, and `--help`.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

const USAGE: &str = "dexec [OPTIONS] CONTAINER COMMAND [ARG...]";

/// The exit code of docker for a wrong option.
const FLAG_ERROR: u8 = 125;

/// The program ends here, with this text on this stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) code: u8,
    pub(crate) text: String,
}

impl Stop {
    pub(crate) fn flag_error(message: &str) -> Self {
        Self {
            code: FLAG_ERROR,
            text: format!("{message}\n\nUsage:  {USAGE}\n\nRun 'dexec --help' for more information\n"),
        }
    }

    pub(crate) fn too_few_arguments() -> Self {
        Self {
            code: 1,
            text: format!(
                "dexec: 'dexec' requires at least 2 arguments\n\nUsage:  {USAGE}\n\nRun 'dexec --help' for more \
                 information\n"
            ),
        }
    }

    /// clap's finding in docker's words.
    pub(crate) fn from_clap(error: &clap::Error, line: &[OsString], command: &clap::Command) -> Self {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.as_str(),
            _ => "",
        };
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Self {
                code: 0,
                text: error.render().to_string(),
            },
            ErrorKind::UnknownArgument => Self::flag_error(&unknown_flag(text(ContextKind::InvalidArg), line)),
            ErrorKind::InvalidValue if text(ContextKind::InvalidValue).is_empty() => {
                Self::flag_error(&missing_value(line))
            }
            ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::InvalidUtf8 => {
                let reason = match std::error::Error::source(error) {
                    Some(reason) => reason.to_string(),
                    None => valid_values(error),
                };
                Self::flag_error(&format!(
                    "invalid argument {:?} for \"{}\" flag: {reason}",
                    text(ContextKind::InvalidValue),
                    flag_names(text(ContextKind::InvalidArg), command),
                ))
            }
            ErrorKind::ArgumentConflict => Self::flag_error("conflicting options: --raw and --output"),
            _ => Self::flag_error(error.render().to_string().trim()),
        }
    }

    pub(crate) fn report(self) -> ExitCode {
        // Where neither stream can be written, the exit code still tells.
        let _ = match self.code {
            0 => std::io::stdout().write_all(self.text.as_bytes()),
            _ => std::io::stderr().write_all(self.text.as_bytes()),
        };
        ExitCode::from(self.code)
    }
}

/// `unknown flag: --x`, or `unknown shorthand flag: 'x' in -xyz` with the letters from there on.
fn unknown_flag(argument: &str, line: &[OsString]) -> String {
    let Some(letter) = argument
        .strip_prefix('-')
        .filter(|rest| !rest.starts_with('-'))
        .and_then(|rest| rest.chars().next())
    else {
        let name = argument.split('=').next().unwrap_or(argument);
        return format!("unknown flag: {name}");
    };
    let letters = line
        .iter()
        .filter_map(|word| word.to_str()?.strip_prefix('-'))
        .find_map(|word| (!word.starts_with('-')).then(|| word.find(letter).map(|at| &word[at..]))?)
        .map_or_else(|| letter.to_string(), str::to_owned);
    format!("unknown shorthand flag: '{letter}' in -{letters}")
}

/// An option without its value is the last word of the line.
fn missing_value(line: &[OsString]) -> String {
    let word = line.last().map(|word| word.to_string_lossy()).unwrap_or_default();
    match word
        .strip_prefix('-')
        .filter(|rest| !rest.starts_with('-'))
        .and_then(|rest| rest.chars().last())
    {
        Some(letter) => format!("flag needs an argument: '{letter}' in -{letter}"),
        None => format!("flag needs an argument: {word}"),
    }
}

/// docker's name of a flag, `-e, --env`, from clap's, `--env <NAME=VALUE>`.
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
        Some(ContextValue::Strings(values)) => format!("it is one of {}", values.join(", ")),
        _ => "it can't be read".to_owned(),
    }
}
