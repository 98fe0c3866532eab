//! Added groups.

use serde_json::json;

use crate::dexec;
use test_support::api::{self, Container};
use test_support::{Run, assert_response};

const SHOW: &str = "echo $(id -u):$(id -g) $(id -G); env | grep -v -e ^_= -e ^HOSTNAME= -e ^DEXEC_ID= | sort";

fn shown(run: Run) -> (String, Vec<String>) {
    let response = run.args(["dexec-setpriv", "sh", "-c", SHOW]).response();
    assert_eq!(response["exitCode"], 0, "{response}");
    let text = response["stdout"].as_str().expect("stdout is there");
    let (id, env) = text.split_once('\n').expect("there are several lines");
    (id.to_owned(), env.lines().map(str::to_owned).collect())
}

fn group_list(id: &str) -> Vec<&str> {
    let mut groups: Vec<&str> = id.split(' ').skip(1).collect();
    groups.sort_unstable();
    groups
}

#[test]
fn added_groups_change_nothing_else() {
    for user in ["app", "1000:1000", "root", "4242", "1000:3000"] {
        let (plain_id, plain_env) = shown(dexec(["-u", user, "-e", "A=1"]));
        let added = ["-u", user, "-e", "A=1", "--group-add", "video", "--group-add", "5000"];
        let (id, env) = shown(dexec(added));
        assert_eq!(env, plain_env, "{user}");
        assert_eq!(id.split(' ').next(), plain_id.split(' ').next(), "{user}");
        let mut expected = group_list(&plain_id);
        expected.extend(["3000", "5000"]);
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(group_list(&id), expected, "{user}: {plain_id}");
    }
}

#[test]
fn added_groups_keep_streams_workdir_and_capabilities() {
    let run = dexec(["-i", "-u", "app", "-w", "/tmp", "--group-add", "5000", "dexec-setpriv"]);
    let response = run
        .args(["sh", "-c", "pwd; cat; echo e >&2; exit 9"])
        .stdin("in")
        .response();
    assert_response(
        &response,
        json!({ "exitCode": 9, "stdout": "/tmp\nin", "stderr": "e", "success": false }),
    );
    // An ordinary user gains no capabilities.
    let run = dexec([
        "-u",
        "app",
        "--group-add",
        "5000",
        "dexec-setpriv",
        "grep",
        "CapEff",
        "/proc/self/status",
    ]);
    assert_eq!(run.response()["stdout"], "CapEff:\t0000000000000000");
}

#[test]
fn failed_start_is_reported() {
    for (program, kind) in [
        ("nosuch", "commandNotFound"),
        ("/etc/not-executable", "commandNotExecutable"),
    ] {
        let response = dexec(["--group-add", "5000", "dexec-setpriv", program]).response();
        assert_eq!(response["errorKind"], kind, "{response}");
        assert!(matches!(response["exitCode"].as_i64(), Some(126 | 127)), "{response}");
    }
}

#[test]
fn groups_are_added_without_setpriv() {
    for user in ["app", "1000:1000", "root"] {
        let shown = |args: &[&str]| {
            let run = dexec(args).args(["-u", user, "-e", "A=1", "dexec-shell", "sh", "-c", SHOW]);
            let response = run.response();
            assert_eq!(response["exitCode"], 0, "{response}");
            let text = response["stdout"].as_str().expect("stdout is there").to_owned();
            let (id, env) = text.split_once('\n').expect("there are several lines");
            (id.to_owned(), env.to_owned())
        };
        let (plain_id, plain_env) = shown(&[]);
        let (id, env) = shown(&["--group-add", "video", "--group-add", "5000"]);
        assert_eq!(env, plain_env, "{user}");
        let mut expected = group_list(&plain_id);
        expected.extend(["3000", "5000"]);
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(group_list(&id), expected, "{user}: {plain_id}");
    }
    let run = dexec(["--group-add", "5000", "-u", "1000", "dexec-static"]);
    let response = run.args(["/bin/wait", "print", "/proc/self/status"]).response();
    let status = response["stdout"].as_str().expect("stdout is there");
    let line = |name: &str| status.lines().find(|line| line.starts_with(name));
    assert!(line("Groups:").is_some_and(|line| line.contains("5000")), "{status}");
    assert_eq!(line("Uid:"), Some("Uid:\t1000\t1000\t1000\t1000"));
    assert_eq!(line("CapEff:"), Some("CapEff:\t0000000000000000"));
}

#[test]
fn failed_start_is_reported_without_setpriv() {
    for (program, kind) in [
        ("nosuch", "commandNotFound"),
        ("/etc/not-executable", "commandNotExecutable"),
    ] {
        let response = dexec(["--group-add", "5000", "dexec-shell", program]).response();
        assert_eq!(response["errorKind"], kind, "{response}");
        assert!(matches!(response["exitCode"].as_i64(), Some(126 | 127)), "{response}");
    }
}

#[test]
fn nothing_runs_if_groups_cannot_be_added() {
    let readonly = json!({ "Cmd": ["sleep", "1000000"], "HostConfig": { "ReadonlyRootfs": true } });
    let readonly = Container::start_with("groups-readonly", readonly);
    let mut cases = vec![
        ("dexec-shell", "nosuch", "nosuch"),
        ("dexec-setpriv", "nosuch", "nosuch"),
        ("dexec-static", "nosuch", "nosuch"),
    ];
    if !api::is_podman() {
        cases.push((&readonly.name, "5000", "read-only"));
    }
    for (container, group, missing) in cases {
        let run = dexec(["--group-add", group, container, "/bin/wait", "echo", "never"]);
        let response = run.response();
        let fields = (&response["exitCode"], &response["errorKind"], &response["stdout"]);
        assert_eq!(
            fields,
            (&1.into(), &"unsupportedInContainer".into(), &"".into()),
            "{response}"
        );
        let message = response["message"].as_str().expect("there is a message");
        assert!(
            message.contains(missing) && message.contains("nothing was run"),
            "{container}: {message}"
        );
    }
}
