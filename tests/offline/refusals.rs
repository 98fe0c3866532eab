//! Bad input is refused before any request is made, with a clear error and no partial answer.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use serde_json::Value;

use crate::dexec;
use crate::fake::{Fake, Script};

/// Asserts that these arguments are refused with this text, and that nothing is sent.
#[track_caller]
fn refused(args: &[OsString], words: &str) -> Value {
    let fake = Fake::start(Script::default());
    let response = dexec(["-H", &fake.host]).args(args).response();
    assert_eq!(
        (&response["exitCode"], &response["errorKind"]),
        (&1.into(), &"invalidRequest".into()),
        "{response}"
    );
    assert_eq!(response["stdout"], "", "{response}");
    assert_ne!(response["stderr"], "", "{response}");
    let message = response["message"].as_str().expect("there is a message");
    assert!(message.contains(words), "{message}");
    assert_eq!(fake.connections(), 0, "{message}");
    let done = dexec(["--raw", "-H", &fake.host]).args(args).run();
    assert_eq!((done.code, done.stdout_text().as_str()), (1, ""));
    assert_eq!(
        done.stderr_text().trim_end(),
        response["stderr"].as_str().expect("stderr is there")
    );
    response
}

fn words(args: &[&str]) -> Vec<OsString> {
    args.iter().map(OsString::from).collect()
}

fn bytes(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

#[test]
fn names_that_are_other_requests_are_refused() {
    for name in [
        "x/../../images/prune?a=",
        "victim/kill?signal=KILL#",
        "..",
        ".",
        "a b",
        "a%2fb",
        "ä",
    ] {
        refused(&words(&[name, "true"]), "invalid container name or id");
    }
    let response = refused(&words(&["", "true"]), "the container's name is empty");
    assert_eq!(response["stderr"], "invalid container name or ID: value is empty");
}

#[test]
fn commands_that_cannot_be_meant_are_refused() {
    refused(&words(&["web", ""]), "the command is empty");
    refused(&words(&["web", "-it", "sh"]), "Options go before the container's name");
    refused(&words(&["web", "--", "-x"]), "Options go before the container's name");
}

#[test]
fn bytes_that_would_be_changed_are_refused() {
    let bad = || bytes(b"a\xffb");
    let web = || OsString::from("web");
    refused(&[web(), "echo".into(), bad()], "argument 1 of the command is not UTF-8");
    refused(&[web(), bad()], "the command's name is not UTF-8");
    refused(&[bad(), "true".into()], "the container's name is not UTF-8");
    refused(
        &["-e".into(), bytes(b"A=\xff"), web(), "env".into()],
        "a value of --env is not UTF-8",
    );
    refused(
        &["-w".into(), bytes(b"/\xff"), web(), "pwd".into()],
        "the working directory is not UTF-8",
    );
    refused(&["-u".into(), bad(), web(), "id".into()], "the user is not UTF-8");
    refused(
        &["--group-add".into(), bad(), web(), "id".into()],
        "a value of --group-add is not UTF-8",
    );
}

#[test]
fn sizes_that_no_engine_takes_are_refused() {
    // The kernel does not allow a longer argument, and a line of an env file has at most 65,535 bytes, so only users
    // of the library can exceed the limit of 128 KiB. The limit of the total size can be exceeded with env files.
    let longest = "x".repeat(128 * 1024 - 1);
    let fake = Fake::start(Script::default());
    assert_eq!(
        dexec(["-H", &fake.host, "web", "echo", &longest]).response()["stdout"],
        "x"
    );

    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("env");
    let lines = (0..70)
        .map(|number| format!("N{number}={}", "x".repeat(65_000)))
        .collect::<Vec<_>>()
        .join("\n");
    std::fs::write(&file, lines).expect("it can be written");
    refused(
        &["--env-file".into(), file.into(), "web".into(), "true".into()],
        "the engine accepts at most 4194304",
    );
}

#[test]
fn bad_env_files_are_told_with_file_and_line() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let file = directory.path().join("env");
    let name = file.to_str().expect("it is UTF-8").to_owned();
    for (contents, line, text) in [
        ("A=1\nexport B=2\n", 2, "variable 'export B' contains whitespaces"),
        ("=x\n", 1, "no variable name on line 1"),
    ] {
        std::fs::write(&file, contents).expect("it can be written");
        let response = refused(
            &words(&["--env-file", &name, "web", "true"]),
            &format!("{name}:{line}: "),
        );
        assert_eq!(response["stderr"], format!("invalid env file ({name}): {text}"));
    }
    let response = refused(&words(&["--env-file", "/nope", "web", "true"]), "can't be opened");
    assert_eq!(response["stderr"], "open /nope: no such file or directory");
    // An env file may contain a NUL byte, but an environment variable can't.
    std::fs::write(&file, "A=\0\n").expect("it can be written");
    refused(&words(&["--env-file", &name, "web", "true"]), "`A` contains a NUL byte");
}

#[test]
fn options_that_cannot_be_meant_are_refused() {
    refused(&words(&["-w", "srv", "web", "pwd"]), "is relative");
    refused(&words(&["--group-add", "a,b", "web", "id"]), "can't be added");
    refused(
        &words(&["--detach-keys", "foo", "web", "sh"]),
        "invalid detach keys (foo)",
    );
}

#[test]
fn an_address_that_is_none_is_refused() {
    for host in [
        "foo://x",
        "ssh://",
        "ssh://-oProxyCommand=x",
        "tcp://box:x",
        "npipe://x",
    ] {
        let response = dexec(["-H", host, "web", "true"]).response();
        assert_eq!(
            (&response["exitCode"], &response["errorKind"]),
            (&1.into(), &"invalidRequest".into()),
            "{host}"
        );
        assert!(
            response["message"].as_str().expect("there is a message").contains(host),
            "{response}"
        );
        let response = dexec(["web", "true"]).env("DOCKER_HOST", host).response();
        assert_eq!(response["errorKind"], "invalidRequest", "{host}");
    }
}

#[test]
fn an_engine_that_is_not_there_is_told() {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let missing = format!("unix://{}/socket", directory.path().display());
    // A socket file that no process listens on.
    let stale = directory.path().join("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("it can be listened to"));
    let stale = format!("unix://{}", stale.display());
    for (host, words) in [
        (
            missing.as_str(),
            "the socket does not exist. Start the engine, or set its address with -H",
        ),
        (
            &stale,
            "nothing listens at this address. Start the engine, or set its address with -H",
        ),
        ("tcp://127.0.0.1:1", "nothing listens at this address"),
        ("tcp://nowhere.invalid:1", "can't resolve the host `nowhere.invalid`"),
    ] {
        let run = dexec(["-H", host, "web", "true"]).env("DEXEC_ALLOW_PLAIN_TCP", "1");
        let response = run.response();
        assert_eq!(
            (&response["exitCode"], &response["errorKind"]),
            (&1.into(), &"engineUnreachable".into())
        );
        let message = response["message"].as_str().expect("there is a message");
        assert!(message.contains(words) && message.contains(host), "{message}");
    }
}

/// docker treats an empty path as unset.
#[test]
fn paths_may_be_empty() {
    let home = tempfile::tempdir().expect("a directory can be made");
    let options = [
        "--tlsverify",
        "--tlscacert",
        "",
        "--tlscert",
        "",
        "--tlskey=",
        "--config",
        "",
    ];
    let run = dexec(options)
        .args(["-H", "tcp://127.0.0.1:1", "web", "true"])
        .env("HOME", home.path());
    assert_eq!(run.response()["errorKind"], "engineUnreachable");
    let done = dexec(["--raw", "--env-file", "", "web", "true"]).run();
    assert_eq!(
        (done.code, done.stderr_text().as_str()),
        (1, "open : no such file or directory\n")
    );
}

#[test]
fn help_and_wrong_options_need_no_engine() {
    let done = dexec(["--help"]).run();
    assert_eq!((done.code, done.stderr_text().as_str()), (0, ""));
    assert!(
        done.stdout_text()
            .contains("dexec [OPTIONS] CONTAINER COMMAND [ARG...]")
    );
    let done = dexec(["--version"]).run();
    assert_eq!(done.stdout_text(), format!("dexec {}\n", env!("CARGO_PKG_VERSION")));
    let done = dexec(["--nope", "web", "true"]).run();
    assert_eq!((done.code, done.stdout_text().as_str()), (125, ""));
    let done = dexec(["web"]).run();
    assert_eq!((done.code, done.stdout_text().as_str()), (1, ""));
}
