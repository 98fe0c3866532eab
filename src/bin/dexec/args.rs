//! The command line: the grammar of `docker exec`, and dexec's own options.

mod cli;

use std::cell::Cell;
use std::ffi::OsString;

use clap::FromArgMatches as _;
use dexec::{DetachKeys, EndpointOptions, Error, ErrorKind, Request, RequestBuilder, ResponseOptions, read_env_file};
use dexec_common::endpoint_args::EndpointArgs;

use crate::endpoint;
use crate::flag_error::Stop;
use crate::stdio::Input;

pub(crate) use cli::Mode;
use cli::{Cli, command, help};

/// The action that a command line requests.
#[derive(Debug)]
pub(crate) enum Action {
    /// Run a command.
    Run(Box<Args>),
    /// Show the engine.
    Info { endpoint: EndpointArgs, is_json: bool },
}

/// A command line that is valid by docker's grammar and the rules between options.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) mode: Mode,
    cli: Cli,
    container: OsString,
    command: Vec<OsString>,
}

impl Action {
    pub(crate) fn from_command_line(line: impl IntoIterator<Item = OsString>) -> Result<Self, Stop> {
        let line: Vec<OsString> = line.into_iter().collect();
        let mut cli = command()
            .try_get_matches_from(&line)
            .and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches))
            .map_err(|error| Stop::from_clap(&error, &line, &command(), help))?;
        if cli.info {
            if !cli.words.is_empty() {
                return Err(Stop::flag_error("--info takes no CONTAINER and no COMMAND"));
            }
            let is_json = cli.chosen_mode()? == Some(Mode::Json);
            return Ok(Self::Info {
                endpoint: cli.endpoint,
                is_json,
            });
        }
        let mut words = std::mem::take(&mut cli.words).into_iter();
        let (Some(container), Some(first)) = (words.next(), words.next()) else {
            return Err(Stop::too_few_arguments());
        };
        // As in kubectl, a `--` may separate the container from the command.
        let first = if first == "--" { words.next() } else { Some(first) };
        let command: Vec<OsString> = first.into_iter().chain(words).collect();
        if command.is_empty() {
            return Err(Stop::too_few_arguments());
        }
        let mode = cli.chosen_mode()?.unwrap_or(Mode::Json);
        if mode != Mode::Json
            && let Some(option) = cli.json_only_option()
        {
            let reason = if mode == Mode::Raw && cli.tty {
                format!("{option} conflicts with -t, --tty, which implies --output raw")
            } else {
                format!("{option} requires --output json")
            };
            return Err(Stop::flag_error(&reason));
        }
        Ok(Self::Run(Box::new(Args {
            mode,
            cli,
            container,
            command,
        })))
    }
}

impl Args {
    pub(crate) fn response_options(&self) -> ResponseOptions {
        let mut options = ResponseOptions::default();
        options.compact = self.cli.compact;
        options.limit = self.cli.limit;
        options.parse_json = self.cli.parse_json;
        options.keep_newline = self.cli.keep_newline;
        options.keep_ansi = self.cli.keep_ansi;
        options
    }

    /// Whether the command gets a terminal.
    pub(crate) fn has_terminal(&self) -> bool {
        self.cli.tty
    }

    /// Whether standard input is sent to the command.
    pub(crate) fn takes_input(&self) -> bool {
        self.cli.interactive && !self.cli.detach
    }

    /// Whether the command uses the user's own terminal.
    pub(crate) fn takes_terminal(&self) -> bool {
        self.cli.tty && self.takes_input()
    }

    /// The detach keys from the command line. As in docker, an empty value counts as absent.
    pub(crate) fn detach_keys(&self) -> Result<Option<DetachKeys>, Error> {
        let Some(keys) = self.cli.detach_keys.as_ref().filter(|keys| !keys.is_empty()) else {
            return Ok(None);
        };
        DetachKeys::parse(&keys.to_string_lossy()).map(Some)
    }

    /// Converts to a request, which the caller completes and checks, and to the options for the endpoint.
    pub(crate) fn into_request(self) -> Result<(RequestBuilder, EndpointOptions), Error> {
        let takes_input = self.takes_input();
        let Self {
            cli,
            container,
            command,
            ..
        } = self;
        let mut env = Vec::new();
        for file in &cli.env_file {
            let unreadable = Cell::new(None);
            let lookup = |name: &str| {
                let value = host_variable(name)?;
                text(value, || format!("the value of {name} in dexec's environment"))
                    .map_err(|error| unreadable.set(Some(error)))
                    .ok()
            };
            env.extend(read_env_file(file, lookup)?);
            if let Some(error) = unreadable.take() {
                return Err(error);
            }
        }
        for entry in cli.env {
            let entry = text(entry, || "a value of --env".to_owned())?;
            // docker sends the bare name of a variable that is not set here, and the engine removes that variable.
            env.push(match host_variable(&entry) {
                Some(value) => {
                    let value = text(value, || format!("the value of {entry} in dexec's environment"))?;
                    format!("{entry}={value}")
                }
                None => entry,
            });
        }
        let command = command
            .into_iter()
            .enumerate()
            .map(|(index, word)| {
                text(word, || match index {
                    0 => "the command's name".to_owned(),
                    _ => format!("argument {index} of the command"),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let groups = cli
            .group_add
            .into_iter()
            .map(|group| text(group, || "a value of --group-add".to_owned()))
            .collect::<Result<Vec<_>, _>>()?;
        let mut request = Request::new(text(container, || "the container's name".to_owned())?, command)
            .envs(env)
            .groups(groups)
            .privileged(cli.privileged)
            .detach(cli.detach);
        if let Some(time) = cli.timeout.filter(|time| !time.is_zero()) {
            request = request.timeout(time);
        }
        let outer = std::env::var("DEXEC_ID").ok();
        let grace = cli.kill_after;
        request = request.kill_after(grace.unwrap_or_else(|| Request::default_kill_after(outer.as_deref())));
        if let Some(workdir) = cli.workdir {
            request = request.workdir(text(workdir, || "the working directory".to_owned())?);
        }
        if let Some(user) = cli.user {
            request = request.user(text(user, || "the user".to_owned())?);
        }
        if takes_input {
            request = request.stdin(Input::new());
        }
        Ok((request, endpoint::options(cli.endpoint)?))
    }
}

/// Rejects an argument that is not UTF-8, in which the engine would silently replace bytes.
fn text(argument: OsString, name: impl Fn() -> String) -> Result<String, Error> {
    argument.into_string().map_err(|_| {
        Error::new(
            ErrorKind::InvalidRequest,
            format!(
                "{} is not UTF-8, and the engine would change its bytes: pass such data on standard input (-i)",
                name()
            ),
        )
    })
}

fn host_variable(name: &str) -> Option<OsString> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return None;
    }
    std::env::var_os(name)
}

#[cfg(test)]
mod tests;
