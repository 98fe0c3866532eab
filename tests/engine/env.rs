//! The command's environment.

use std::io::Write as _;

use serde_json::json;

use crate::dexec;
use test_support::api;
use test_support::assert_response;

fn env_file(contents: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
    file.write_all(contents.as_bytes()).expect("it can be written");
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().expect("it is UTF-8")
}

#[test]
fn variables_arrive_unchanged() {
    for (entry, name, value) in [
        ("K=V", "K", "V"),
        ("K=a b, c=d \"q\" $HOME", "K", "a b, c=d \"q\" $HOME"),
        ("K=two\nlines", "K", "two\nlines"),
        ("K=", "K", ""),
        ("K=ü€", "K", "ü€"),
    ] {
        let script = format!("printf '[%s]' \"${name}\"");
        let response = dexec(["-e", entry, "dexec-shell", "sh", "-c", &script]).response();
        assert_eq!(response["stdout"], format!("[{value}]"), "{entry}");
    }
    let response = dexec(["-e", "K=1", "-e", "K=2", "dexec-shell", "sh", "-c", "echo $K"]).response();
    assert_eq!(response["stdout"], "2");
}

#[test]
fn bare_name_takes_the_local_value() {
    let names = ["-e", "FROM_HERE", "-e", "EMPTY_HERE", "dexec-shell", "env"];
    let response = dexec(names).env("FROM_HERE", "yes").env("EMPTY_HERE", "").response();
    let stdout = response["stdout"].as_str().expect("stdout is there");
    assert!(stdout.lines().any(|line| line == "FROM_HERE=yes"), "{stdout}");
    assert!(stdout.lines().any(|line| line == "EMPTY_HERE="), "{stdout}");
}

#[test]
fn bare_name_that_is_not_set_locally_unsets_the_variable() {
    let run = dexec(["-e", "GREETING", "dexec-shell", "sh", "-c", "echo \"[$GREETING]\""]);
    let response = run.response();
    if api::is_podman() {
        assert_eq!(
            (response["exitCode"].as_i64(), &response["errorKind"]),
            (Some(1), &json!("invalidRequest"))
        );
        let message = response["message"].as_str().expect("there is a message");
        assert!(
            message.contains("\"GREETING\"") && message.contains("NAME=value"),
            "{message}"
        );
    } else {
        assert_response(
            &response,
            json!({ "exitCode": 0, "stdout": "[]", "stderr": "", "success": true }),
        );
    }
}

#[test]
fn options_override_files_and_later_files_override_earlier_ones() {
    let (one, two) = (
        env_file("A=1\nB=1\nC=1\n"),
        env_file("# a comment\nB=2\nC=2\nFROM_HERE\nUNSET_HERE\n"),
    );
    let script = "echo $A $B $C $FROM_HERE ${UNSET_HERE-unset}";
    let run = dexec([
        "-e",
        "C=3",
        "--env-file",
        path(&one),
        "--env-file",
        path(&two),
        "dexec-shell",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(run.env("FROM_HERE", "yes").response()["stdout"], "1 2 3 yes unset");
}

#[test]
fn env_file_can_be_stdin() {
    let run = dexec(["--env-file", "/dev/stdin", "dexec-shell", "sh", "-c", "echo $A"]);
    assert_eq!(run.stdin("A=piped\n").response()["stdout"], "piped");
}

#[test]
fn program_is_searched_in_the_given_path() {
    let response = dexec(["-e", "PATH=/nowhere", "dexec-shell", "ls"]).response();
    assert_eq!(response["errorKind"], "commandNotFound", "{response}");
}

#[test]
fn large_environments_arrive() {
    let entries: Vec<String> = (0..15).map(|n| format!("N{n}={}", "x".repeat(100_000))).collect();
    let flags = entries.iter().flat_map(|entry| ["-e", entry]);
    let run = dexec(flags).args(["dexec-shell", "sh", "-c", "echo ${#N0} ${#N14}"]);
    assert_eq!(run.response()["stdout"], "100000 100000");
}
