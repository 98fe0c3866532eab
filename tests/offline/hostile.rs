//! Hostile engines: whatever an engine sends, dexec returns one clear answer, in bounded time and memory.

mod absent;
mod agents;
mod calls;
mod podman;
mod streams;

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::dexec;
use crate::fake::{Answer, EXEC_ID, Fake, Script, frame, json, stream};
use test_support::{Done, code};

/// In KiB. A call keeps at most 16 MiB of an answer, and an agent may send at most 32 MiB.
const MAX_MEMORY: u64 = 64 * 1024;

/// In KiB. A process that uses more is killed before it exhausts the machine's memory.
const KILLED_MEMORY: u64 = 1024 * 1024;

/// A process that runs for longer is killed. All of dexec's timeouts are much shorter, even on a busy machine.
const LONGEST: Duration = Duration::from_secs(300);

/// The longest `message` or `stderr`: the engine's refusal and dexec's own text, which is short.
const MAX_MESSAGE_LEN: usize = 68 * 1024;

/// How many engines are tested at a time.
const CONCURRENT_CASES: usize = 12;

const RUNNING: &str = "{\"Running\":true,\"ExitCode\":0,\"Pid\":7}";

struct Ran {
    response: Value,
    /// In KiB.
    peak: u64,
    time: Duration,
    requests: Vec<String>,
}

impl Ran {
    fn kind(&self) -> &str {
        self.response["errorKind"].as_str().unwrap_or_default()
    }

    fn code(&self) -> i64 {
        self.response["exitCode"].as_i64().expect("it is a number")
    }

    fn message(&self) -> &str {
        self.response["message"].as_str().unwrap_or_default()
    }

    #[track_caller]
    fn assert_refused(&self, kind: &str, what: &str) {
        assert_eq!((self.code(), self.kind()), (1, kind), "{}", self.response);
        assert_eq!(self.response["stdout"], "", "{}", self.response);
        self.assert_message(what);
    }

    /// Asserts that the command printed `x` and exited with this code.
    #[track_caller]
    fn assert_exited(&self, code: i64) {
        let stdout = &self.response["stdout"];
        assert_eq!(
            (self.code(), self.kind(), stdout),
            (code, "", &"x".into()),
            "{}",
            self.response
        );
    }

    /// Asserts that the command was started, may still be running, and is not reported as ended.
    #[track_caller]
    fn assert_lost(&self, what: &str) {
        let orphaned = &self.response["orphaned"];
        assert_eq!(
            (self.code(), self.kind(), orphaned),
            (255, "connectionLost", &true.into()),
            "{}",
            self.response
        );
        self.assert_message(what);
    }

    /// Asserts that the timeout elapsed, and that the command may not have been stopped.
    #[track_caller]
    fn assert_orphaned(&self, why: &str) {
        let Self { response, .. } = self;
        assert_eq!(
            (self.code(), &response["timedOut"], &response["orphaned"]),
            (124, &true.into(), &true.into()),
            "{response}"
        );
        self.assert_message("may still be running in the container");
        self.assert_message(why);
    }

    #[track_caller]
    fn assert_message(&self, words: &str) {
        assert!(
            self.message().contains(words),
            "`{words}` is missing: {}",
            self.message()
        );
    }

    #[track_caller]
    fn assert_little_memory(&self) {
        assert!(self.peak < MAX_MEMORY, "{} KiB", self.peak);
    }
}

fn run(script: Script) -> Ran {
    run_with(script, &[])
}

/// Runs a command with a timeout, on an engine that never reports the command's end.
fn run_stopped(script: Script) -> Ran {
    let script = Script {
        start: Answer::Silent(stream(&[])),
        inspect: json("200 OK", RUNNING).into(),
        ..script
    };
    run_with(script, &["--timeout=0.1", "--kill-after=0.3"])
}

fn run_with(script: Script, options: &[&str]) -> Ran {
    let fake = Fake::start(script);
    let run = dexec(["-H", &fake.host]).args(options).args(["web", "true"]);
    let watched = watch(run.spawn());
    let response = watched.done.response();
    for field in ["message", "stderr"] {
        let length = response[field].as_str().unwrap_or_default().len();
        assert!(length < MAX_MESSAGE_LEN, "{field} has {length} bytes");
    }
    Ran {
        response,
        peak: watched.peak,
        time: watched.time,
        requests: fake.requests(),
    }
}

struct Watched {
    done: Done,
    peak: u64,
    time: Duration,
}

/// Waits for dexec, and measures its peak memory.
fn watch(child: Child) -> Watched {
    let begun = Instant::now();
    let pid = child.id();
    let waiter = thread::spawn(move || child.wait_with_output());
    let mut peak = 0;
    while !waiter.is_finished() {
        peak = peak_memory(pid).unwrap_or(peak);
        if peak > KILLED_MEMORY || begun.elapsed() > LONGEST {
            let pid = pid.to_string();
            let _ = std::process::Command::new("kill").args(["-9", &pid]).status();
            panic!("killed after {:?}, with {peak} KiB", begun.elapsed());
        }
        thread::sleep(Duration::from_millis(1));
    }
    let output = waiter.join().expect("it does not panic").expect("it can be read");
    let done = Done {
        code: code(output.status),
        stdout: output.stdout,
        stderr: output.stderr,
    };
    let time = begun.elapsed();
    Watched { done, peak, time }
}

/// The peak memory of a process, in KiB.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

type Cases = Vec<(&'static str, Answer)>;

/// Tests every case, a few at a time, and names those that fail.
#[track_caller]
fn test_each(cases: Cases, test: impl Fn(Answer) -> Ran + Sync) {
    test_each_of(CONCURRENT_CASES, cases, test);
}

#[track_caller]
fn test_each_of<T: Send>(at_a_time: usize, cases: Vec<(&'static str, T)>, test: impl Fn(T) -> Ran + Sync) {
    let cases = Mutex::new(cases.into_iter());
    let failed = Mutex::new(Vec::new());
    let figures = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                loop {
                    let next = cases.lock().expect("no thread panics").next();
                    let Some((name, answer)) = next else { break };
                    let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(answer)));
                    match tried {
                        Ok(ran) => drop(
                            figures
                                .lock()
                                .expect("no thread panics")
                                .insert(name, (ran.peak, ran.time)),
                        ),
                        Err(_) => failed.lock().expect("no thread panics").push(name),
                    }
                }
            });
        }
    });
    for (name, (peak, time)) in figures.into_inner().expect("no thread panics") {
        println!("{name}: {peak} KiB, {time:?}");
    }
    let failed = failed.into_inner().expect("no thread panics");
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// Responses that are not HTTP, or whose head never ends.
fn bad_heads() -> Cases {
    let bytes = |bytes: &[u8]| Answer::Bytes(bytes.to_vec());
    let endless = |first: &[u8], again: &[u8]| Answer::Endless(first.to_vec(), again.to_vec());
    vec![
        ("a word", bytes(b"hello\r\n\r\n")),
        ("another protocol", bytes(b"SSH-2.0-OpenSSH_9.2\r\n")),
        ("a TLS alert", bytes(b"\x15\x03\x01\x00\x02\x02\x46")),
        ("HTTP/9.9", bytes(b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}")),
        ("a status of letters", bytes(b"HTTP/1.1 abc OK\r\n\r\n")),
        ("a status of 5 digits", bytes(b"HTTP/1.1 20000 OK\r\n\r\n")),
        ("status 0", bytes(b"HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n")),
        ("no status", bytes(b"HTTP/1.1\r\n\r\n")),
        ("a NUL in a header", bytes(b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n{}")),
        ("a header without a name", bytes(b"HTTP/1.1 200 OK\r\n: a\r\n\r\n{}")),
        (
            "two lengths",
            bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
        ),
        (
            "a negative length",
            bytes(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}"),
        ),
        (
            "a length beyond all numbers",
            bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n{}"),
        ),
        ("zeros without end", endless(b"", b"\0")),
        ("newlines without end", endless(b"", b"\r\n")),
        ("a reason without end", endless(b"HTTP/1.1 200 ", b"O")),
        (
            "headers without end",
            endless(b"HTTP/1.1 200 OK\r\n", b"X-Header: value\r\n"),
        ),
        ("a header's name without end", endless(b"HTTP/1.1 200 OK\r\n", b"X")),
        ("a header's value without end", endless(b"HTTP/1.1 200 OK\r\nX: ", b"x")),
    ]
}

/// Bodies that never end, or whose announced length is too large to read, with a status of success or failure.
fn endless_bodies() -> Cases {
    let endless = |first: &str, again: &[u8]| Answer::Endless(first.as_bytes().to_vec(), again.to_vec());
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    vec![
        ("no length", endless("HTTP/1.1 200 OK\r\n\r\n", b"x")),
        ("no length, JSON", endless("HTTP/1.1 200 OK\r\n\r\n[", b"[],")),
        (
            "the largest length",
            endless("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n", b" "),
        ),
        (
            "chunks",
            endless(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                chunk.as_bytes(),
            ),
        ),
        (
            "a chunk of all sizes",
            endless(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n",
                b"x",
            ),
        ),
        ("an error, no length", endless("HTTP/1.1 500 Oops\r\n\r\n", b"x")),
        (
            "an error in chunks",
            endless(
                "HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n",
                chunk.as_bytes(),
            ),
        ),
        (
            "an error in deep JSON",
            endless("HTTP/1.1 404 Oops\r\n\r\n{\"message\":", b"["),
        ),
    ]
}

/// Bodies that are cut off, or whose chunks are malformed.
fn broken_bodies() -> Cases {
    let chunked = |body: &str| {
        let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        Answer::Endless(text.into_bytes(), b"garbage".to_vec())
    };
    vec![
        ("a chunk's size of letters", chunked("xyz\r\n")),
        ("a chunk's size beyond all numbers", chunked("fffffffffffffffff\r\n")),
        ("a negative chunk's size", chunked("-1\r\n")),
        ("a chunk without its end", chunked("2\r\n{}")),
        ("a chunk's extension without end", chunked("2;")),
        ("trailers without end", chunked("2\r\n{}\r\n0\r\nX: ")),
    ]
}

/// Invalid JSON, or JSON of the wrong type. Some cases include the exec's id or its end, to be more convincing.
fn wrong_json() -> Cases {
    let deep = "[".repeat(1_000_000);
    let long = "9".repeat(1_000_000);
    let body = |body: &str| Answer::Bytes(json("200 OK", body));
    vec![
        ("nothing", body("")),
        ("a cut object", body("{\"Id\":\"01\",\"Running\":fal")),
        ("null", body("null")),
        ("a number", body("7")),
        ("a string", body("\"Running\"")),
        ("numbers", body("[1,2]")),
        (
            "an object of other types",
            body("{\"Id\":7,\"Running\":\"no\",\"State\":7,\"Arch\":[]}"),
        ),
        ("bytes that are not UTF-8", Answer::Bytes(not_utf8())),
        (
            "a long number",
            body(&format!(
                "{{\"Id\":{long},\"Running\":{long},\"State\":{long},\"Arch\":{long}}}"
            )),
        ),
        ("deep", body(&deep)),
        ("deep in fields", body(&format!("{{\"Id\":{deep}"))),
        ("deep in other fields", body(&format!("{{\"X\":{deep}"))),
        ("HTML", body("<html><body>Welcome</body></html>")),
        (
            "trailing text",
            body("{\"Id\":\"01\",\"Running\":false,\"ExitCode\":0,\"State\":{\"Status\":\"exited\"}} 7"),
        ),
    ]
}

fn not_utf8() -> Vec<u8> {
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n".as_slice(),
        b"{\"Id\":\"\xff\",\"Running\":\"\xff\",\"State\":{\"Status\":\"\xff\"}}",
    ]
    .concat()
}

/// Every kind of bad answer that does not have to time out.
fn bad_responses() -> Cases {
    [bad_heads(), endless_bodies(), broken_bodies(), wrong_json()].concat()
}
