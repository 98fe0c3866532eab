//! Recognizes the messages of the container runtimes (runc, crun) about a command that could not start.

use crate::error::{Error, ErrorKind, Remedy, sanitize_line};

/// Returns the kind of a failed start, based on the runtime's message.
pub(super) fn start_failure_kind(text: &str) -> ErrorKind {
    let lower = text.to_lowercase();
    let says = |words: &str| lower.contains(words);
    if says("unable to find user")
        || says("unable to find group")
        || says("no matching entries in")
        || says("uids and gids must be in range")
    {
        ErrorKind::UserNotFound
    } else if says("chdir to") || says("cwd must be an absolute path") {
        ErrorKind::WorkdirNotFound
    } else if tells_container_end(&lower) {
        ErrorKind::ContainerNotRunning
    } else if says("exceed maximum message size") || says("exceeds maximum message size") || says("resourceexhausted") {
        ErrorKind::InvalidRequest
    } else if says("is a directory")
        || says("is not a regular file")
        || says("exists but it is not executable")
        || (says("permission denied") && says("exec: \""))
        || says("oci permission denied")
    {
        ErrorKind::CommandNotExecutable
    } else if says("executable file") && says("not found")
        || says("no such file or directory") && (says("exec: \"") || says("stat "))
        || says("attempted to invoke a command that was not found")
    {
        ErrorKind::CommandNotFound
    } else {
        ErrorKind::EngineError
    }
}

/// Returns whether this message, in lower case, says that the container has ended, which can happen between the
/// engine's check and the runtime's. Other messages may or may not have this cause: for these, the container's state
/// has to be queried.
pub(super) fn tells_container_end(words: &str) -> bool {
    [
        "is not running",
        "in a stopped state",
        "in a deleted state",
        "stopped container",
        "container that has stopped",
        "namespace path: lstat /proc/",
    ]
    .iter()
    .any(|phrase| words.contains(phrase))
        || names_a_task(words)
}

/// Returns whether the message contains `task ID not found`, as containerd writes it.
fn names_a_task(words: &str) -> bool {
    words.split("task ").skip(1).any(|rest| {
        let id = rest.split(' ').next().unwrap_or_default();
        let is_id = id.len() >= 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id && rest[id.len()..].starts_with(" not found")
    })
}

/// Adds what to do about the error; `text` is the engine's or the runtime's message.
pub(super) fn with_advice(error: Error, text: &str) -> Error {
    match error.kind() {
        ErrorKind::UserNotFound => error.with_remedies([Remedy::ChooseUser]),
        ErrorKind::WorkdirNotFound => error.with_remedies([Remedy::ChooseWorkdir]),
        ErrorKind::CommandNotExecutable => error.with_hint("Give a program: a file whose executable bit is set"),
        ErrorKind::ContainerNotRunning => error.with_hint("The container stopped in the meantime"),
        ErrorKind::InvalidRequest if text.contains("environment variable") => error.with_hint(
            "Podman can't remove a variable from a command's environment: give it as NAME=value, or omit it",
        ),
        _ => error,
    }
}

/// Returns the error for a command whose start failed with this message.
pub(crate) fn start_failure(command: &str, text: &str) -> Error {
    let kind = start_failure_kind(text);
    // If the command looks like a variable assignment, the value may be a secret.
    let shown_command = match assigned_name(command) {
        Some(name) => format!("{name}=…"),
        None => command.escape_debug().to_string(),
    };
    let cause = match kind {
        ErrorKind::CommandNotFound => format!("the command `{shown_command}` is not in the container"),
        ErrorKind::CommandNotExecutable => format!("`{shown_command}` exists in the container, but can't be executed"),
        ErrorKind::WorkdirNotFound => format!("the working directory {}", workdir_fault(text)),
        ErrorKind::UserNotFound => "the user or group is not known in the container".to_owned(),
        _ => format!(
            "the container's runtime could not start `{shown_command}`: {}",
            sanitize_line(text, 2000)
        ),
    };
    let error = Error::new(kind, cause);
    match kind {
        ErrorKind::CommandNotFound => with_shell_advice(error, command),
        _ => with_advice(error, text),
    }
}

fn workdir_fault(text: &str) -> &'static str {
    let lower = text.to_lowercase();
    if lower.contains("not a directory") {
        "is not a directory: it, or a part of its path, is a file in the container"
    } else if lower.contains("permission denied") {
        "is not accessible to the command's user"
    } else if lower.contains("too many levels of symbolic links") {
        "has too many levels of symbolic links"
    } else {
        "does not exist in the container"
    }
}

/// Returns the name of the variable that a shell would set for this word.
fn assigned_name(word: &str) -> Option<&str> {
    let (name, _) = word.split_once('=')?;
    let is_name = !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then_some(name)
}

/// Adds what to do if the command is not a program and looks like shell syntax.
fn with_shell_advice(error: Error, command: &str) -> Error {
    const SHELL_WORDS: &[&str] = &[
        ".", "alias", "bind", "builtin", "case", "declare", "do", "eval", "exec", "exit", "export", "for", "function",
        "if", "jobs", "let", "local", "popd", "pushd", "read", "readonly", "set", "shopt", "source", "trap", "type",
        "typeset", "ulimit", "umask", "unalias", "unset", "until", "wait", "while",
    ];
    const SHELL_CHARACTERS: &[char] = &[
        '$', '*', '?', ';', '|', '&', '<', '>', '`', '(', ')', '{', '}', '\'', '"', '\\', '#', '!', '[', ']',
    ];
    if assigned_name(command).is_some() {
        let error = error.with_hint(
            "NAME=value before a command sets a variable only in a shell, and the command runs without a shell",
        );
        return error.with_remedies([Remedy::SetVariable]);
    }
    if command == "cd" {
        let error = error.with_hint("It is a keyword or builtin of the shell, and the command runs without a shell");
        return error.with_remedies([Remedy::SetWorkdir]);
    }
    error.with_hint(if command.contains(char::is_whitespace) {
        "Give the program and each argument as separate words, or use a shell: sh -c '…'"
    } else if SHELL_WORDS.contains(&command) {
        "It is a keyword or builtin of the shell, and the command runs without a shell: use sh -c '…'"
    } else if command.starts_with('~') || command.contains(SHELL_CHARACTERS) {
        "The command runs without a shell, so nothing in it is expanded: give the program's exact name, or use a \
         shell: sh -c '…'"
    } else {
        ""
    })
}

/// Returns the error for a command that the kernel did not execute, if this message is the runtime's own: the runtime
/// writes it to the command's standard error and returns an exit code as if the command had ended.
///
/// Nothing identifies such a message reliably. The heuristic is: one line, in the runtime's wording, that names this
/// command.
pub(crate) fn execute_failure(command: &str, stderr: &str) -> Option<Error> {
    let line = stderr.trim_end_matches(['\r', '\n']);
    let executed = executed_by_crun(line).or_else(|| executed_by_runc(line));
    let (path, reason) = executed.or_else(|| Some((command, executed_by_crun_1(line)?)))?;
    let is_named = path == command || !command.contains('/') && path.rsplit('/').next() == Some(command);
    if !is_named || line.contains(['\n', '\r']) {
        return None;
    }
    let cause = match reason.to_lowercase().as_str() {
        "no such file or directory" => {
            "the interpreter that its first line (`#!`) names, or the loader that it is linked to, does not exist. In \
             a script, Windows line endings (CRLF) also cause this: remove them (sed -i 's/\\r$//')"
        }
        "exec format error" => {
            "it is neither a program for this machine's architecture nor a script whose first line names its \
             interpreter (`#!/bin/sh`)"
        }
        "permission denied" => {
            "this user can't execute it or the interpreter that its first line (`#!`) names, or its file system is \
             mounted noexec"
        }
        "text file busy" => "it is open for writing: close it first",
        "argument list too long" => "its arguments and environment are longer than the kernel allows",
        _ => reason,
    };
    Some(Error::new(
        ErrorKind::CommandNotExecutable,
        format!(
            "`{}` exists in the container, but can't be executed: {}",
            command.escape_debug(),
            sanitize_line(cause, 2000)
        ),
    ))
}

/// Parses `exec PATH: REASON`.
fn executed_by_runc(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("exec ")?.rsplit_once(": ")
}

/// Parses ``exec container process `PATH`: REASON``; newer versions omit `container process`.
fn executed_by_crun(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("exec ")?;
    let rest = rest.strip_prefix("container process ").unwrap_or(rest);
    rest.strip_prefix('`')?.rsplit_once("`: ")
}

/// Parses `exec: REASON`, with a reason of the C library: crun 1.8 does not name the program.
fn executed_by_crun_1(line: &str) -> Option<&str> {
    let reason = line.strip_prefix("exec: ")?;
    ["No such file or directory", "Exec format error", "Permission denied"]
        .contains(&reason)
        .then_some(reason)
}

/// Returns whether Podman's standard error is that of a failed start.
///
/// Podman reports nothing that shows it reliably. The heuristic is: the runtime's own wording and nothing else.
pub(crate) fn is_podman_start_failure(stderr: &str) -> bool {
    let mut lines = stderr.lines();
    lines.next().is_some_and(|first| {
        ["Error: runc: ", "Error: crun: "]
            .iter()
            .any(|start| first.starts_with(start))
    }) && lines.all(|line| line.starts_with("Error: "))
}

/// Returns whether Docker's standard output is that of a failed start. Used if the engine is unknown: a missing
/// process id proves a failed start only with Docker.
pub(crate) fn is_docker_start_failure(stdout: &str) -> bool {
    stdout.starts_with("OCI runtime exec failed: ") || start_failure_kind(stdout) == ErrorKind::UserNotFound
}

#[cfg(test)]
mod tests;
