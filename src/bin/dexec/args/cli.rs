//! The options, their help, and how clap reads them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{ArgAction, CommandFactory as _, Parser, ValueEnum};
use dexec_common::duration::duration;
use dexec_common::endpoint_args::{EndpointArgs, boolean, path};

use crate::flag_error::Stop;

const COMMAND: &str = "Command";
const ENGINE: &str = "Engine";
const OUTPUT: &str = "Output";
const STOPPING: &str = "Stopping";

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// One response object on standard output, when the command has ended.
    Json,
    /// The command's output, byte for byte, on the same streams.
    Raw,
    /// One JSON object per line as output arrives, and the response without it at the end.
    Events,
}

/// Run a command in a running container, without a docker binary
#[derive(Debug, Parser)]
#[command(
    name = "dexec",
    version,
    override_usage = "dexec [OPTIONS] CONTAINER COMMAND [ARG...]",
    args_override_self = true,
    max_term_width = 100,
    after_help = "Everything after COMMAND belongs to the command. `dexec --help` shows all options and details.",
    after_long_help = "\
The command runs without a shell: use `dexec web sh -c 'ls | wc -l'` for pipes and variables. Everything after COMMAND \
belongs to it; one `--` directly after CONTAINER is skipped.

dexec uses the engine that docker would use: --host or --context, else DOCKER_HOST, DOCKER_CONTEXT, the current context of \
config.json, /var/run/docker.sock. If that socket does not exist, dexec uses CONTAINER_HOST, else the first socket that \
exists of rootless Docker, Docker Desktop, Colima, Rancher Desktop, OrbStack, Lima and Podman. `dexec --info` shows which. \
dexec warns about an unencrypted TCP connection to another machine, unless DEXEC_ALLOW_PLAIN_TCP is set.

Exit codes:
  the command's own   the command ran and ended
  1                   the engine or dexec refused the request, the output can't be written, or the
                      detach keys were typed
  124                 the --timeout expired
  125                 an option is invalid
  125 to 128          the engine could not start the command
  141                 the reader of standard output closed it
  255                 the connection was lost before the exit code was known
  128+n               dexec was stopped by signal n

dexec runs arbitrary commands in the container: use it on trusted containers only."
)]
pub(super) struct Cli {
    /// Keep standard input open and send it to the command
    #[arg(short, long, help_heading = COMMAND)]
    pub(super) interactive: bool,

    /// Allocate a pseudo-TTY (implies --output raw)
    ///
    /// Allocate a pseudo-TTY with the size of the terminal on standard output. With -i, standard input must be a terminal,
    /// and every key goes to the command, including Ctrl-C, until the command ends or the detach keys are typed. Implies
    /// --output raw, except with -d.
    #[arg(short, long, help_heading = COMMAND)]
    pub(super) tty: bool,

    /// Run the command in the background, without its output or exit code
    #[arg(short, long, help_heading = COMMAND)]
    pub(super) detach: bool,

    /// Set an environment variable; NAME alone takes the value from dexec's environment
    ///
    /// Set an environment variable. NAME alone takes the value of dexec's own variable; if dexec has no such variable,
    /// Docker removes it from the command's environment and Podman refuses the request. Can be repeated.
    #[arg(short, long, value_name = "NAME=VALUE", help_heading = COMMAND, allow_hyphen_values = true, value_parser = OsStringValueParser::new().try_map(env_entry))]
    pub(super) env: Vec<OsString>,

    /// Read environment variables from a file, in docker's format; --env overrides them
    #[arg(long, value_name = "FILE", help_heading = COMMAND, hide_short_help = true, allow_hyphen_values = true, value_parser = path())]
    pub(super) env_file: Vec<PathBuf>,

    /// Run as this user: name, uid, name:group, uid:gid
    #[arg(short, long, help_heading = COMMAND, allow_hyphen_values = true)]
    pub(super) user: Option<OsString>,

    /// Add a supplementary group, by name or number
    ///
    /// Add a supplementary group, by name or number, to those of the user. Can be repeated. The container needs a writable
    /// root directory; otherwise nothing is run and the exit code is 1.
    #[arg(long, value_name = "GROUP", help_heading = COMMAND, hide_short_help = true, allow_hyphen_values = true)]
    pub(super) group_add: Vec<OsString>,

    /// Working directory in the container, as an absolute path
    #[arg(short, long, value_name = "DIR", help_heading = COMMAND, allow_hyphen_values = true)]
    pub(super) workdir: Option<OsString>,

    /// Give the command extended privileges
    #[arg(long, help_heading = COMMAND, hide_short_help = true)]
    pub(super) privileged: bool,

    /// Keys that detach from a pseudo-TTY [default: ctrl-p,ctrl-q]
    ///
    /// Keys that detach from a pseudo-TTY and leave the command running: characters, DEL, or ctrl- and one of
    /// a-z @ [ \ ] ^ _, separated by commas. The default is detachKeys of docker's config.json, else ctrl-p,ctrl-q. The exit
    /// code is 1.
    #[arg(long, value_name = "KEYS", help_heading = COMMAND, hide_short_help = true, allow_hyphen_values = true)]
    pub(super) detach_keys: Option<OsString>,

    #[command(flatten, next_help_heading = ENGINE)]
    pub(super) endpoint: EndpointArgs,

    /// Show the detected engine and how it was found; takes no CONTAINER
    ///
    /// Show the detected engine, how it was found, and whether it answers. If none answers, show each endpoint that was
    /// tried, the error and the likely remedy, and exit with 1. Takes no CONTAINER. With --output json the result is an
    /// object.
    #[arg(long, help_heading = ENGINE)]
    pub(super) info: bool,

    #[arg(
        long,
        value_name = "MODE",
        value_enum,
        help_heading = OUTPUT,
        help = "Form of the output [default: json, or DEXEC_OUTPUT]"
    )]
    pub(super) output: Option<Mode>,

    /// Same as --output raw: print what docker exec would print
    #[arg(long, help_heading = OUTPUT, conflicts_with = "output")]
    pub(super) raw: bool,

    /// Show at most N characters of each stream
    ///
    /// Show at most N characters of each stream. Longer text keeps its beginning and its end, with a line between them that
    /// says how many characters are omitted; if N is below 200, only the beginning is kept.
    #[arg(long, value_name = "N", help_heading = OUTPUT, allow_hyphen_values = true)]
    pub(super) limit: Option<usize>,

    /// Add standard output, parsed as JSON, in the field `json`
    #[arg(long, help_heading = OUTPUT)]
    pub(super) parse_json: bool,

    /// Omit the output if the response would cost more than the bare output
    ///
    /// Omit stdout, stderr and json if the response's JSON, at four characters a token, would cost more than the bare output.
    #[arg(long, help_heading = OUTPUT, hide_short_help = true)]
    pub(super) compact: bool,

    /// Keep the final newline of each stream, which is stripped by default
    #[arg(long, help_heading = OUTPUT, hide_short_help = true)]
    pub(super) keep_newline: bool,

    /// Keep terminal escape sequences, such as colors, which are stripped by default
    #[arg(long, help_heading = OUTPUT, hide_short_help = true)]
    pub(super) keep_ansi: bool,

    /// Stop the command after this time: 90, 1.5, 90s, 2m 30s
    ///
    /// Stop the command, with all its processes in the container, when it has run for this time: a number of seconds, or
    /// 90s, 2m 30s, 500ms. 0 means never, which is the default. The exit code is 124.
    #[arg(long, value_name = "DURATION", help_heading = STOPPING, allow_hyphen_values = true, value_parser = duration)]
    pub(super) timeout: Option<Duration>,

    /// Time between SIGTERM and SIGKILL when stopping [default: 2s]
    ///
    /// Time between SIGTERM and SIGKILL when the command is stopped. The default is 2s; if dexec itself runs under another
    /// dexec, at most half of the time that the outer one allows.
    #[arg(long, value_name = "DURATION", help_heading = STOPPING, allow_hyphen_values = true, value_parser = duration)]
    pub(super) kill_after: Option<Duration>,

    /// The container's name or id, the command and its arguments
    // One positional: with two, clap would parse `-it` in `dexec web -it sh` as options.
    #[arg(hide = true, trailing_var_arg = true, value_name = "CONTAINER COMMAND [ARG...]")]
    pub(super) words: Vec<OsString>,
}

/// The help text. Like docker's, it shows no values for switches.
pub(super) fn help(is_long: bool) -> String {
    let mut cli = Cli::command().mut_args(|arg| match arg.get_num_args() {
        Some(number) if number.min_values() == 0 => arg.require_equals(false).num_args(0),
        _ => arg,
    });
    let help = if is_long {
        cli.render_long_help()
    } else {
        cli.render_help()
    };
    help.to_string()
}

/// As in docker, switches take a value only after `=`. As for every option, the last occurrence counts.
pub(super) fn command() -> clap::Command {
    Cli::command().mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_value("false")
            .default_missing_value("true")
            .value_parser(boolean)
            .value_name("BOOL")
            .hide_default_value(true),
        _ => arg,
    })
}

fn env_entry(entry: OsString) -> Result<OsString, String> {
    if entry.is_empty() || entry.as_encoded_bytes().starts_with(b"=") {
        return Err("an environment variable has no name before its `=`".to_owned());
    }
    Ok(entry)
}

impl Cli {
    /// The mode that an option or `DEXEC_OUTPUT` selects.
    pub(super) fn chosen_mode(&self) -> Result<Option<Mode>, Stop> {
        // The terminal of a detached command is not shown.
        let shows_terminal = self.tty && !self.detach;
        if shows_terminal && self.output.is_some_and(|mode| mode != Mode::Raw) {
            return Err(Stop::flag_error(
                "-t, --tty implies --output raw: omit one of the two options",
            ));
        }
        if self.raw || shows_terminal {
            return Ok(Some(Mode::Raw));
        }
        if self.output.is_some() {
            return Ok(self.output);
        }
        let named = std::env::var_os("DEXEC_OUTPUT").filter(|mode| !mode.is_empty());
        let mode = named.map(|mode| {
            let known = mode.to_str().and_then(|mode| Mode::from_str(mode, false).ok());
            known.ok_or_else(|| {
                Stop::flag_error(&format!(
                    "invalid value {:?} of DEXEC_OUTPUT: use json, raw or events",
                    mode.display().to_string()
                ))
            })
        });
        mode.transpose()
    }

    pub(super) fn json_only_option(&self) -> Option<&'static str> {
        [
            (self.compact, "--compact"),
            (self.limit.is_some(), "--limit"),
            (self.parse_json, "--parse-json"),
        ]
        .into_iter()
        .find_map(|(is_given, option)| is_given.then_some(option))
    }
}
