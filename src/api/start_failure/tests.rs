use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn error_messages_of_every_runtime_have_the_same_kind() {
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
            "cannot exec in a stopped state: unknown".to_owned(),
            ErrorKind::ContainerNotRunning,
        ),
        (
            "cannot exec in a deleted state: unknown".to_owned(),
            ErrorKind::ContainerNotRunning,
        ),
        (
            "OCI runtime exec failed: exec failed: cannot exec in a stopped container: unknown".to_owned(),
            ErrorKind::ContainerNotRunning,
        ),
        (
            "OCI runtime exec failed: exec failed: cannot exec a container that has stopped: unknown".to_owned(),
            ErrorKind::ContainerNotRunning,
        ),
        (
            "task 0123456789ab not found: not found".to_owned(),
            ErrorKind::ContainerNotRunning,
        ),
        (
            format!("{oci}exec: \"task build\": executable file not found in $PATH: unknown"),
            ErrorKind::CommandNotFound,
        ),
        // The container's state has to be queried.
        (
            format!("{oci}error executing setns process: exit status 1: unknown"),
            ErrorKind::EngineError,
        ),
        (
            format!("{oci}read init-p: connection reset by peer: unknown"),
            ErrorKind::EngineError,
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
fn only_podman_start_errors_are_recognized() {
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

#[test]
fn program_that_the_kernel_refuses_is_reported() {
    for (command, stderr, words) in [
        ("/srv/a", "exec /srv/a: no such file or directory\n", "CRLF"),
        ("a", "exec /srv/a: no such file or directory\n", "interpreter"),
        ("./a", "exec ./a: exec format error\r\n", "architecture"),
        ("/srv/a", "exec /srv/a: permission denied", "noexec"),
        (
            "/srv/a",
            "exec container process `/srv/a`: Exec format error\n",
            "architecture",
        ),
        ("/srv/a", "exec `/srv/a`: No such file or directory", "CRLF"),
        ("/srv/a", "exec: No such file or directory\n", "CRLF"),
        ("/srv/a", "exec /srv/a: invalid argument\n", "invalid argument"),
    ] {
        let error = execute_failure(command, stderr).map(|error| (error.kind(), error.to_string()));
        let is_told = matches!(&error, Some((ErrorKind::CommandNotExecutable, message)) if message.contains(words));
        assert!(is_told, "{error:?}");
    }
    for stderr in [
        "",
        "exec /srv/b: exec format error\n",
        "exec /srv/a: exec format error\nmore\n",
        "more\nexec /srv/a: exec format error\n",
        "sh: exec: line 1: /srv/a: not found\n",
        "exec: my own words\n",
    ] {
        assert!(execute_failure("/srv/a", stderr).is_none(), "{stderr:?}");
    }
}

#[test]
fn shell_syntax_in_the_command_is_reported() {
    let text = "exec: \"x\": executable file not found in $PATH";
    for (command, words) in [
        ("FOO=1", "`RequestBuilder::env`"),
        ("cd", "`RequestBuilder::workdir`"),
        ("~/x", "sh -c"),
        ("$HOME/x", "sh -c"),
        ("export", "keyword or builtin"),
        ("source", "keyword or builtin"),
        ("alias", "keyword or builtin"),
        ("ls;pwd", "sh -c"),
        ("ls -la", "separate words"),
    ] {
        let error = start_failure(command, text).to_string();
        assert!(error.contains(words), "{error}");
    }
    let error = start_failure("TOKEN=hunter2", text).to_string();
    assert!(error.contains("TOKEN=…") && !error.contains("hunter2"), "{error}");
    for command in ["nosuch", "/bin/nosuch", "a-b.c", "1=2", "g++"] {
        let error = start_failure(command, text).to_string();
        assert!(!error.contains("shell"), "{error}");
    }
}

#[test]
fn workdir_error_gives_the_reason() {
    for (reason, words) in [
        ("no such file or directory", "does not exist"),
        ("not a directory", "is not a directory"),
        ("Permission denied", "is not accessible"),
    ] {
        let error = start_failure(
            "true",
            &format!("chdir to cwd (\"/a\") set in config.json failed: {reason}"),
        );
        assert_eq!(error.kind(), ErrorKind::WorkdirNotFound);
        assert!(error.to_string().contains(words), "{error}");
    }
}
