//! The library, as a program would use it.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::thread;

use dexec::{CancellationToken, Captured, DetachKeys, End, Endpoint, Engine, ErrorKind, ExecEvent, Request, Terminal};
use futures_util::StreamExt as _;

use test_support::api;

fn engine_at(host: &str) -> Engine {
    let endpoint = Endpoint::parse(host).expect("it is an address");
    Engine::connect(&endpoint)
}

fn engine() -> Engine {
    engine_at(&format!("unix://{}", api::socket()))
}

fn shell(script: &str) -> Request {
    Request::new("dexec-shell", ["sh", "-c", script])
        .build()
        .expect("it is a request")
}

fn text(captured: Captured) -> String {
    String::from_utf8(captured.into_bytes()).expect("it is UTF-8")
}

#[tokio::test(flavor = "current_thread")]
async fn outcome_has_the_output_and_the_exit_code() {
    let outcome = engine()
        .exec(shell("printf a; printf b >&2; exit 4"), &CancellationToken::new())
        .await;
    assert!(matches!(outcome.end, End::Exited { code: 4 }), "{:?}", outcome.end);
    assert_eq!(
        (text(outcome.stdout), text(outcome.stderr)),
        ("a".to_owned(), "b".to_owned())
    );
}

#[tokio::test(flavor = "current_thread")]
async fn stream_yields_the_output_and_then_the_end() {
    let request = shell("printf a; printf b >&2; exit 4");
    let mut events = engine().exec_stream(request, &CancellationToken::new());
    let (mut stdout, mut stderr, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(event) = events.next().await {
        assert!(ends.is_empty(), "{event:?}");
        match event {
            ExecEvent::Stdout(bytes) => stdout.extend(bytes),
            ExecEvent::Stderr(bytes) => stderr.extend(bytes),
            ExecEvent::End(end) => ends.push(end.exit_code()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((&stdout[..], &stderr[..], &ends[..]), (&b"a"[..], &b"b"[..], &[4][..]));
    assert!(events.next().await.is_none());
}

/// Output that the stream's consumer does not read blocks the command; dropping the stream stops it.
#[tokio::test(flavor = "current_thread")]
async fn unread_stream_blocks_the_command_and_drop_stops_it() {
    let container = api::Container::start("library-stream", &["sleep", "1000000"]);
    let request = Request::new(
        &container.name,
        ["sh", "-c", "yes 2711 | head -c 200000000; exec sleep 2711"],
    );
    let request = request.build().expect("it is a request");
    let engine = engine();
    let mut events = engine.exec_stream(request, &CancellationToken::new());
    let first = events.next().await;
    assert!(matches!(first, Some(ExecEvent::Stdout(_))), "{first:?}");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let writes = || {
        container
            .processes()
            .iter()
            .any(|line| line.contains("head -c 200000000"))
    };
    assert!(writes(), "{:?}", container.processes());
    drop(events);
    let left = engine.shutdown().await;
    assert!(left.is_empty(), "{left:?}");
    assert!(!writes(), "{:?}", container.processes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_engine_runs_many_commands_at_once() {
    let engine = Arc::new(engine());
    let runs: Vec<_> = (0..50)
        .map(|number| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move {
                let stdin = io::Cursor::new(format!("in {number}"));
                let request = Request::new("dexec-shell", ["sh", "-c", &format!("cat; exit {number}")]);
                let request = request.stdin(stdin).build().expect("it is a request");
                (number, engine.exec(request, &CancellationToken::new()).await)
            })
        })
        .collect();
    for run in runs {
        let (number, outcome) = run.await.expect("it does not panic");
        assert_eq!(outcome.end.exit_code(), number, "{:?}", outcome.end);
        assert_eq!(text(outcome.stdout), format!("in {number}"));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn cancelled_command_has_an_outcome() {
    let cancel = CancellationToken::new();
    let canceller = cancel.clone();
    tokio::spawn(async move {
        let runs = tokio::task::spawn_blocking(|| api::wait_for_process("dexec-shell", "sleep 5071"));
        runs.await.expect("it runs");
        canceller.cancel();
    });
    let outcome = engine().exec(shell("echo so far; exec sleep 5071"), &cancel).await;
    assert_eq!(
        outcome.end.error().map(dexec::Error::kind),
        Some(ErrorKind::Interrupted)
    );
    assert_eq!(outcome.end.exit_code(), 130);
    assert_eq!(text(outcome.stdout), "so far\n");
}

#[tokio::test(flavor = "current_thread")]
async fn end_of_terminal_input_is_sent_as_ctrl_d() {
    for (typed, shown) in [
        ("", ""),
        ("whole\n", "whole\r\nwhole\r\n"),
        ("part", "partpart"),
        ("whole\nand part", "whole\r\nand partwhole\r\nand part"),
    ] {
        let request = Request::new("dexec-shell", ["sh", "-c", "cat; echo after"])
            .terminal(Terminal::new(None))
            .stdin(typed.as_bytes())
            .timeout(std::time::Duration::from_secs(30));
        let request = request.build().expect("it is valid");
        let outcome = engine().exec(request, &CancellationToken::new()).await;
        assert!(matches!(outcome.end, End::Exited { code: 0 }), "{:?}", outcome.end);
        let stdout = text(outcome.stdout);
        let stdout = stdout
            .strip_suffix("after\r\n")
            .expect("output after the end of input arrives");
        // The terminal echoes input as it arrives, possibly in the middle of the command's output.
        let sorted = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            bytes.sort_unstable();
            bytes
        };
        assert_eq!(sorted(stdout), sorted(shown), "{stdout:?}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn detach_keys_leave_the_command_running() {
    let request = Request::new("dexec-shell", ["sleep", "20"])
        .terminal(Terminal::new(None).detach_keys(DetachKeys::parse("x").expect("they are keys")))
        .stdin(&b"abcx"[..]);
    let request = request.build().expect("it is valid");
    let outcome = engine().exec(request, &CancellationToken::new()).await;
    let End::LeftRunning { exec_id } = &outcome.end else {
        panic!("{:?}", outcome.end);
    };
    // Docker responds to a start before the command runs.
    loop {
        let state = api::get(&format!("/exec/{exec_id}/json"));
        if state["Running"] == true {
            break;
        }
        assert!(state["ExitCode"].is_null(), "{state}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(outcome.end.exit_code(), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn containers_are_listed() {
    let containers = engine().containers().await.expect("the engine answers");
    let shell = containers
        .iter()
        .find(|container| container.name == "dexec-shell")
        .expect("it is there");
    assert!(
        shell.is_running && shell.image.contains("dexec-test/shell") && shell.id.len() == 64,
        "{shell:?}"
    );
    assert_eq!(shell.state, "running");
    let compose = (shell.compose_project.as_deref(), shell.compose_service.as_deref());
    assert_eq!(compose, (Some("dexec-test"), Some("shell")));
}

#[tokio::test(flavor = "current_thread")]
async fn container_is_found_by_name_and_by_id() {
    let engine = engine();
    let by_name = engine.container("dexec-nonroot").await.expect("it is there");
    assert_eq!((by_name.name.as_str(), by_name.user.as_str()), ("dexec-nonroot", "app"));
    for reference in [by_name.id.as_str(), &by_name.id[..12], "/dexec-nonroot"] {
        assert_eq!(engine.container(reference).await.expect("it is there"), by_name);
    }
    assert_eq!(engine.container("dexec-shell").await.expect("it is there").user, "");
    let kind = |result: Result<_, dexec::Error>| {
        result
            .map(|_: dexec::ContainerDetails| ())
            .map_err(|error| error.kind())
    };
    assert_eq!(
        kind(engine.container("dexec-no").await),
        Err(ErrorKind::ContainerNotFound)
    );
    assert_eq!(kind(engine.container("a/../b").await), Err(ErrorKind::InvalidRequest));
}

/// A socket in front of the engine, and the request lines of each connection to it.
fn counting_socket() -> (tempfile::TempDir, String, Arc<Mutex<Vec<Vec<String>>>>) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).expect("it can be listened to");
    let connections: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
    let seen = Arc::clone(&connections);
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.expect("it can be accepted");
            let engine = UnixStream::connect(api::socket()).expect("the engine answers");
            let index = {
                let mut seen = seen.lock().expect("no thread panics");
                seen.push(Vec::new());
                seen.len() - 1
            };
            let (mut answers, mut to_client) = (engine.try_clone().expect("it"), client.try_clone().expect("it"));
            thread::spawn(move || {
                let _ = io::copy(&mut answers, &mut to_client);
                let _ = to_client.shutdown(std::net::Shutdown::Write);
            });
            let (mut client, mut engine, seen) = (client, engine, Arc::clone(&seen));
            thread::spawn(move || {
                let mut buffer = vec![0; 65536];
                while let Ok(length @ 1..) = client.read(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..length]);
                    let requests = text
                        .lines()
                        .filter(|line| line.ends_with(" HTTP/1.1"))
                        .map(str::to_owned);
                    seen.lock().expect("no thread panics")[index].extend(requests);
                    let _ = engine.write_all(&buffer[..length]);
                }
                let _ = engine.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    let host = format!("unix://{}", path.display());
    (directory, host, connections)
}

#[tokio::test(flavor = "current_thread")]
async fn one_command_needs_three_requests_on_two_connections() {
    let (_directory, host, connections) = counting_socket();
    let outcome = engine_at(&host)
        .exec(shell("echo x; exit 1"), &CancellationToken::new())
        .await;
    assert!(matches!(outcome.end, End::Exited { code: 1 }), "{:?}", outcome.end);
    let connections = connections.lock().expect("no thread panics").clone();
    assert!(connections.len() <= 2, "{connections:?}");
    let requests: Vec<String> = connections
        .concat()
        .iter()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(requests.len(), 3, "{requests:?}");
    let count = |start: &str, end: &str| {
        requests
            .iter()
            .filter(|request| request.starts_with(start) && request.ends_with(end))
            .count()
    };
    assert_eq!(count("POST /containers/dexec-shell/exec", ""), 1, "{requests:?}");
    assert_eq!(count("POST /exec/", "/start"), 1, "{requests:?}");
    assert_eq!(count("GET /exec/", "/json"), 1, "{requests:?}");
}
