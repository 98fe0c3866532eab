//! Many commands, long-running commands, and large outputs.

use std::collections::VecDeque;
use std::io::Read as _;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dexec::{CancellationToken, End, Endpoint, Engine, Outcome, Request};
use serde_json::json;

use crate::dexec;
use test_support::api::{self, Container};
use test_support::{assert_response, code, watch_memory};

fn run(number: usize) {
    let exit = number % 120;
    let script = format!("echo out {number}; echo err {number} >&2; exit {exit}");
    let response = dexec(["dexec-shell", "sh", "-c", &script]).response();
    let expected = json!({
        "exitCode": exit,
        "stdout": format!("out {number}"),
        "stderr": format!("err {number}"),
        "success": exit == 0,
    });
    assert_response(&response, expected);
}

#[test]
fn two_hundred_sequential_commands_return_the_right_results() {
    (0..200).for_each(run);
}

#[test]
fn fifty_concurrent_commands_return_the_right_results() {
    let runs: Vec<_> = (0..50).map(|number| thread::spawn(move || run(number))).collect();
    for run in runs {
        run.join().expect("each is right");
    }
}

fn engine() -> Arc<Engine> {
    let endpoint = Endpoint::parse(&format!("unix://{}", api::socket())).expect("it is an address");
    Arc::new(Engine::connect(&endpoint))
}

fn request(script: &str) -> dexec::RequestBuilder {
    Request::new("dexec-shell", ["sh", "-c", script])
}

async fn exec(engine: Arc<Engine>, request: dexec::RequestBuilder) -> Outcome {
    let request = request.build().expect("it is a request");
    engine.exec(request, &CancellationToken::new()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "loads the machine: script/test runs it on its own"]
async fn thousand_commands_64_at_a_time_return_the_right_results() {
    let engine = engine();
    let mut running = VecDeque::new();
    let mut false_starts = 0;
    for number in 0..1064 {
        if number < 1000 {
            let script = format!("echo out {number}; echo err {number} >&2; exit {}", number % 120);
            running.push_back((number, tokio::spawn(exec(Arc::clone(&engine), request(&script)))));
        }
        if running.len() < 64 && number < 1000 {
            continue;
        }
        let Some((number, run)) = running.pop_front() else {
            break;
        };
        let outcome = run.await.expect("it does not panic");
        match &outcome.end {
            End::Exited { code } => {
                assert_eq!(*code, number % 120);
                assert_eq!(outcome.stdout.into_bytes(), format!("out {number}\n").into_bytes());
                assert_eq!(outcome.stderr.into_bytes(), format!("err {number}\n").into_bytes());
            }
            // Docker 26 sometimes failed like this under load. The failure is reported, and the command did not run.
            End::StartFailed { error, .. } if error.to_string().contains("init") => false_starts += 1,
            other => panic!("{number}: {other:?}"),
        }
    }
    assert!(false_starts <= 5, "{false_starts}");
}

/// Asserts that the outcomes agree with the processes left in the container: an outcome is orphaned if and only if a
/// process is left.
fn assert_true(container: &Container, outcomes: &[Outcome]) {
    let mut left = container.processes();
    left.retain(|line| !line.ends_with("sleep 1000000"));
    let mut said = Vec::new();
    for Outcome { end, .. } in outcomes {
        let End::Stopped { orphaned, signal, .. } = end else {
            panic!("it is not stopped: {end:?}");
        };
        if let Some(reason) = orphaned {
            said.push(reason);
            // The only valid reason is that the engine was too slow to stop the command in time.
            assert!(reason.contains("it took too long"), "{reason}");
        } else {
            assert!(signal.is_some(), "{end:?}");
        }
    }
    println!("of {} say {said:?}; left: {left:?}", outcomes.len());
    assert_eq!(said.is_empty(), left.is_empty(), "said: {said:?}; left: {left:?}");
}

fn sleeper(purpose: &str) -> Container {
    Container::start(purpose, &["sleep", "1000000"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "loads the machine: script/test runs it on its own"]
async fn sixty_concurrent_stops_leave_no_process() {
    const AT_ONCE: usize = 60;
    let container = sleeper("load-stops-at-once");
    let engine = engine();
    let cancel = CancellationToken::new();
    let running: Vec<_> = (0..AT_ONCE)
        .map(|number| {
            let (engine, cancel) = (Arc::clone(&engine), cancel.clone());
            let command = if number % 2 == 0 {
                "exec sleep 2000"
            } else {
                "exec env -i sleep 2000"
            };
            let request = Request::new(&container.name, ["sh", "-c", command]).build();
            let request = request.expect("it is a request");
            tokio::spawn(async move { engine.exec(request, &cancel).await })
        })
        .collect();
    while container.processes().len() < AT_ONCE + 1 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cancel.cancel();
    let mut outcomes = Vec::new();
    for run in running {
        outcomes.push(run.await.expect("it does not panic"));
    }
    assert_true(&container, &outcomes);
}

/// `DEXEC_STOPS` sets the number of commands (default: 100).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "loads the machine: script/test runs it on its own"]
async fn stops_under_load_report_the_truth() {
    let stops = std::env::var("DEXEC_STOPS").map_or(100, |stops| stops.parse().expect("it is a number"));
    let container = sleeper("load-stops");
    let engine = engine();
    let commands = [
        "exec sleep 2000",
        "exec env -i sleep 2000",
        "sleep 2000 & (setsid sleep 2000 &); wait",
        "trap '' TERM; while :; do sleep 0.2; done",
        "env -i sh -c 'sleep 2000 & setsid sleep 2000 & sleep 2000'",
    ];
    let mut running = VecDeque::new();
    let mut outcomes = Vec::new();
    for number in 0..stops {
        let request = Request::new(&container.name, ["sh", "-c", commands[number % commands.len()]])
            .timeout(Duration::from_millis(700))
            .kill_after(Duration::from_millis(500));
        running.push_back(tokio::spawn(exec(Arc::clone(&engine), request)));
        if running.len() == 12
            && let Some(run) = running.pop_front()
        {
            outcomes.push(run.await.expect("it does not panic"));
        }
    }
    for run in running {
        outcomes.push(run.await.expect("it does not panic"));
    }
    assert_true(&container, &outcomes);
}

fn own_size() -> (u64, usize) {
    let status = std::fs::read_to_string("/proc/self/status").expect("it can be read");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory = line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("it can be read").count();
    (memory.expect("it has memory"), descriptors)
}

/// `DEXEC_SOAK_SECONDS` sets the duration (default: 60).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "loads the machine: script/test runs it on its own"]
async fn memory_and_descriptors_do_not_grow() {
    let seconds = std::env::var("DEXEC_SOAK_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(60));
    let container = Container::start("soak", &["sleep", "1000000"]);
    let begun = Instant::now();
    let engine = engine();
    let mut sizes = Vec::new();
    let mut count = 0;
    while begun.elapsed() < time {
        let hang = |script: &str| {
            Request::new(&container.name, ["sh", "-c", script])
                .timeout(Duration::from_millis(300))
                .kill_after(Duration::from_millis(100))
        };
        let runs = [
            request("echo small"),
            request("yes | head -c 1000000"),
            request("cat").stdin(std::io::Cursor::new(vec![b'x'; 100_000])),
            hang("sleep 1000 & (setsid sleep 1000 &); sleep 1000"),
            hang("trap '' TERM; while :; do sleep 1; done"),
            Request::new("dexec-none", ["true"]),
            request("exit 3"),
        ];
        let runs: Vec<_> = runs
            .into_iter()
            .map(|run| tokio::spawn(exec(Arc::clone(&engine), run)))
            .collect();
        let mut codes = Vec::new();
        for run in runs {
            codes.push(run.await.expect("it does not panic").end.exit_code());
        }
        assert_eq!(codes, [0, 0, 0, 124, 124, 1, 3]);
        count += codes.len();
        // One call is dropped while its command runs.
        let given_up = Box::pin(exec(Arc::clone(&engine), hang("sleep 1000")));
        let _ = tokio::time::timeout(Duration::from_millis(200), given_up).await;
        let left = engine.shutdown().await;
        assert!(left.is_empty(), "{left:?}");
        if begun.elapsed() > time / 4 {
            sizes.push(own_size());
        }
    }
    let (first, last) = (
        sizes.first().expect("there is one"),
        sizes.last().expect("there is one"),
    );
    eprintln!("{count} commands; KiB and descriptors {first:?} to {last:?}");
    assert!(last.0 < first.0 + 8 * 1024, "{sizes:?}");
    assert!(last.1 <= first.1 + 4, "{sizes:?}");
    assert_eq!(container.processes().len(), 1);
}

const GIGABYTE: &str = "head -c 1000000000 /dev/zero | tr '\\0' x";

#[test]
#[ignore = "loads the machine: script/test runs it on its own"]
fn capturing_a_gigabyte_uses_bounded_memory() {
    let mut child = dexec(["dexec-shell", "sh", "-c", GIGABYTE]).spawn();
    let memory = watch_memory(child.id());
    let mut text = String::new();
    let mut stdout = child.stdout.take().expect("it is a pipe");
    stdout.read_to_string(&mut text).expect("it is UTF-8");
    assert_eq!(code(child.wait().expect("it ends")), 0);
    let left_out = 1_000_000_000 - 64 * 1024 * 1024;
    assert!(text.contains(&format!("\\n[… {left_out} characters left out …]\\n")));
    let peak = memory.join().expect("the watcher does not panic");
    assert!(peak > 0 && peak < 160 * 1024, "{peak} KiB");
}

#[test]
#[ignore = "loads the machine: script/test runs it on its own"]
fn raw_gigabyte_uses_little_memory() {
    let peak_of = |script: &str, length: u64| {
        let mut child = dexec(["--raw", "dexec-shell", "sh", "-c", script]).spawn();
        let memory = watch_memory(child.id());
        let mut stdout = child.stdout.take().expect("it is a pipe");
        let copied = std::io::copy(&mut stdout, &mut std::io::sink()).expect("it can be read");
        assert_eq!((copied, code(child.wait().expect("it ends"))), (length, 0));
        memory.join().expect("the watcher does not panic")
    };
    // The base memory of a program is much larger in a debug build.
    let without_output = peak_of("sleep 2", 0);
    let peak = peak_of(GIGABYTE, 1_000_000_000);
    assert!(
        without_output > 0 && peak < without_output + 2 * 1024,
        "{without_output} and {peak} KiB"
    );
}
