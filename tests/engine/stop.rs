//! Checks from outside that a stopped command is really stopped in the container.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dexec::{CancellationToken, End, Endpoint, Engine, Output, Request, Signal, StopCause, Stream};
use serde_json::{Value, json};

use crate::dexec;
use test_support::api::{self, Container};
use test_support::{code, signal};

/// A tree with every kind of child that can be found. It does not end until it is killed.
const TREE: &str = r#"
sleep 1001 &
(sleep 1002 &)
setsid sleep 1003 &
(setsid sleep 1004 &)
env -i /bin/sleep 1005 &
(env -i /bin/sleep 1006 &)
env -i /bin/setsid /bin/sleep 1007 &
sh -c 'trap "" TERM HUP INT; while :; do sleep 1008; done' &
(setsid sh -c 'trap "" TERM HUP INT; sleep 1009; sleep 1009' &)
sleep 0.3
echo ready
while :; do sleep 1010; done
"#;

/// What causes a command to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Timeout,
    Signal(&'static str, i32),
    ReaderGone,
    Cancel,
    Drop,
}

const WAYS: [Way; 7] = [
    Way::Timeout,
    Way::Signal("INT", 130),
    Way::Signal("TERM", 143),
    Way::Signal("HUP", 129),
    Way::ReaderGone,
    Way::Cancel,
    Way::Drop,
];

/// What dexec reported: whether processes may be left, and why.
struct Said {
    orphaned: bool,
    message: String,
}

impl Way {
    /// Runs `command`, which prints `ready`, and stops it.
    fn stop(self, container: &Container, command: &[&str]) -> Said {
        let words = || [&[container.name.as_str()][..], command].concat();
        match self {
            Self::Timeout => {
                let options = ["--timeout=2.5", "--kill-after=0.5"];
                let done = dexec(options).args(words()).run();
                assert_eq!(done.code, 124);
                let response = done.response();
                assert_eq!(
                    (&response["timedOut"], &response["stdout"]),
                    (&json!(true), &json!("ready"))
                );
                assert_eq!(response["errorKind"], Value::Null, "{response}");
                said(&response)
            }
            Self::Signal(name, expected) => {
                let child = dexec(["--output=events", "--kill-after=0.5"]).args(words()).spawn();
                let (rest, status) = after_ready(child, |child| signal(child, name));
                assert_eq!(status, expected, "{rest}");
                // The last output of the command is printed before the response.
                let last = rest.lines().last().unwrap_or_default();
                let response: Value = serde_json::from_str(last).expect("it is the response");
                assert_eq!(response["errorKind"], "interrupted", "{response}");
                said(&response)
            }
            Self::ReaderGone => {
                let mut child = dexec(["--raw", "--kill-after=0.5"]).args(words()).spawn();
                let mut first = [0; 6];
                let mut stdout = child.stdout.take().expect("it is a pipe");
                stdout.read_exact(&mut first).expect("it can be read");
                assert_eq!(&first, b"ready\n");
                drop(stdout);
                let output = child.wait_with_output().expect("it ends");
                assert_eq!(code(output.status), 141);
                let message = String::from_utf8_lossy(&output.stderr).into_owned();
                Said {
                    orphaned: !message.is_empty(),
                    message,
                }
            }
            Self::Cancel => {
                let (engine, request) = library(&words());
                let (mut output, ready) = Announced::new();
                let cancel = CancellationToken::new();
                let end = runtime().block_on(async {
                    let run = engine.exec_to(request, &mut output, &cancel);
                    let cancelling = async {
                        ready.cancelled().await;
                        cancel.cancel();
                    };
                    tokio::join!(run, cancelling).0
                });
                let End::Stopped { cause, orphaned, .. } = end else {
                    panic!("it is not stopped: {end:?}");
                };
                assert_eq!(cause, StopCause::Cancelled);
                Said {
                    orphaned: orphaned.is_some(),
                    message: orphaned.unwrap_or_default(),
                }
            }
            Self::Drop => {
                let (engine, request) = library(&words());
                let (mut output, ready) = Announced::new();
                let left = runtime().block_on(async {
                    let cancel = CancellationToken::new();
                    tokio::select! {
                        end = engine.exec_to(request, &mut output, &cancel) => panic!("it ended: {end:?}"),
                        () = ready.cancelled() => {}
                    }
                    engine.shutdown().await
                });
                Said {
                    orphaned: !left.is_empty(),
                    message: left.iter().map(ToString::to_string).collect(),
                }
            }
        }
    }
}

/// Cancels the token when the command writes output.
struct Announced(CancellationToken);

impl Announced {
    fn new() -> (Self, CancellationToken) {
        let ready = CancellationToken::new();
        (Self(ready.clone()), ready)
    }
}

impl Output for Announced {
    async fn write(&mut self, _: Stream, _: Bytes) -> std::io::Result<()> {
        self.0.cancel();
        Ok(())
    }
}

fn said(response: &Value) -> Said {
    Said {
        orphaned: response["orphaned"] == true,
        message: response["message"].as_str().unwrap_or_default().to_owned(),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("it can be made")
}

fn library(words: &[&str]) -> (Engine, Request) {
    let endpoint = Endpoint::parse(&format!("unix://{}", api::socket())).expect("it is an address");
    let (container, command) = words.split_first().expect("there are words");
    let request = Request::new(*container, command.iter().copied())
        .kill_after(Duration::from_millis(500))
        .build();
    (Engine::connect(&endpoint), request.expect("it is a request"))
}

/// Waits until the command prints `ready`, calls `act`, and returns the rest of dexec's output and its exit code.
fn after_ready(mut child: Child, act: impl Fn(&Child)) -> (String, i32) {
    let mut stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
    let mut first = String::new();
    stdout.read_line(&mut first).expect("it can be read");
    assert!(first.contains("ready"), "{first}");
    act(&child);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("it can be read");
    (rest, code(child.wait().expect("it ends")))
}

/// Asserts that each way to stop the command ends all its processes, and leaves the container unchanged.
#[track_caller]
fn assert_every_way_stops(container: &Container, command: &[&str]) {
    let before = (container.processes(), container.changes());
    assert_eq!(before.0.len(), 1, "{:?}", before.0);
    for way in WAYS {
        let said = way.stop(container, command);
        assert!(!said.orphaned, "{way:?}: {}", said.message);
        assert_eq!((container.processes(), container.changes()), before, "{way:?}");
    }
}

fn own(purpose: &str, settings: Value) -> Container {
    let sleeper = json!({ "Cmd": ["sleep", "1000000"] });
    Container::start_with(purpose, api::merged(sleeper, settings))
}

#[test]
fn stop_ends_every_process_with_a_shell_as_root() {
    assert_every_way_stops(&own("stop-root", json!({})), &["sh", "-c", TREE]);
}

#[test]
fn stop_ends_every_process_with_a_shell_as_another_user() {
    assert_every_way_stops(&own("stop-user", json!({ "User": "app" })), &["sh", "-c", TREE]);
}

#[test]
fn stop_ends_every_process_with_a_shell_on_a_read_only_root() {
    let settings = json!({ "HostConfig": { "ReadonlyRootfs": true } });
    assert_every_way_stops(&own("stop-readonly", settings), &["sh", "-c", TREE]);
}

#[test]
fn stop_ends_every_process_without_a_shell() {
    let settings = json!({ "Image": "dexec-test/static", "Cmd": ["/bin/wait"] });
    assert_every_way_stops(&own("stop-static", settings), &["/bin/wait", "tree"]);
}

#[test]
fn stop_ends_every_process_without_a_shell_as_another_user() {
    let settings = json!({ "Image": "dexec-test/static", "Cmd": ["/bin/wait"], "User": "1000:1000" });
    assert_every_way_stops(&own("stop-static-user", settings), &["/bin/wait", "tree"]);
}

#[test]
fn stop_without_a_shell_on_a_read_only_root_ends_or_reports() {
    let settings = json!({
        "Image": "dexec-test/static",
        "Cmd": ["/bin/wait"],
        "HostConfig": { "ReadonlyRootfs": true },
    });
    let container = own("stop-static-readonly", settings);
    if api::is_podman() {
        return assert_every_way_stops(&container, &["/bin/wait", "tree"]);
    }
    for (number, way) in WAYS.into_iter().enumerate() {
        let said = way.stop(&container, &["/bin/wait", "ready"]);
        assert!(said.orphaned, "{way:?}");
        assert!(
            said.message.contains("no shell") && said.message.contains("read-only"),
            "{}",
            said.message
        );
        assert_eq!(container.processes().len(), 2 + number, "{way:?}");
    }
}

#[test]
fn output_written_after_sigterm_is_kept() {
    let container = own("stop-obeys", json!({}));
    let script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.1 2>/dev/null; done";
    let mut response = dexec(["--timeout=1", &container.name, "sh", "-c", script]).response();
    // The shell may print a message about its child's end.
    response["stderr"] = json!("");
    assert_eq!(
        response,
        json!({
            "exitCode": 124, "stdout": "ready\nbye", "stderr": "", "success": false,
            "timedOut": true, "signal": "SIGTERM",
        })
    );
}

#[test]
fn cleanup_process_started_after_sigterm_can_finish() {
    let container = own("stop-cleans-up", json!({}));
    let script = "trap 'sh -c \"sleep 0.5; echo clean\"; exit 7' TERM; while :; do sleep 0.1; done";
    let response = dexec(["--timeout=1", &container.name, "sh", "-c", script]).response();
    assert_eq!(
        (&response["stdout"], &response["signal"]),
        (&json!("clean"), &json!("SIGTERM"))
    );
}

#[test]
fn command_that_ignores_sigterm_is_killed_after_the_grace_period() {
    let container = own("stop-stubborn", json!({}));
    let script = "trap 'echo no' TERM; while :; do sleep 0.1; done";
    let begun = Instant::now();
    let response = dexec(["--timeout=1", "--kill-after=1.5", &container.name, "sh", "-c", script]).response();
    assert!(begun.elapsed() >= Duration::from_millis(2500));
    assert_eq!(
        (&response["signal"], &response["stdout"]),
        (&json!("SIGKILL"), &json!("no"))
    );
    assert_eq!(container.processes().len(), 1);
}

#[test]
fn suspended_process_gets_the_signal() {
    let container = own("stop-stopped", json!({}));
    let script = "sleep 1000 & kill -STOP $!; echo ready; wait";
    let response = dexec(["--timeout=1", "--kill-after=5", &container.name, "sh", "-c", script]).response();
    assert_eq!(response["signal"], "SIGTERM", "{response}");
    assert_eq!(container.processes().len(), 1);
}

#[test]
fn stop_ends_a_child_of_another_user() {
    let container = own("stop-su", json!({}));
    let script = "su app -c '(setsid sleep 1020 &)'; exec sleep 1021";
    let response = dexec(["--timeout=1", &container.name, "sh", "-c", script]).response();
    assert_eq!(response["orphaned"], Value::Null, "{response}");
    assert_eq!(container.processes().len(), 1, "{:?}", container.processes());
}

#[test]
fn unidentified_process_is_left_running_and_reported() {
    let container = own("stop-hidden", json!({}));
    let script = "(env -i /bin/setsid /bin/sleep 1030 &); exec sleep 1031";
    let response = dexec(["--timeout=1", &container.name, "sh", "-c", script]).response();
    assert_eq!(
        (&response["orphaned"], &response["timedOut"]),
        (&json!(true), &json!(true)),
        "{response}"
    );
    let message = response["message"].as_str().expect("there is a message");
    assert!(message.contains("(sleep)"), "{message}");
    assert_eq!(container.processes().len(), 2);
    assert!(container.processes().iter().any(|line| line.ends_with("sleep 1030")));
}

/// The container's first process keeps starting processes in their own sessions, and another exec is running.
#[test]
fn stop_leaves_other_processes_running() {
    let first = "while :; do setsid sleep 2000 & sleep 0.4; [ $((n=${n:-0}+1)) -lt 12 ] || break; done; sleep 1000000";
    let container = own("stop-neighbours", json!({ "Cmd": ["sh", "-c", first] }));
    let mut other = dexec([
        "--raw",
        &container.name,
        "sh",
        "-c",
        "(setsid sleep 2001 &); sleep 2002",
    ])
    .spawn();
    api::wait_for_process(&container.name, "sleep 2001");
    api::wait_for_process(&container.name, "sleep 2002");
    let said = Way::Timeout.stop(&container, &["sh", "-c", TREE]);
    assert!(!said.orphaned, "{}", said.message);
    let left = container.processes();
    assert!(left.iter().any(|line| line.ends_with("sleep 2001")), "{left:?}");
    assert!(left.iter().any(|line| line.ends_with("sleep 2002")), "{left:?}");
    assert!(
        !left
            .iter()
            .any(|line| line.contains("sleep 10") && !line.contains("1000000")),
        "{left:?}"
    );
    thread::sleep(Duration::from_secs(4));
    let of_its_own = container
        .processes()
        .iter()
        .filter(|line| line.ends_with("sleep 2000"))
        .count();
    assert_eq!(of_its_own, 12);
    signal(&other, "TERM");
    assert_eq!(code(other.wait().expect("it ends")), 143);
}

#[test]
fn stop_ends_a_tree_that_keeps_growing() {
    let container = own("stop-growing", json!({}));
    let script = "grow() { while :; do sleep 1040 & sleep 0.02; done; }; grow & grow & wait";
    let response = dexec(["--timeout=1", "--kill-after=0.2", &container.name, "sh", "-c", script]).response();
    assert_eq!(response["orphaned"], Value::Null, "{response}");
    assert_eq!(container.processes().len(), 1, "{:?}", container.processes());
}

#[test]
fn signal_during_the_start_stops_the_command() {
    let container = own("stop-early", json!({}));
    for delay in [0, 5, 10, 20, 30, 40, 60, 80] {
        let child = dexec([&container.name, "sleep", "1050"]).spawn();
        thread::sleep(Duration::from_millis(delay));
        signal(&child, "TERM");
        let output = child.wait_with_output().expect("it ends");
        // Until dexec handles signals, the signal has its default action; standard output is empty then.
        assert_eq!(code(output.status), 143, "after {delay} ms");
        assert_eq!(
            container.processes().len(),
            1,
            "after {delay} ms: {:?}",
            container.processes()
        );
    }
}

#[test]
fn command_that_ends_before_the_timeout_is_not_stopped() {
    let container = own("stop-in-time", json!({}));
    let response = dexec([
        "--timeout=60",
        &container.name,
        "sh",
        "-c",
        "sleep 1060 >/dev/null 2>&1 & exit 5",
    ])
    .response();
    assert_eq!(
        response,
        json!({ "exitCode": 5, "stdout": "", "stderr": "", "success": false })
    );
    assert_eq!(container.processes().len(), 2, "the child was left on purpose");
}

#[test]
fn library_reports_the_cause_and_the_signal() {
    let container = own("stop-library", json!({}));
    let (engine, _) = library(&[&container.name, "true"]);
    let request = Request::new(&container.name, ["sleep", "1070"]).timeout(Duration::from_millis(300));
    let request = request.build().expect("it is a request");
    let outcome = runtime().block_on(engine.exec(request, &CancellationToken::new()));
    assert!(
        matches!(
            outcome.end,
            End::Stopped {
                cause: StopCause::Timeout,
                signal: Some(Signal::Term),
                orphaned: None,
                error: None
            }
        ),
        "{:?}",
        outcome.end
    );
}

/// gosu, su-exec and setpriv do the same: the remaining process can be inspected only by that user.
#[test]
fn stop_ends_a_command_that_changes_its_user() {
    let settings = json!({ "Image": "dexec-test/setpriv" });
    let container = own("stop-becomes", settings);
    let become_other = [
        "setpriv",
        "--reuid=1000",
        "--regid=1000",
        "--clear-groups",
        "sleep",
        "1080",
    ];
    let response = dexec(["--timeout=1", &container.name]).args(become_other).response();
    assert_eq!(
        (&response["signal"], &response["orphaned"]),
        (&json!("SIGTERM"), &Value::Null),
        "{response}"
    );
    assert_eq!(container.processes().len(), 1, "{:?}", container.processes());
}

#[test]
fn two_signals_stop_the_command_once() {
    let container = own("stop-twice", json!({}));
    for (first, second) in [("TERM", "HUP"), ("INT", "TERM"), ("TERM", "TERM")] {
        let child = dexec([&container.name, "sh", "-c", "echo here; sleep 1090"]).spawn();
        api::wait_for_process(&container.name, "sleep 1090");
        signal(&child, first);
        signal(&child, second);
        let output = child.wait_with_output().expect("it ends");
        let response: Value = serde_json::from_slice(&output.stdout).expect("there is a response");
        assert_eq!(response["stdout"], "here", "{response}");
        assert_eq!(container.processes().len(), 1, "{first} {second}");
    }
}

#[test]
fn closed_stdout_stops_the_command_whatever_it_writes() {
    let container = own("stop-busy", json!({}));
    let to_stdout = "echo ready; while :; do echo x; sleep 0.03; done";
    let to_stderr = "echo ready; while :; do echo x >&2; sleep 0.03; done";
    for (mode, script) in [
        ("json", to_stdout),
        ("json", "yes"),
        ("raw", to_stderr),
        ("events", to_stdout),
    ] {
        let mut child = dexec(["--output", mode, &container.name, "sh", "-c", script]).spawn();
        let mut stderr = child.stderr.take().expect("it is a pipe");
        let reading = thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
        while container.processes().len() < 2 {
            thread::sleep(Duration::from_millis(50));
        }
        thread::sleep(Duration::from_millis(500));
        drop(child.stdout.take());
        assert_eq!(code(child.wait().expect("it ends")), 141, "{mode} {script}");
        reading.join().expect("it does not panic").expect("it can be read");
        assert_eq!(container.processes().len(), 1, "{mode} {script}");
    }
}

#[test]
fn slow_reader_gets_the_complete_response_to_a_timeout() {
    let container = own("stop-slow", json!({}));
    let mut child = dexec([
        "--timeout=1",
        &container.name,
        "sh",
        "-c",
        "seq 1 100000; exec sleep 1100",
    ])
    .spawn();
    thread::sleep(Duration::from_secs(5));
    let mut text = String::new();
    let mut stdout = child.stdout.take().expect("it is a pipe");
    stdout.read_to_string(&mut text).expect("it can be read");
    let response: Value = serde_json::from_str(&text).expect("it is a response");
    assert_eq!(response["timedOut"], true);
    assert_eq!(code(child.wait().expect("it ends")), 124);
}

#[test]
fn huge_durations_mean_no_limit() {
    let container = own("stop-huge", json!({}));
    let response = dexec(["--timeout=1e19", "--kill-after=1e19", &container.name, "echo", "x"]).response();
    assert_eq!(response["stdout"], "x", "{response}");
    let response = dexec(["--timeout=1", "--kill-after=1e19", &container.name, "sleep", "1110"]).response();
    assert_eq!(response["signal"], "SIGTERM", "{response}");
}

#[test]
fn signal_during_group_setup_leaves_no_file() {
    let container = own("stop-groups", json!({}));
    let before = container.changes();
    for delay in [50, 100, 150, 250, 400] {
        let child = dexec(["--group-add=5000", &container.name, "sleep", "1120"]).spawn();
        thread::sleep(Duration::from_millis(delay));
        signal(&child, "TERM");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(code(output.status), 143, "after {delay} ms");
        assert_eq!(container.changes(), before, "after {delay} ms");
        assert_eq!(container.processes().len(), 1, "after {delay} ms");
    }
}
