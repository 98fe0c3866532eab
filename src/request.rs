//! The command to run. It is validated when it is built and need not be checked again later.

use std::fmt;
use std::time::Duration;

use tokio::io::AsyncRead;

use crate::error::{Error, Remedy};
use crate::marker::Marker;
use crate::terminal::Terminal;

/// Linux refuses an argument or environment entry of this size or more (`MAX_ARG_STRLEN`, which includes the final
/// NUL).
const STRING_LIMIT: usize = 128 * 1024;

/// The largest message that containerd accepts. The command is part of one.
const TOTAL_LIMIT: usize = 4 * 1024 * 1024;

/// The default time between SIGTERM and SIGKILL.
const KILL_AFTER: Duration = Duration::from_secs(2);

/// Ten years, in place of longer times: the clock's range is smaller than that of `Duration`.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A source of standard input.
pub(crate) type Stdin = Box<dyn AsyncRead + Send + Unpin>;

/// One command to run in one container.
///
/// ```
/// use dexec::Request;
///
/// let request = Request::new("web", ["ls", "-la"]).workdir("/srv").env("LANG=C").build()?;
/// # Ok::<(), dexec::Error>(())
/// ```
pub struct Request {
    pub(crate) spec: ExecSpec,
    pub(crate) stdin: Option<Stdin>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) kill_after: Duration,
}

/// The part that is sent to the engine, and can be sent again.
#[derive(Clone, Default)]
pub(crate) struct ExecSpec {
    pub(crate) container: ContainerName,
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) workdir: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) is_privileged: bool,
    pub(crate) is_detached: bool,
    pub(crate) terminal: Option<Terminal>,
}

impl Request {
    /// Starts to build a request. `command` is the program and its arguments, run without a shell.
    #[must_use = "a request is made by `build`"]
    #[expect(clippy::new_ret_no_self, reason = "a request exists only once it is checked")]
    pub fn new<C, A>(container: impl Into<String>, command: C) -> RequestBuilder
    where
        C: IntoIterator<Item = A>,
        A: Into<String>,
    {
        RequestBuilder {
            container: container.into(),
            spec: ExecSpec {
                command: command.into_iter().map(Into::into).collect(),
                ..ExecSpec::default()
            },
            stdin: None,
            timeout: None,
            kill_after: KILL_AFTER,
        }
    }

    /// The default time between SIGTERM and SIGKILL for a command that is stopped, used unless [`kill_after`] is
    /// called: 2 s or less.
    ///
    /// `dexec_id` is the value of the variable `DEXEC_ID`, which is set if this process was itself started by dexec.
    /// The value contains the grace period of this process, and the default is at most half of that: this process has
    /// to stop its own commands before it is killed.
    ///
    /// [`kill_after`]: RequestBuilder::kill_after
    #[must_use]
    pub fn default_kill_after(dexec_id: Option<&str>) -> Duration {
        dexec_id
            .and_then(Marker::grace_of)
            .map_or(KILL_AFTER, |grace| KILL_AFTER.min(grace / 2))
    }

    /// The container's name or id.
    #[must_use]
    pub fn container(&self) -> &str {
        self.spec.container.as_str()
    }
}

/// Shows only the number of environment entries: their values may be secret.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("container", &self.spec.container)
            .field("command", &self.spec.command)
            .field("env", &self.spec.env.len())
            .finish_non_exhaustive()
    }
}

/// Builds a [`Request`].
#[must_use = "a request is made by `build`"]
pub struct RequestBuilder {
    container: String,
    spec: ExecSpec,
    stdin: Option<Stdin>,
    timeout: Option<Duration>,
    kill_after: Duration,
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBuilder")
            .field("container", &self.container)
            .field("command", &self.spec.command)
            .field("env", &self.spec.env.len())
            .finish_non_exhaustive()
    }
}

impl RequestBuilder {
    /// Adds an environment variable, `NAME=value`. If a name is given more than once, the last value is used.
    ///
    /// A `NAME` without a value removes the variable from the command's environment. Docker supports this; Podman
    /// refuses it.
    pub fn env(mut self, entry: impl Into<String>) -> Self {
        self.spec.env.push(entry.into());
        self
    }

    /// Adds environment variables in order.
    pub fn envs(mut self, entries: impl IntoIterator<Item = String>) -> Self {
        self.spec.env.extend(entries);
        self
    }

    /// Sets the working directory, an absolute path in the container. Empty means the container's default.
    pub fn workdir(mut self, path: impl Into<String>) -> Self {
        self.spec.workdir = Some(path.into()).filter(|path| !path.is_empty());
        self
    }

    /// Sets the user: `name`, `uid`, `name:group`, `uid:gid`, `:gid`. Empty means the container's default.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.spec.user = Some(user.into()).filter(|user| !user.is_empty());
        self
    }

    /// Adds supplementary groups, by name or number, to those of the command's user.
    ///
    /// The engines do not support this, so the command is started as root by a static program that dexec temporarily
    /// places in the container. If that is not possible, nothing is run
    /// ([`ErrorKind::UnsupportedInContainer`](crate::ErrorKind::UnsupportedInContainer)).
    pub fn groups(mut self, groups: impl IntoIterator<Item = String>) -> Self {
        self.spec.groups.extend(groups);
        self
    }

    /// Gives the command extended privileges.
    pub fn privileged(mut self, is_privileged: bool) -> Self {
        self.spec.is_privileged = is_privileged;
        self
    }

    /// Runs the command in the background: there is no output, no input and no exit code.
    pub fn detach(mut self, is_detached: bool) -> Self {
        self.spec.is_detached = is_detached;
        self
    }

    /// Sets the standard input. The command sees its end of file. By default the command reads end of file at once.
    pub fn stdin(mut self, reader: impl AsyncRead + Send + Unpin + 'static) -> Self {
        self.stdin = Some(Box::new(reader));
        self
    }

    /// Gives the command a terminal instead of pipes.
    pub fn terminal(mut self, terminal: Terminal) -> Self {
        self.spec.terminal = Some(terminal);
        self
    }

    /// Stops the command if it runs for longer than this, counted from the engine's answer to the start request.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time.min(MAX_DURATION));
        self
    }

    /// Sets the time between SIGTERM and SIGKILL for a command that is stopped. For the default of 2 s, or less, see
    /// [`Request::default_kill_after`].
    pub fn kill_after(mut self, grace: Duration) -> Self {
        self.kill_after = grace.min(MAX_DURATION);
        self
    }

    /// Validates everything that can be checked without an engine.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`](crate::ErrorKind::InvalidRequest), with a message that names the invalid part.
    pub fn build(self) -> Result<Request, Error> {
        let Self {
            container,
            mut spec,
            stdin,
            timeout,
            kill_after,
        } = self;
        spec.container = ContainerName::parse(&container)?;
        check_program(spec.command.first())?;
        for (index, argument) in spec.command.iter().enumerate() {
            check_string(argument, || match index {
                0 => "the command's name".to_owned(),
                _ => format!("argument {index} of the command"),
            })?;
        }
        for entry in &spec.env {
            let name = entry.split_once('=').map_or(entry.as_str(), |(name, _)| name);
            if name.is_empty() {
                return Err(Error::invalid(
                    "an environment variable has no name: write it as NAME=value",
                ));
            }
            check_string(entry, || format!("the environment variable `{}`", name.escape_debug()))?;
        }
        let total: usize = spec
            .command
            .iter()
            .chain(&spec.env)
            .map(|string| string.len() + 1)
            .sum();
        if total > TOTAL_LIMIT {
            return Err(Error::invalid(format!(
                "the command and its environment are {total} bytes, and the engine accepts at most {TOTAL_LIMIT}"
            ))
            .with_remedies([Remedy::UseStdin]));
        }
        if let Some(workdir) = &spec.workdir {
            check_string(workdir, || "the working directory".to_owned())?;
            if !workdir.starts_with('/') {
                return Err(Error::invalid(format!(
                    "the working directory `{workdir}` is relative: give an absolute path in the container"
                )));
            }
        }
        if let Some(user) = &spec.user {
            check_string(user, || "the user".to_owned())?;
        }
        for group in &spec.groups {
            check_group(group)?;
        }
        if spec.is_detached && timeout.is_some() {
            return Err(Error::invalid(
                "a detached command can't have a timeout: omit one of the two",
            ));
        }
        Ok(Request {
            spec,
            stdin,
            timeout,
            kill_after,
        })
    }
}

fn check_program(program: Option<&String>) -> Result<(), Error> {
    let Some(program) = program else {
        return Err(Error::invalid("there is no command to run"));
    };
    if program.is_empty() {
        return Err(Error::invalid("the command is empty: give the name of a program"));
    }
    if program.starts_with('-') {
        return Err(
            Error::invalid(format!("the command `{}` begins with `-`", program.escape_debug()))
                .with_remedies([Remedy::NameProgram]),
        );
    }
    Ok(())
}

fn check_string(string: &str, name: impl Fn() -> String) -> Result<(), Error> {
    if string.contains('\0') {
        return Err(Error::invalid(format!(
            "{} contains a NUL byte, which can't be passed to a program",
            name()
        )));
    }
    if string.len() >= STRING_LIMIT {
        return Err(Error::invalid(format!(
            "{} is {} bytes, and Linux accepts fewer than {STRING_LIMIT}",
            name(),
            string.len()
        ))
        .with_remedies([Remedy::UseStdin]));
    }
    Ok(())
}

fn check_group(group: &str) -> Result<(), Error> {
    // The helper takes the groups as one comma-separated list.
    if group.is_empty() || group.starts_with('-') || group.contains([',', '\0']) || group.len() >= 256 {
        return Err(Error::invalid(format!(
            "the group `{}` can't be added: give a group's name or number",
            group.escape_debug()
        )));
    }
    Ok(())
}

/// A container's name or id that matches the engines' grammar, so that it can't alter the path of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ContainerName(String);

impl ContainerName {
    pub(crate) fn parse(name: &str) -> Result<Self, Error> {
        if name.is_empty() {
            return Err(Error::invalid("the container's name is empty: give a name or an id")
                .with_docker_text("invalid container name or ID: value is empty"));
        }
        // Engines list names with a leading slash.
        let bare = name.strip_prefix('/').unwrap_or(name);
        let is_name = bare.len() <= 255
            && bare.starts_with(|first: char| first.is_ascii_alphanumeric())
            && bare
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
        if !is_name {
            let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
            return Err(Error::invalid(format!(
                "invalid container name or id `{shown}`: use letters, digits, `_`, `.` and `-`, starting with a \
                 letter or digit"
            )));
        }
        Ok(Self(bare.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[track_caller]
    fn refused(builder: RequestBuilder, words: &str) {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert!(error.to_string().contains(words), "{error}");
    }

    fn run(command: &[&str]) -> RequestBuilder {
        Request::new("web", command.iter().copied())
    }

    #[test]
    fn invalid_container_names_are_refused() {
        for name in [
            "x/../../images/prune?a=",
            "victim/kill?signal=KILL#",
            "..",
            "a b",
            "a%2fb",
            "-web",
            "_web",
            "wéb",
            "a\0b",
            "//web",
            "/",
            &"a".repeat(256),
        ] {
            refused(Request::new(name, ["true"]), "invalid container name or id");
        }
        refused(Request::new("", ["true"]), "the container's name is empty");
    }

    #[test]
    fn valid_container_names_are_accepted() {
        for (name, taken) in [("web", "web"), ("/web", "web"), ("a", "a"), ("0_w.e-b", "0_w.e-b")] {
            assert_eq!(
                Request::new(name, ["true"]).build().unwrap().spec.container.as_str(),
                taken
            );
        }
    }

    #[test]
    fn invalid_commands_are_refused() {
        refused(run(&[]), "there is no command");
        refused(run(&[""]), "the command is empty");
        refused(run(&["-it", "sh"]), "Begin the command with a program");
        refused(run(&["echo", "a\0b"]), "argument 1 of the command contains a NUL byte");
        refused(run(&["a\0b"]), "the command's name contains a NUL byte");
    }

    #[test]
    fn oversized_arguments_and_environments_are_refused() {
        let longest = "x".repeat(STRING_LIMIT - 1);
        assert!(run(&["echo", &longest]).build().is_ok());
        refused(
            run(&["echo", &"x".repeat(STRING_LIMIT)]),
            "argument 1 of the command is 131072 bytes",
        );
        refused(
            run(&["true"]).env(format!("BIG={}", "x".repeat(STRING_LIMIT))),
            "the environment variable `BIG` is 131076 bytes",
        );
        refused(
            run(&["true"]).envs((0..33).map(|n| format!("N{n}={}", "x".repeat(STRING_LIMIT - 9)))),
            "the engine accepts at most 4194304",
        );
    }

    #[test]
    fn invalid_options_are_refused() {
        refused(run(&["true"]).env("=value"), "has no name");
        refused(run(&["true"]).env(""), "has no name");
        refused(
            run(&["true"]).env("A=\0"),
            "the environment variable `A` contains a NUL byte",
        );
        refused(run(&["true"]).workdir("srv"), "is relative");
        refused(
            run(&["true"]).workdir("/a\0"),
            "the working directory contains a NUL byte",
        );
        refused(run(&["true"]).user("a\0"), "the user contains a NUL byte");
        refused(run(&["true"]).groups(["a,b".to_owned()]), "can't be added");
        let request = run(&["true"]).workdir("").user("").build().unwrap();
        assert_eq!((request.spec.workdir, request.spec.user), (None, None));
    }

    #[test]
    fn nested_command_has_half_the_grace_period() {
        for (dexec_id, grace) in [
            (None, 2000),
            (Some("0123456789abcdef-2000"), 1000),
            (Some("0123456789abcdef-600"), 300),
            (Some("0123456789abcdef-90000"), 2000),
            (Some("0123456789abcdef"), 2000),
            (Some("0123456789abcdef-x"), 2000),
            (Some(""), 2000),
        ] {
            assert_eq!(Request::default_kill_after(dexec_id).as_millis(), grace, "{dexec_id:?}");
        }
    }

    #[test]
    fn environment_values_are_not_shown() {
        let request = run(&["true"]).env("TOKEN=hunter2").build().unwrap();
        assert!(!format!("{request:?}").contains("hunter2"));
        let error = run(&["true"]).env("TOKEN=hunter2\0").build().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
