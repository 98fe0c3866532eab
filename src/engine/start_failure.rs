//! The words of the container runtimes (runc, crun) for a command that could not start.

use crate::error::{Error, ErrorKind, shown};

/// The kind of a failed start, from the runtime's words.
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
    } else if says("is not running") || says("namespace path: lstat /proc/") {
        // The container ended between the engine's look and the runtime's.
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

/// What to do about it.
pub(super) fn hint(kind: ErrorKind, text: &str) -> &'static str {
    match kind {
        ErrorKind::UserNotFound => {
            "Give a user that the container's /etc/passwd has, or a number (-u uid:gid, each below 2147483648)"
        }
        ErrorKind::WorkdirNotFound => "Give a directory that exists in the container (-w)",
        ErrorKind::CommandNotExecutable => "Give a program: a file with an executable bit",
        ErrorKind::ContainerNotRunning => "The container ended meanwhile",
        ErrorKind::InvalidRequest if text.contains("environment variable") => {
            "Podman can't take a variable away from a command: give it as NAME=value, or not at all"
        }
        _ => "",
    }
}

/// The error for a command whose start failed with these words.
pub(crate) fn start_failure(command: &str, text: &str) -> Error {
    let kind = start_failure_kind(text);
    let command = command.escape_debug();
    let cause = match kind {
        ErrorKind::CommandNotFound if command.to_string().contains(' ') => format!(
            "the command `{command}` is not in the container: give the program and each argument as words of their \
             own, or a shell: sh -c '…'"
        ),
        ErrorKind::CommandNotFound => format!("the command `{command}` is not in the container"),
        ErrorKind::CommandNotExecutable => format!("`{command}` is in the container and can't be executed"),
        ErrorKind::WorkdirNotFound => "the working directory does not exist in the container".to_owned(),
        ErrorKind::UserNotFound => "the user or group is not known in the container".to_owned(),
        _ => format!(
            "the container's runtime could not start `{command}`: {}",
            shown(text, 2000)
        ),
    };
    Error::new(kind, cause).with_hint(hint(kind, text))
}

/// Whether Podman's standard error is that of a failed start.
///
/// Podman gives no sure sign. So this is a best judgement: the runtime's own wording and nothing else.
pub(crate) fn is_podman_start_failure(stderr: &str) -> bool {
    let mut lines = stderr.lines();
    lines.next().is_some_and(|first| {
        ["Error: runc: ", "Error: crun: "]
            .iter()
            .any(|start| first.starts_with(start))
    }) && lines.all(|line| line.starts_with("Error: "))
}

/// Whether Docker's standard output is that of a failed start, for want of its sure sign.
pub(crate) fn is_docker_start_failure(stdout: &str) -> bool {
    stdout.starts_with("OCI runtime exec failed: ") || start_failure_kind(stdout) == ErrorKind::UserNotFound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_every_runtime_mean_the_same() {
        let oci = "OCI runtime exec failed: exec failed: unable to start container process: ";
        for (words, kind) in [
            (
                format!("{oci}exec: \"nosuchcmd\": executable file not found in $PATH: unknown\r\n"),
                ErrorKind::CommandNotFound,
            ),
            (
                format!("{oci}exec: \"/bin/nosuch\": stat /bin/nosuch: no such file or directory: unknown"),
                ErrorKind::CommandNotFound,
            ),
            (
                "Error: crun: executable file `nosuchcmd` not found in $PATH: No such file or directory: OCI runtime \
                 attempted to invoke a command that was not found"
                    .to_owned(),
                ErrorKind::CommandNotFound,
            ),
            (
                format!("{oci}exec: \"/etc/passwd\": permission denied: unknown"),
                ErrorKind::CommandNotExecutable,
            ),
            (
                format!("{oci}exec: \"/etc\": is a directory: unknown"),
                ErrorKind::CommandNotExecutable,
            ),
            (
                "Error: crun: the path `/etc/passwd` exists but it is not executable: Operation not permitted: OCI \
                 permission denied"
                    .to_owned(),
                ErrorKind::CommandNotExecutable,
            ),
            (
                "Error: crun: the path `/etc` is not a regular file: OCI runtime error".to_owned(),
                ErrorKind::CommandNotExecutable,
            ),
            (
                format!("{oci}chdir to cwd (\"/nope\") set in config.json failed: no such file or directory: unknown"),
                ErrorKind::WorkdirNotFound,
            ),
            (
                "Error: crun: chdir to `/nope`: No such file or directory: OCI runtime attempted to invoke a command \
                 that was not found"
                    .to_owned(),
                ErrorKind::WorkdirNotFound,
            ),
            (
                "unable to find user nosuch: no matching entries in passwd file".to_owned(),
                ErrorKind::UserNotFound,
            ),
            (
                "uids and gids must be in range 0-2147483647".to_owned(),
                ErrorKind::UserNotFound,
            ),
            (
                "Error: runc: exec failed: unable to create new parent process: namespace path: lstat \
                 /proc/27910/ns/ipc: no such file or directory: OCI runtime attempted to invoke a command that was \
                 not found"
                    .to_owned(),
                ErrorKind::ContainerNotRunning,
            ),
            (
                "message length 10002135 exceed maximum message size of 4194304".to_owned(),
                ErrorKind::InvalidRequest,
            ),
            (
                format!("{oci}unable to apply caps: operation not permitted: unknown"),
                ErrorKind::EngineError,
            ),
        ] {
            assert_eq!(start_failure_kind(&words), kind, "{words}");
        }
    }

    #[test]
    fn podman_s_failed_start_is_its_own_words_alone() {
        assert!(is_podman_start_failure("Error: crun: chdir to `/nope`: No such file\n"));
        assert!(is_podman_start_failure(
            "Error: runc: exec failed\nError: read unixpacket @->/proc/self/fd/14/attach: read: connection reset\n"
        ));
        for other in [
            "",
            "Error: my own\n",
            "sh: nosuch: not found\n",
            "Error: crun: x\nmine\n",
        ] {
            assert!(!is_podman_start_failure(other), "{other:?}");
        }
    }
}
