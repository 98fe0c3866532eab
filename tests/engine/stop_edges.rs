//! Stops where the command's processes are hard to identify, inspect or signal; and processes that must not be
//! signalled.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::dexec;
use test_support::api::{self, Container};
use test_support::{code, program, signal};

fn own(purpose: &str, settings: Value) -> Container {
    let sleeper = json!({ "Cmd": ["sleep", "1000000"] });
    Container::start_with(purpose, api::merged(sleeper, settings))
}

/// The root directory of a running container, as seen from this machine.
fn root_of(container: &Container) -> PathBuf {
    let pid = &api::get(&format!("/containers/{}/json", container.name))["State"]["Pid"];
    PathBuf::from(format!("/proc/{pid}/root"))
}

/// The processes of the container, except its first one.
fn left_in(container: &Container) -> Vec<String> {
    let mut left = container.processes();
    left.retain(|line| !line.ends_with("sleep 1000000"));
    left
}

/// Asserts that the command is stopped at its timeout, and that none of its processes is left.
#[track_caller]
fn assert_stopped(container: &Container, options: &[&str], command: &[&str]) -> Value {
    let run = dexec(["--timeout=1.5"])
        .args(options)
        .args([container.name.as_str()])
        .args(command);
    let response = run.response();
    assert_eq!(
        (&response["exitCode"], &response["timedOut"], &response["orphaned"]),
        (&json!(124), &json!(true), &Value::Null),
        "{command:?}: {response}"
    );
    assert!(response["signal"].is_string(), "{command:?}: {response}");
    assert_eq!(left_in(container), [""; 0], "{command:?}");
    response
}

/// A copy of the `wait` program with this file mode.
fn copy_of_wait(container: &Container, name: &str, mode: u32) -> PathBuf {
    let root = root_of(container);
    let copy = root.join("bin").join(name);
    fs::copy(root.join("bin/wait"), &copy).expect("it can be copied");
    fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).expect("its mode can be set");
    copy
}

fn give_capability(program: &Path) {
    // cap_net_raw+ep, in the encoding of setcap.
    let script = "import os, sys; os.setxattr(sys.argv[1], 'security.capability', \
                  bytes.fromhex('0100000200200000' + '00000000' * 3))";
    let status = Command::new("python3").args(["-c", script]).arg(program).status();
    assert!(status.expect("python3 can be run").success());
}

#[test]
fn stop_ends_a_command_that_clears_its_environment() {
    let container = own("edge-hidden", json!({}));
    assert_stopped(&container, &[], &["env", "-i", "sleep", "601"]);
    assert_stopped(&container, &[], &["su", "-", "app", "-c", "sleep 602; true"]);
    assert_stopped(
        &container,
        &["-u", "app"],
        &["env", "-i", "sh", "-c", "sleep 603 & sleep 604"],
    );
    assert_stopped(
        &container,
        &[],
        &["env", "-i", "sh", "-c", "setsid sleep 605 & sleep 606"],
    );
}

#[test]
fn stop_ends_a_program_that_cannot_be_inspected() {
    let settings = json!({ "HostConfig": { "CapAdd": ["NET_RAW"] } });
    let container = own("edge-unreadable", settings);
    for (name, mode) in [("wait-suid", 0o4755), ("wait-711", 0o711)] {
        copy_of_wait(&container, name, mode);
        assert_stopped(&container, &["-u", "app"], &[&format!("/bin/{name}"), "hold"]);
    }
    give_capability(&copy_of_wait(&container, "wait-cap", 0o755));
    assert_stopped(&container, &["-u", "app"], &["/bin/wait-cap", "hold"]);
}

#[test]
fn stop_ends_a_root_command_in_a_container_of_another_user() {
    let container = own("edge-root", json!({ "User": "app" }));
    assert_stopped(&container, &["-u", "root"], &["sleep", "606"]);
    assert_stopped(&container, &["-u", "root"], &["env", "-i", "sleep", "607"]);
}

#[test]
fn stop_works_without_capabilities() {
    for (purpose, dropped) in [("edge-cap-kill", "KILL"), ("edge-cap-all", "ALL")] {
        let settings = json!({ "User": "app", "HostConfig": { "CapDrop": [dropped] } });
        let container = own(purpose, settings);
        assert_stopped(&container, &[], &["sleep", "608"]);
        assert_stopped(&container, &[], &["env", "-i", "sleep", "609"]);
        let stubborn = "trap '' TERM; (setsid sleep 611 &); while :; do sleep 610; done";
        let response = assert_stopped(&container, &["--kill-after=0.3"], &["sh", "-c", stubborn]);
        assert_eq!(response["signal"], "SIGKILL", "{response}");
        assert_stopped(&container, &["-u", "4242"], &["sleep", "612"]);
    }
}

#[test]
fn stop_works_if_the_working_directory_is_missing() {
    let container = own("edge-workdir", json!({ "WorkingDir": "/gone" }));
    fs::remove_dir(root_of(&container).join("gone")).expect("it is there");
    assert_stopped(&container, &["-w", "/"], &["sleep", "613"]);
    let response = dexec(["-w", "/", "--group-add", "5000", &container.name, "id", "-G"]).response();
    assert!(
        response["stdout"].as_str().is_some_and(|ids| ids.contains("5000")),
        "{response}"
    );
}

/// The engine can still start dexec's exec when the container has reached its process limit, but it can't fork either.
#[test]
fn stop_ends_a_command_that_uses_every_process_id() {
    for (purpose, is_read_only) in [("edge-pids", false), ("edge-pids-readonly", true)] {
        let settings = json!({ "HostConfig": { "PidsLimit": 24, "ReadonlyRootfs": is_read_only } });
        let container = own(purpose, settings);
        let response = assert_stopped(&container, &[], &["/bin/wait", "fill"]);
        assert_eq!(response["stdout"], "ready", "{response}");
    }
}

/// The search path, the loader's variables and the image's programs never get more privileges than the caller has.
#[test]
fn programs_of_the_caller_are_never_run_as_root() {
    let settings = json!({ "User": "app", "Env": ["PATH=/home/app/bin:/bin"] });
    let container = own("edge-path", settings);
    let bin = root_of(&container).join("home/app/bin");
    fs::create_dir(&bin).expect("it can be made");
    for name in ["sh", "grep", "tr", "setpriv", "env"] {
        let program = bin.join(name);
        fs::write(&program, "#!/bin/busybox sh\n/bin/busybox id -u >>/tmp/ran\nexit 1\n").expect("it can be written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode can be set");
    }
    assert_stopped(&container, &[], &["/bin/sleep", "615"]);
    let env = ["-e", "PATH=/home/app/bin", "-e", "LD_PRELOAD=/home/app/x.so"];
    let response = dexec(env)
        .args(["--group-add", "5000", &container.name, "/bin/id", "-G"])
        .response();
    assert!(
        response["stdout"].as_str().is_some_and(|ids| ids.contains("5000")),
        "{response}"
    );
    let ran = root_of(&container).join("tmp/ran");
    assert!(!ran.exists(), "{:?}", fs::read_to_string(ran));
}

/// A daemon runs a job with the environment of the command that submitted it, as `at` and `batch` do.
#[test]
fn stop_leaves_a_daemon_that_runs_a_job_of_the_command() {
    let daemon = "trap '' CHLD; cd /tmp; setsid sh -c 'while :; do for f in *.job; do [ ! -f \"$f\" ] || { mv \"$f\" \
                  \"$f.done\"; sh \"$f.done\" & sleep 2003 & }; done; sleep 0.1; done' & exec sleep 1000000";
    let container = own("edge-daemon", json!({ "Cmd": ["sh", "-c", daemon] }));
    let script = "{ export -p; echo 'exec sleep 616'; } >/tmp/x.job; sleep 617";
    let response = dexec(["--timeout=3", &container.name, "sh", "-c", script]).response();
    assert_eq!(
        (&response["timedOut"], &response["orphaned"]),
        (&json!(true), &Value::Null),
        "{response}"
    );
    let left = left_in(&container);
    let has = |words: &str| left.iter().any(|line| line.contains(words));
    assert!(has("for f in *.job") && has("sleep 2003"), "{left:?}");
    assert!(!has("sleep 616") && !has("sleep 617"), "{left:?}");
}

/// Waits until the command prints `ready`.
fn ready(child: &mut Child) -> BufReader<std::process::ChildStdout> {
    let mut stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("it can be read");
    assert!(line.contains("ready"), "{line}");
    stdout
}

#[test]
fn stop_finds_a_renamed_container_by_id() {
    let container = own("edge-renamed", json!({}));
    let script = "echo ready; sleep 618";
    let mut child = dexec(["--output=events", &container.name, "sh", "-c", script]).spawn();
    let stdout = ready(&mut child);
    api::post(&format!(
        "/containers/{}/rename?name=dexec-own-edge-renamed-2",
        container.name
    ));
    let renamed = Container {
        name: "dexec-own-edge-renamed-2".to_owned(),
    };
    let namesake = own("edge-renamed", json!({}));
    let bystander = dexec([&namesake.name, "sleep", "619"]).spawn();
    while left_in(&namesake).is_empty() {
        thread::sleep(Duration::from_millis(20));
    }
    signal(&child, "TERM");
    let last = stdout
        .lines()
        .last()
        .expect("there is a response")
        .expect("it can be read");
    let response: Value = serde_json::from_str(&last).expect("it is a response");
    assert_eq!(
        (&response["signal"], &response["orphaned"]),
        (&json!("SIGTERM"), &Value::Null),
        "{response}"
    );
    assert_eq!(code(child.wait().expect("it ends")), 143);
    assert_eq!(left_in(&renamed), [""; 0]);
    assert_eq!(left_in(&namesake).len(), 1);
    signal(&bystander, "TERM");
    drop(bystander.wait_with_output());
}

#[test]
fn renamed_container_is_not_reported_as_removed() {
    let container = own("edge-renamed-killed", json!({}));
    let script = "echo ready; while [ ! -e /tmp/go ]; do sleep 0.05; done; kill -9 $$";
    let mut child = dexec(["--output=events", &container.name, "sh", "-c", script]).spawn();
    let stdout = ready(&mut child);
    let name = "dexec-own-edge-renamed-killed-2";
    api::post(&format!("/containers/{}/rename?name={name}", container.name));
    let renamed = Container { name: name.to_owned() };
    fs::write(root_of(&renamed).join("tmp/go"), "").expect("it can be written");
    let last = stdout
        .lines()
        .last()
        .expect("there is a response")
        .expect("it can be read");
    assert_eq!(last, r#"{"exitCode":137,"success":false}"#);
    assert_eq!(code(child.wait().expect("it ends")), 137);
}

/// In the host's process namespace, the agent sees every process of the machine.
#[test]
fn host_pid_mode_reports_only_processes_of_the_container() {
    let container = own("edge-pid-host", json!({ "HostConfig": { "PidMode": "host" } }));
    let count = |command: &str| pids_of(command).len();
    // The process id excludes processes that an earlier test run left.
    let sleep = |number: u32| format!("sleep {number}{}", std::process::id());
    let (stranger, others, hidden) = (sleep(1), sleep(2), sleep(6));
    let mut other = dexec([&container.name, "sh", "-c", &format!("sleep 0.7; exec env -i {others}")]).spawn();
    let family = [sleep(3), sleep(4), sleep(5)];
    let script = format!("env -i {} & (env -i {} &); {}", family[0], family[1], family[2]);
    let mut child = dexec(["--timeout=2.5", &container.name, "sh", "-c", &script]).spawn();
    while count(&family[1]) == 0 {
        let ended = child.try_wait().expect("it can be waited for");
        assert!(ended.is_none(), "{:?}", child.wait_with_output());
        thread::sleep(Duration::from_millis(20));
    }
    let begin_stranger = format!("(env -i setsid {stranger} >/dev/null 2>&1 &)");
    let status = Command::new("sh").args(["-c", &begin_stranger]).status();
    assert!(status.expect("it can be run").success());
    let output = child.wait_with_output().expect("it ends");
    let response: Value = serde_json::from_slice(&output.stdout).expect("it is a response");
    assert_eq!(
        (&response["timedOut"], &response["orphaned"]),
        (&json!(true), &Value::Null),
        "{response}"
    );
    assert_eq!((count(&stranger), count(&others)), (1, 1));
    assert_eq!(family.map(|command| count(&command)), [0, 0, 0]);
    // A process that may belong to the command is named in the message, and left running.
    let script = format!("(env -i setsid {hidden} &); {}", sleep(7));
    let response = dexec(["--timeout=1.5", &container.name, "sh", "-c", &script]).response();
    let message = response["message"].as_str().unwrap_or_default();
    assert!(
        response["orphaned"] == true && message.contains("process ") && message.contains("(sleep)"),
        "{response}"
    );
    assert_eq!(count(&hidden), 1);
    signal(&other, "KILL");
    let _ = other.wait();
    for pid in pids_of(&stranger) {
        let _ = Command::new("kill").arg(pid.to_string()).status();
    }
}

/// The processes of this machine with this command line.
fn pids_of(command: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("it can be read").flatten();
    entries
        .filter(|entry| {
            let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            line.replace('\0', " ").trim_end() == command
        })
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

#[test]
fn shared_pid_mode_reports_only_processes_of_the_container() {
    let first = "while [ ! -e /tmp/go ]; do sleep 0.05; done; (setsid env -i sleep 2631 &); exec sleep 1000000";
    let other = own("edge-pid-other", json!({ "Cmd": ["sh", "-c", first] }));
    let mode = format!("container:{}", other.name);
    let container = own("edge-pid-shared", json!({ "HostConfig": { "PidMode": mode } }));
    let child = dexec(["--timeout=2.5", &container.name, "env", "-i", "sleep", "2632"]).spawn();
    thread::sleep(Duration::from_secs(1));
    fs::write(root_of(&other).join("tmp/go"), "").expect("it can be written");
    let output = child.wait_with_output().expect("it ends");
    let response: Value = serde_json::from_slice(&output.stdout).expect("it is a response");
    assert_eq!(
        (&response["timedOut"], &response["orphaned"]),
        (&json!(true), &Value::Null),
        "{response}"
    );
    assert!(left_in(&other).iter().any(|line| line.ends_with("sleep 2631")));
    assert_eq!(pids_of("sleep 2632"), [0; 0]);
}

/// The process ids of the engine's machine wrap around after the container has started.
#[test]
fn stop_works_after_process_ids_wrap_around() {
    let greatest = fs::read_to_string("/proc/sys/kernel/pid_max").expect("there is one");
    let greatest: u32 = greatest.trim().parse().expect("it is a number");
    let begin_before_the_last = |numbers: u32| {
        let number = (greatest - numbers).to_string();
        fs::write("/proc/sys/kernel/ns_last_pid", number).expect("it can be set");
    };
    begin_before_the_last(greatest / 8);
    let container = own("edge-numbers", json!({}));
    begin_before_the_last(2);
    // The container's first process is a `sleep` too.
    let response = dexec(["--timeout=0.3", &container.name, "env", "-i", "sleep", "2651"]).response();
    assert_eq!(
        (&response["timedOut"], &response["orphaned"]),
        (&json!(true), &Value::Null),
        "{response}"
    );
    assert_eq!(pids_of("sleep 2651"), [0; 0]);
}

/// Another command's processes are always in the middle of an execve, without a known parent or a readable marker.
#[test]
fn processes_of_another_command_are_not_reported() {
    let container = own("edge-execve", json!({}));
    let script = "echo ready; while :; do (setsid sleep 0.02 &); (setsid true &); sleep 0.01; done";
    let mut other = dexec(["--raw", &container.name, "sh", "-c", script]).spawn();
    let _stdout = ready(&mut other);
    for _ in 0..6 {
        let response = dexec(["--timeout=0.4", &container.name, "sleep", "620"]).response();
        if response["errorKind"] == "engineError" {
            // Under this load, the engine itself sometimes fails to start a command.
            continue;
        }
        assert_eq!(
            (&response["timedOut"], &response["orphaned"]),
            (&json!(true), &Value::Null),
            "{response}"
        );
    }
    signal(&other, "TERM");
    other.wait().expect("it ends");
}

/// An unrelated process that started just before the command does not belong to it.
#[test]
fn process_started_just_before_the_command_is_not_reported() {
    let container = own("edge-just-before", json!({}));
    for _ in 0..3 {
        let begun = dexec([
            &container.name,
            "sh",
            "-c",
            "(env -u DEXEC_ID -u HOME setsid sleep 2641 >/dev/null 2>&1 &)",
        ]);
        assert_eq!(begun.run().code, 0);
        let response = dexec(["--timeout=0.3", &container.name, "sleep", "621"]).response();
        assert_eq!(
            (&response["timedOut"], &response["orphaned"]),
            (&json!(true), &Value::Null),
            "{response}"
        );
    }
}

#[test]
fn dexec_killed_during_a_stop_leaves_no_file() {
    let container = own("edge-killed", json!({}));
    let before = container.changes();
    let script = "exec 2>/dev/null; trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = dexec([
        "--output=events",
        "--kill-after=60",
        &container.name,
        "sh",
        "-c",
        script,
    ])
    .spawn();
    let mut stdout = ready(&mut child);
    signal(&child, "TERM");
    let mut line = String::new();
    stdout.read_line(&mut line).expect("it can be read");
    assert!(line.contains("asked"), "{line}");
    signal(&child, "KILL");
    child.wait().expect("it ends");
    assert_eq!(container.changes(), before);
    drop(container);
}

/// dexec's agent in the container is killed too, and has to be started again.
#[test]
fn stop_ends_a_command_that_kills_every_process() {
    let container = own("edge-kills-all", json!({}));
    let script = "trap 'kill -9 -1; exit' TERM; (setsid sleep 622 &); while :; do sleep 0.1; done";
    assert_stopped(&container, &[], &["sh", "-c", script]);
    let stubborn = "trap 'kill -9 -1' TERM; trap '' HUP; while :; do sleep 0.1; done";
    assert_stopped(&container, &["--kill-after=0.5"], &["sh", "-c", stubborn]);
}

/// AI agents read process lists, and each character costs tokens.
#[test]
fn stop_has_a_short_command_line() {
    for (purpose, is_read_only) in [("edge-ps", false), ("edge-ps-readonly", true)] {
        let container = own(purpose, json!({ "HostConfig": { "ReadonlyRootfs": is_read_only } }));
        let script = "exec 2>/dev/null; trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done";
        let mut child = dexec([
            "--output=events",
            "--kill-after=60",
            &container.name,
            "sh",
            "-c",
            script,
        ])
        .spawn();
        let mut stdout = ready(&mut child);
        signal(&child, "TERM");
        let mut line = String::new();
        stdout.read_line(&mut line).expect("it can be read");
        let long: Vec<String> = container
            .processes()
            .into_iter()
            .filter(|line| line.len() > 160)
            .collect();
        assert_eq!(long, [""; 0]);
        signal(&child, "KILL");
        child.wait().expect("it ends");
    }
}

/// The inner dexec must finish before the outer one kills it.
#[test]
fn nested_dexec_stops_its_command_in_time() {
    let outer = own("edge-nested", json!({ "HostConfig": { "Binds": ["/:/host"] } }));
    let path = Path::new(env!("CARGO_BIN_EXE_dexec"));
    if !root_of(&outer)
        .join("host")
        .join(path.strip_prefix("/").expect("it is absolute"))
        .exists()
    {
        eprintln!("the engine runs in a root directory without dexec: not tested there");
        return;
    }
    let inner = own("edge-nested-inner", json!({}));
    let socket = format!("unix://{}", api::socket());
    let stubborn = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let nested = [
        "chroot",
        "/host",
        env!("CARGO_BIN_EXE_dexec"),
        "--raw",
        "-H",
        &socket,
        &inner.name,
        "sh",
        "-c",
        stubborn,
    ];
    // Longer than the default, to allow for a busy machine.
    let run = dexec(["--timeout=4", "--kill-after=20", &outer.name]).args(nested);
    let response = run.response();
    assert_eq!(
        (&response["stdout"], &response["signal"]),
        (&json!("ready"), &json!("SIGTERM")),
        "{response}"
    );
    assert_eq!(left_in(&inner), [""; 0]);
    // The inner dexec uses half of the outer one's grace period.
    let shown = program(env!("CARGO_BIN_EXE_dexec")).env("DEXEC_ID", "0123456789abcdef-600");
    let run = shown.args(["-H", &socket, "--timeout=1", &inner.name, "sh", "-c", stubborn]);
    assert_eq!(run.response()["signal"], "SIGKILL");
}
