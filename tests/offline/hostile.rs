//! Hostile engines: whatever an engine sends, dexec returns one clear answer, in bounded time and memory.

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
const AT_A_TIMEOUT: usize = 12;

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
    fn is_refused(&self, kind: &str, what: &str) {
        assert_eq!((self.code(), self.kind()), (1, kind), "{}", self.response);
        assert_eq!(self.response["stdout"], "", "{}", self.response);
        self.says(what);
    }

    /// Asserts that the command printed `x` and exited with this code.
    #[track_caller]
    fn is_ended(&self, code: i64) {
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
    fn is_lost(&self, what: &str) {
        let orphaned = &self.response["orphaned"];
        assert_eq!(
            (self.code(), self.kind(), orphaned),
            (255, "connectionLost", &true.into()),
            "{}",
            self.response
        );
        self.says(what);
    }

    /// Asserts that the timeout elapsed, and that the command may not have been stopped.
    #[track_caller]
    fn is_left(&self, why: &str) {
        let Self { response, .. } = self;
        assert_eq!(
            (self.code(), &response["timedOut"], &response["orphaned"]),
            (124, &true.into(), &true.into()),
            "{response}"
        );
        self.says("may still be running in the container");
        self.says(why);
    }

    #[track_caller]
    fn says(&self, words: &str) {
        assert!(self.message().contains(words), "no `{words}`: {}", self.message());
    }

    #[track_caller]
    fn is_small(&self) {
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
fn each(cases: Cases, test: impl Fn(Answer) -> Ran + Sync) {
    each_of(AT_A_TIMEOUT, cases, test);
}

#[track_caller]
fn each_of<T: Send>(at_a_time: usize, cases: Vec<(&'static str, T)>, test: impl Fn(T) -> Ran + Sync) {
    let cases = Mutex::new(cases.into_iter());
    let failed = Mutex::new(Vec::new());
    let figures = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                loop {
                    let next = cases.lock().expect("nobody panics").next();
                    let Some((name, answer)) = next else { break };
                    let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(answer)));
                    match tried {
                        Ok(ran) => drop(
                            figures
                                .lock()
                                .expect("nobody panics")
                                .insert(name, (ran.peak, ran.time)),
                        ),
                        Err(_) => failed.lock().expect("nobody panics").push(name),
                    }
                }
            });
        }
    });
    for (name, (peak, time)) in figures.into_inner().expect("nobody panics") {
        println!("{name}: {peak} KiB, {time:?}");
    }
    let failed = failed.into_inner().expect("nobody panics");
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// Responses that are not HTTP, or whose head never ends.
fn heads() -> Cases {
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
            "more behind",
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
fn all() -> Cases {
    [heads(), endless_bodies(), broken_bodies(), wrong_json()].concat()
}

mod absent {
    //! Answers that never arrive.

    use super::*;

    struct Case {
        script: Script,
        options: &'static [&'static str],
        check: fn(&Ran),
    }

    fn case(script: Script, check: fn(&Ran)) -> Case {
        Case {
            script,
            options: &[],
            check,
        }
    }

    /// A command that is stopped at its timeout.
    fn stopped(script: Script, check: fn(&Ran)) -> Case {
        let script = Script {
            start: Answer::Silent(stream(&[])),
            inspect: json("200 OK", RUNNING).into(),
            ..script
        };
        Case {
            script,
            options: &["--timeout=0.1", "--kill-after=0.3"],
            check,
        }
    }

    fn never() -> Answer {
        Answer::Silent(Vec::new())
    }

    fn good() -> Script {
        Script::default()
    }

    /// The calls of a command with no other fault.
    fn calls() -> Vec<(&'static str, Case)> {
        let no_body = || Answer::Silent(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec());
        let half_a_head = || Answer::Silent(b"HTTP/1.1 200 OK\r\nContent-".to_vec());
        let unanswered = |ran: &Ran| ran.is_refused("engineUnreachable", "create the command");
        let uninspected = |ran: &Ran| ran.is_lost("inspect the command");
        let unstarted = |ran: &Ran| ran.is_lost("start the command");
        vec![
            (
                "create",
                case(
                    Script {
                        create: never(),
                        ..good()
                    },
                    unanswered,
                ),
            ),
            (
                "create, half a head",
                case(
                    Script {
                        create: half_a_head(),
                        ..good()
                    },
                    unanswered,
                ),
            ),
            (
                "create, no body",
                case(
                    Script {
                        create: no_body(),
                        ..good()
                    },
                    unanswered,
                ),
            ),
            (
                "inspect",
                case(
                    Script {
                        inspect: never(),
                        ..good()
                    },
                    uninspected,
                ),
            ),
            (
                "inspect, no body",
                case(
                    Script {
                        inspect: no_body(),
                        ..good()
                    },
                    uninspected,
                ),
            ),
            (
                "start",
                case(
                    Script {
                        start: never(),
                        ..good()
                    },
                    unstarted,
                ),
            ),
            (
                "start, and what would end it",
                case(
                    Script {
                        start: never(),
                        own_create: never(),
                        ..good()
                    },
                    unstarted,
                ),
            ),
        ]
    }

    /// Calls that are made later, or because something else went wrong.
    fn later() -> Vec<(&'static str, Case)> {
        vec![
            (
                "the end of the stream",
                case(
                    Script {
                        start: Answer::Silent(stream(&[frame(1, b"x")])),
                        ..good()
                    },
                    |ran| ran.is_ended(0),
                ),
            ),
            (
                "the rest of a frame",
                case(
                    Script {
                        start: Answer::Silent(stream(&[b"\x01\0\0\0\xff\xff\xff\xffx".to_vec()])),
                        ..good()
                    },
                    |ran| assert_eq!((ran.code(), ran.kind()), (255, "connectionLost"), "{}", ran.response),
                ),
            ),
            (
                "the list of containers",
                case(
                    Script {
                        create: json("404 Not Found", "{\"message\":\"No such container: web\"}").into(),
                        containers: never(),
                        ..good()
                    },
                    |ran| ran.is_refused("containerNotFound", "container `web` not found"),
                ),
            ),
            (
                "the container",
                case(
                    Script {
                        inspect: json("200 OK", "{\"Running\":false,\"ExitCode\":137,\"Pid\":7}").into(),
                        container: never(),
                        ..good()
                    },
                    |ran| ran.is_ended(137),
                ),
            ),
        ]
    }

    /// The calls that are needed to stop a command.
    #[expect(clippy::too_many_lines, reason = "a list of cases")]
    fn stops() -> Vec<(&'static str, Case)> {
        let ready = |reply: Answer| {
            let reply = Arc::new(move |_: &str| reply.clone());
            Answer::Talk(stream(&[frame(1, b"ready 900 0 any unlinked\n")]), reply)
        };
        let unstarted = |ran: &Ran| ran.is_left("it took too long to start dexec's helper in the container");
        let no_reply = |ran: &Ran| ran.is_left("it took too long to inspect the container's processes");
        let unput = |ran: &Ran| ran.is_left("it took too long to copy dexec's helper into the container");
        vec![
            (
                "an agent's create",
                stopped(
                    Script {
                        own_create: never(),
                        ..good()
                    },
                    unstarted,
                ),
            ),
            (
                "an agent's start",
                stopped(
                    Script {
                        own_start: never(),
                        ..good()
                    },
                    unstarted,
                ),
            ),
            (
                "ready",
                stopped(
                    Script {
                        own_start: Answer::Silent(stream(&[])),
                        ..good()
                    },
                    unstarted,
                ),
            ),
            (
                "a table",
                stopped(
                    Script {
                        own_start: ready(Answer::Silent(Vec::new())),
                        ..good()
                    },
                    no_reply,
                ),
            ),
            (
                "a table's end",
                stopped(
                    Script {
                        own_start: ready(Answer::Silent(frame(1, b"12 (a) S 1"))),
                        ..good()
                    },
                    no_reply,
                ),
            ),
            (
                "a table behind endless complaints",
                stopped(
                    Script {
                        own_start: ready(Answer::Endless(Vec::new(), frame(2, b"oh"))),
                        ..good()
                    },
                    no_reply,
                ),
            ),
            (
                "a table behind endless frames of nothing",
                stopped(
                    Script {
                        own_start: ready(Answer::Endless(Vec::new(), frame(1, b""))),
                        ..good()
                    },
                    no_reply,
                ),
            ),
            (
                "the image",
                stopped(
                    Script {
                        image: never(),
                        ..good()
                    },
                    unput,
                ),
            ),
            (
                "what a directory is like",
                stopped(
                    Script {
                        stat: never(),
                        ..good()
                    },
                    unput,
                ),
            ),
            (
                "the version",
                stopped(
                    Script {
                        image: json("200 OK", "{}").into(),
                        version: never(),
                        ..good()
                    },
                    unput,
                ),
            ),
            (
                "the archive",
                stopped(
                    Script {
                        archive: never(),
                        ..good()
                    },
                    unput,
                ),
            ),
        ]
    }

    /// Runs all cases at once, because each mostly waits.
    #[test]
    fn is_not_waited_for_without_end() {
        let cases: Vec<_> = calls().into_iter().chain(later()).chain(stops()).collect();
        each_of(cases.len(), cases, |Case { script, options, check }| {
            let ran = run_with(script, options);
            check(&ran);
            ran.is_small();
            ran
        });
    }
}

mod calls {
    //! Each call of a command, with bad answers.

    use super::*;

    fn create(answer: Answer) -> Ran {
        let ran = run(Script {
            create: answer,
            ..Script::default()
        });
        assert_eq!(ran.requests.len(), 1, "{:?}", ran.requests);
        ran.is_small();
        ran
    }

    #[test]
    fn create_without_http() {
        each(heads(), |answer| {
            let ran = create(answer);
            ran.is_refused("notAnEngine", "create the command");
            ran
        });
    }

    #[test]
    fn create_with_an_endless_body() {
        each(endless_bodies(), |answer| {
            let ran = create(answer);
            ran.is_refused("notAnEngine", "create the command");
            ran
        });
    }

    #[test]
    fn create_with_endless_chunks_of_one_byte() {
        let head = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let ran = create(Answer::Endless(head, b"1\r\nx\r\n".to_vec()));
        assert_eq!(ran.code(), 1);
        ran.says("create the command");
    }

    #[test]
    fn create_with_a_broken_body() {
        each(broken_bodies(), |answer| {
            let ran = create(answer);
            // A connection that breaks may be the fault of the network or of the server, so either kind is correct.
            assert!(
                ["notAnEngine", "engineUnreachable"].contains(&ran.kind()),
                "{}",
                ran.response
            );
            ran.is_refused(ran.kind(), "create the command");
            ran
        });
    }

    #[test]
    fn create_with_wrong_json() {
        each(wrong_json(), |answer| {
            let ran = create(answer);
            ran.is_refused("notAnEngine", "create the command");
            ran
        });
    }

    #[test]
    fn create_with_a_status_that_nobody_asked_for() {
        let answer = |status: &str| Answer::Bytes(json(status, "{\"Id\":\"0123\"}"));
        let cases = vec![
            ("a redirection", answer("302 Found\r\nLocation: http://elsewhere/")),
            (
                "not modified",
                Answer::Bytes(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()),
            ),
            ("an upgrade", Answer::Bytes(stream(&[frame(1, b"x")]))),
            ("no content", Answer::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())),
            ("a status of no class", answer("999 What")),
        ];
        each(cases, |answer| {
            let ran = create(answer);
            assert_eq!(ran.code(), 1, "{}", ran.response);
            assert!(["notAnEngine", "engineError"].contains(&ran.kind()), "{}", ran.response);
            ran.says("create the command");
            ran
        });
    }

    #[test]
    fn start_without_http() {
        each(heads(), |answer| {
            let ran = run(Script {
                start: answer,
                ..Script::default()
            });
            ran.is_lost("start the command");
            assert_eq!(ran.response["stdout"], "", "{}", ran.response);
            ran.is_small();
            ran
        });
    }

    #[test]
    fn start_with_a_body_instead_of_a_stream() {
        let cases = [endless_bodies(), broken_bodies(), wrong_json()].concat();
        each(cases, |answer| {
            let ran = run(Script {
                start: answer,
                ..Script::default()
            });
            ran.is_lost("the connection");
            ran.is_small();
            ran
        });
    }

    #[test]
    fn inspect_with_anything() {
        each(all(), |answer| {
            let ran = run(Script {
                inspect: answer,
                ..Script::default()
            });
            ran.is_lost("inspect the command");
            assert_eq!(ran.response["stdout"], "x", "{}", ran.response);
            ran.is_small();
            ran
        });
    }

    #[test]
    fn a_negative_exit_code_is_none() {
        for told in ["-1", "-9223372036854775808"] {
            let inspect = format!("{{\"Running\":false,\"ExitCode\":{told},\"Pid\":0}}");
            let ran = run(Script {
                inspect: json("200 OK", &inspect).into(),
                ..Script::default()
            });
            assert_eq!((ran.code(), ran.kind()), (255, "connectionLost"), "{}", ran.response);
            ran.says("does not report the exit code");
        }
    }

    /// The command line in the answer is not needed, and is not kept.
    #[test]
    fn inspect_with_a_command_line_of_many_arguments() {
        let arguments = "\"\",".repeat(14 * 1024 * 1024 / 3);
        let state = "{\"Running\":false,\"ExitCode\":3,\"Pid\":7";
        let ran = run(Script {
            inspect: json(
                "200 OK",
                &format!("{state},\"ProcessConfig\":{{\"arguments\":[{arguments}\"\"]}}}}"),
            )
            .into(),
            ..Script::default()
        });
        assert_eq!(ran.response["exitCode"], 3, "{}", ran.response);
        ran.is_small();
    }

    #[test]
    fn a_list_of_anything_hides_no_missing_container() {
        let missing = || json("404 Not Found", "{\"message\":\"No such container: web\"}");
        each(all(), |answer| {
            let ran = run(Script {
                create: missing().into(),
                containers: answer,
                ..Script::default()
            });
            ran.is_refused("containerNotFound", "container `web` not found");
            ran.is_small();
            ran
        });
    }

    #[test]
    fn a_list_of_many_or_long_names_costs_little() {
        let missing = || json("404 Not Found", "{\"message\":\"No such container: web\"}");
        let list = |one: &str, times: usize| {
            let items = vec![one; times].join(",");
            Answer::Bytes(json("200 OK", &format!("[{items}]")))
        };
        let long = "n".repeat(10_000_000);
        let cases = vec![
            ("many containers", list("{\"Id\":\"\"}", 1_500_000)),
            (
                "many names",
                list(
                    &format!("{{\"Id\":\"\",\"Names\":[{}\"\"]}}", "\"\",".repeat(5_000_000)),
                    1,
                ),
            ),
            (
                "a long name",
                list(
                    &format!("{{\"Id\":\"\",\"Names\":[\"/{long}\"],\"State\":\"running\"}}"),
                    1,
                ),
            ),
            (
                "names of escapes",
                list(
                    "{\"Id\":\"\",\"Names\":[\"/\\u001b[31m\\n\\u0000\"],\"State\":\"running\"}",
                    3,
                ),
            ),
        ];
        each(cases, |answer| {
            let ran = run(Script {
                create: missing().into(),
                containers: answer,
                ..Script::default()
            });
            ran.is_refused("containerNotFound", "container `web` not found");
            assert!(!ran.message().contains(['\x1b', '\0']), "{}", ran.response);
            assert!(ran.message().len() < 4096, "{} bytes", ran.message().len());
            // Five million names in 15 MB become five million strings.
            assert!(ran.peak < 192 * 1024, "{} KiB", ran.peak);
            ran
        });
    }

    #[test]
    fn a_container_of_which_nothing_is_told_alters_no_exit_code() {
        each(all(), |answer| {
            let ran = run(Script {
                inspect: json("200 OK", "{\"Running\":false,\"ExitCode\":137,\"Pid\":7}").into(),
                container: answer,
                ..Script::default()
            });
            ran.is_ended(137);
            ran.is_small();
            ran
        });
    }

    #[test]
    fn a_container_of_which_nothing_is_told_may_hold_a_forgotten_command() {
        each(all(), |answer| {
            let ran = run(Script {
                inspect: json("404 Not Found", "{\"message\":\"No such exec instance: 01\"}").into(),
                container: answer,
                ..Script::default()
            });
            ran.is_lost("the engine no longer knows the command");
            ran.is_small();
            ran
        });
    }

    #[test]
    fn informational_answers_without_end() {
        let again = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
        let script = Script {
            create: Answer::Endless(Vec::new(), again),
            ..Script::default()
        };
        // hyper skips such responses, so only the timeout of the final one ends the call.
        let ran = run_with(script, &[]);
        assert_eq!(ran.code(), 1);
        ran.says("create the command");
        ran.is_small();
    }

    #[test]
    fn an_answer_that_nobody_asked_for_is_not_believed() {
        let ended = json("200 OK", "{\"Running\":false,\"ExitCode\":0,\"Pid\":7}");
        let early = [json("201 Created", &format!("{{\"Id\":\"{EXEC_ID}\"}}")), ended].concat();
        let ran = run(Script {
            create: early.into(),
            start: stream(&[frame(1, b"y")]).into(),
            inspect: json("200 OK", "{\"Running\":false,\"ExitCode\":9,\"Pid\":7}").into(),
            ..Script::default()
        });
        let stdout = &ran.response["stdout"];
        assert_eq!((ran.code(), stdout), (9, &"y".into()), "{}", ran.response);
    }

    #[test]
    fn answers_byte_by_byte_are_as_good() {
        let byte_by_byte = |answer: Answer| match answer {
            Answer::Bytes(bytes) => Answer::ByteByByte(bytes),
            other => other,
        };
        let good = Script::default();
        let ran = run(Script {
            create: byte_by_byte(good.create),
            start: Answer::ByteByByte(stream(&[frame(1, "é€x".as_bytes()), frame(2, b"e"), frame(1, b"")])),
            inspect: byte_by_byte(good.inspect),
            ..Script::default()
        });
        assert_eq!((ran.code(), ran.kind()), (0, ""), "{}", ran.response);
        assert_eq!(
            (&ran.response["stdout"], &ran.response["stderr"]),
            (&"é€x".into(), &"e".into())
        );
    }

    #[test]
    fn strange_exit_codes_are_no_success() {
        for told in ["256", "4294967296", "9223372036854775807"] {
            let fake = Fake::start(Script {
                inspect: json(
                    "200 OK",
                    &format!("{{\"Running\":false,\"ExitCode\":{told},\"Pid\":7}}"),
                )
                .into(),
                ..Script::default()
            });
            let done = dexec(["-H", &fake.host, "web", "true"]).run();
            let response: Value = serde_json::from_slice(&done.stdout).expect("a response is JSON");
            assert_ne!(done.code, 0, "{told}");
            assert_eq!(response["exitCode"].to_string(), told);
            assert_eq!(response["success"], false, "{told}");
        }
        for told in ["9223372036854775808", "1e3", "0.0", "\"0\"", "[]", "false"] {
            let ran = run(Script {
                inspect: json(
                    "200 OK",
                    &format!("{{\"Running\":false,\"ExitCode\":{told},\"Pid\":7}}"),
                )
                .into(),
                ..Script::default()
            });
            assert_eq!((ran.code(), ran.kind()), (255, "connectionLost"), "{told}");
        }
    }
}

mod streams {
    //! Invalid bytes instead of a command's output.

    use super::*;

    #[test]
    fn garbage_ends_the_stream_and_no_more() {
        let cases = vec![
            ("an unknown type", b"\x04\0\0\0\0\0\0\x01y".to_vec()),
            ("the last type", b"\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()),
            ("text", b"Welcome to the container!\n".to_vec()),
            ("another answer", json("200 OK", "{}")),
            ("a cut header", b"\x01\0\0".to_vec()),
            ("a cut frame", b"\x01\0\0\0\0\0\0\x09y".to_vec()),
            ("a frame of 4 GiB", b"\x02\0\0\0\xff\xff\xff\xffy".to_vec()),
            ("a message of 4 GiB", b"\x03\0\0\0\xff\xff\xff\xffy".to_vec()),
            ("a message that is no text", frame(3, b"\xff\x1b[31m\0\n")),
            ("an empty message", frame(3, b"")),
        ];
        let cases = cases
            .into_iter()
            .map(|(name, bytes)| (name, Answer::Bytes(stream(&[frame(1, b"x"), bytes]))));
        each(cases.collect(), |answer| {
            let ran = run(Script {
                start: answer,
                ..Script::default()
            });
            assert_eq!((ran.code(), ran.kind()), (255, "connectionLost"), "{}", ran.response);
            let stdout = ran.response["stdout"].as_str().unwrap_or_default();
            assert!(["x", "xy"].contains(&stdout), "{}", ran.response);
            ran.says("part of the output may be missing");
            ran.is_small();
            ran
        });
    }

    #[test]
    fn empty_frames_without_end_keep_no_timeout_waiting() {
        let cases = vec![
            ("output", Answer::Endless(stream(&[]), frame(1, b""))),
            (
                "a message",
                Answer::Endless(stream(&[b"\x03\0\0\0\xff\xff\xff\xff".to_vec()]), b"x".to_vec()),
            ),
        ];
        each(cases, |answer| {
            let script = Script {
                start: answer,
                inspect: json("200 OK", RUNNING).into(),
                ..Script::default()
            };
            let ran = run_with(script, &["--timeout=1"]);
            ran.is_small();
            ran
        });
    }

    #[test]
    fn output_without_end_is_kept_within_bounds() {
        let ran = run_with(
            Script {
                start: Answer::Endless(stream(&[]), frame(1, &vec![b'x'; 32 * 1024])),
                inspect: json("200 OK", RUNNING).into(),
                ..Script::default()
            },
            &["--timeout=5"],
        );
        assert_eq!((ran.code(), &ran.response["isTruncated"]), (124, &true.into()));
        println!("{} KiB, {:?}", ran.peak, ran.time);
        // The limit covers the received bytes and the text that is made from them.
        assert!(ran.peak < 4 * MAX_MEMORY, "{} KiB", ran.peak);
    }

    #[test]
    fn output_without_end_is_passed_on_in_little_memory() {
        let fake = Fake::start(Script {
            start: Answer::Endless(stream(&[]), frame(1, &[b'x'; 32])),
            inspect: json("200 OK", RUNNING).into(),
            ..Script::default()
        });
        let mut child = dexec(["--raw", "--timeout=2", "-H", &fake.host, "web", "yes"]).spawn();
        let mut stdout = child.stdout.take().expect("it is a pipe");
        let reader = thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        let watched = watch(child);
        let length = reader.join().expect("it does not panic").expect("it can be read");
        println!("{length} bytes, {} KiB, {:?}", watched.peak, watched.time);
        assert_eq!(watched.done.code, 124, "{:?}", watched.done);
        assert!(
            watched.done.stderr_text().contains("may still be running"),
            "{:?}",
            watched.done
        );
        assert!(watched.peak < MAX_MEMORY);
    }
}

mod agents {
    //! Commands that are to be stopped in a container whose processes can't be listed correctly.

    use super::*;

    /// The rows of the container's first process and of the agent.
    const BASE: &str = "- - - 1 (init) S 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 1 1\n\
                        none 0 in 900 (dexec) S 0 900 900 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 10000 1 1\n";

    fn row(pid: u64, name: &str, parent: u64, session: u64, start: u64) -> String {
        let fields =
            format!("{pid} ({name}) S {parent} {session} {session} 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {start} 1 1");
        format!("none 0 in {fields}\n")
    }

    /// The same row, with the command's marker.
    fn marked(pid: u64, name: &str, parent: u64, session: u64, start: u64) -> String {
        row(pid, name, parent, session, start).replacen("none", "marked", 1)
    }

    fn said(text: &str) -> Vec<u8> {
        frame(1, text.as_bytes())
    }

    /// An agent whose clock shows 50 s since boot, and that answers other lines with the result of `reply`.
    fn agent(reply: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Answer {
        agent_that_is("any", reply)
    }

    fn agent_that_is(able: &str, reply: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Answer {
        let reply = move |line: &str| match line {
            "clock" => Answer::Bytes(said("50000000\n.\n")),
            _ => reply(line),
        };
        let hello = format!("ready 900 0 {able} unlinked\n");
        Answer::Talk(stream(&[said(&hello)]), Arc::new(reply))
    }

    /// An agent that always returns this table, whatever it was told to kill.
    fn shows(rows: &str) -> Answer {
        let table = said(&format!("{BASE}{rows}.\n"));
        agent(move |line| {
            let is_list = line.starts_with("list");
            Answer::Bytes(if is_list { table.clone() } else { said(".\n") })
        })
    }

    fn with_agent(own_start: Answer) -> Ran {
        run_stopped(Script {
            own_start,
            ..Script::default()
        })
    }

    /// If the machine is too busy to stop the command in time, the message gives that reason instead of `why`.
    fn is_left_soon(ran: &Ran, why: &str) {
        let is_late = ran.message().contains("it took too long to ");
        ran.is_left(if is_late { "it took too long to " } else { why });
        ran.is_small();
    }

    /// Asserts that names chosen in the container can't insert terminal escapes or line breaks.
    fn is_plain(ran: &Ran) {
        let message = ran.message();
        assert!(!message.contains(char::is_control), "{}", ran.response);
        assert!(message.len() < 4096, "{} bytes", message.len());
    }

    /// An agent whose table shows a process until that process gets SIGTERM.
    fn obedient() -> Answer {
        let is_asked = AtomicUsize::new(0);
        agent(move |line| {
            if line.starts_with("kill 15 10 9000") {
                is_asked.store(1, Ordering::SeqCst);
            }
            let rows = match (line.starts_with("list"), is_asked.load(Ordering::SeqCst)) {
                (true, 0) => format!("{BASE}{}", marked(10, "sleep", 0, 10, 9000)),
                (true, _) => BASE.to_owned(),
                _ => String::new(),
            };
            Answer::ByteByByte(said(&format!("{rows}.\n")))
        })
    }

    fn run_ended(own_start: Answer) -> Ran {
        let script = Script {
            start: Answer::Silent(stream(&[])),
            own_start,
            ..Script::default()
        };
        run_with(script, &["--timeout=0.1"])
    }

    #[test]
    fn an_agent_that_does_as_it_is_told_is_believed() {
        let ran = run_ended(obedient());
        let Ran { response, .. } = &ran;
        assert_eq!((ran.code(), &response["timedOut"]), (124, &true.into()), "{response}");
        assert_eq!(
            (&response["signal"], &response["orphaned"]),
            (&"SIGTERM".into(), &Value::Null)
        );
    }

    #[test]
    fn a_stream_that_is_held_open_is_no_fault_of_the_reader() {
        let ran = run_ended(obedient());
        assert_ne!(ran.kind(), "outputFailed", "{}", ran.response);
    }

    #[test]
    fn create_with_anything() {
        each(all(), |answer| {
            let ran = run_stopped(Script {
                own_create: answer,
                ..Script::default()
            });
            is_left_soon(&ran, "create the command");
            ran
        });
    }

    #[test]
    fn start_with_anything() {
        each(all(), |answer| {
            let ran = with_agent(answer);
            is_left_soon(&ran, "");
            let words = ["failed to start the command", "was not upgraded to a stream"];
            assert!(
                words.iter().any(|words| ran.message().contains(words)),
                "{}",
                ran.message()
            );
            ran
        });
    }

    /// An answer about the image that does not give its architecture.
    fn untold() -> Answer {
        json("200 OK", "{}").into()
    }

    #[test]
    fn version_with_anything() {
        each(all(), |answer| {
            let ran = run_stopped(Script {
                own_start: stream(&[]).into(),
                image: untold(),
                version: answer,
                ..Script::default()
            });
            is_left_soon(&ran, "report its version");
            ran
        });
        let long = format!("{{\"Arch\":\"{}\"}}", "a".repeat(1_000_000));
        let cases = vec![
            ("none", "{}"),
            ("a long one", long.as_str()),
            ("escapes", "{\"Arch\":\"\\u001b[31m\\n\\u0000\"}"),
        ];
        let cases = cases
            .into_iter()
            .map(|(name, body)| (name, json("200 OK", body).into()));
        each(cases.collect(), |answer| {
            let ran = run_stopped(Script {
                own_start: stream(&[]).into(),
                image: untold(),
                version: answer,
                ..Script::default()
            });
            is_left_soon(&ran, "has no helper for");
            is_plain(&ran);
            ran
        });
    }

    #[test]
    fn stat_with_anything() {
        let cases = [
            ("no header", json("200 OK", "").into()),
            (
                "no base64",
                b"HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: ?\r\n\r\n"
                    .to_vec()
                    .into(),
            ),
            (
                "no JSON",
                b"HTTP/1.1 200 OK\r\nX-Docker-Container-Path-Stat: eHh4\r\n\r\n"
                    .to_vec()
                    .into(),
            ),
        ];
        each([&cases[..], &heads()].concat(), |answer| {
            let ran = run_stopped(Script {
                own_start: stream(&[]).into(),
                stat: answer,
                ..Script::default()
            });
            is_left_soon(&ran, "describe a file in the container");
            ran
        });
    }

    /// The helper runs as root, so nobody else may be able to replace its file.
    #[test]
    fn a_directory_that_others_can_change_gets_no_program() {
        for (mode, is_open) in [(0o777, true), (0o775, true), (0o755, false), (0o777 | 1 << 20, false)] {
            let ran = run_stopped(Script {
                stat: crate::fake::stat(mode).into(),
                ..Script::default()
            });
            let puts = ran
                .requests
                .iter()
                .filter(|request| request.starts_with("PUT "))
                .count();
            assert_eq!(puts == 0, is_open, "{mode:o}: {:?}", ran.requests);
        }
    }

    #[test]
    fn archive_with_anything_but_a_good_answer() {
        let cases = [heads(), endless_bodies(), broken_bodies()].concat();
        each(cases, |answer| {
            let ran = run_stopped(Script {
                own_start: stream(&[]).into(),
                archive: answer,
                ..Script::default()
            });
            is_left_soon(&ran, "copy a file into the container");
            ran
        });
    }

    #[test]
    fn what_is_not_ready_is_told() {
        let hello = |bytes: &[u8]| Answer::Bytes(stream(&[bytes.to_vec()]));
        let long = format!("{}\n", "x".repeat(20_000_000));
        let cases = vec![
            ("an unknown type", hello(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
            ("a message", hello(&frame(3, b"it broke"))),
            ("a cut frame", hello(b"\x01\0\0\0\xff\xff\xff\xffready 9")),
            ("a word", hello(&said("hello\n"))),
            ("no number", hello(&said("ready\n"))),
            ("a negative pid", hello(&said("ready -1\n"))),
            (
                "a pid beyond all numbers",
                hello(&said("ready 99999999999999999999999\n")),
            ),
            ("bytes that are not UTF-8", hello(&frame(1, b"\xff\xfe\n"))),
            ("ready and gone", hello(&said("ready 900 0 any unlinked\n"))),
            ("nothing", hello(b"")),
            ("a complaint", hello(&frame(2, b"sh: I can't"))),
            (
                "a line without end",
                Answer::Endless(stream(&[]), said(&"x".repeat(4096))),
            ),
            ("a long line", hello(&said(&long))),
        ];
        each(cases, |answer| {
            let ran = with_agent(answer);
            is_left_soon(&ran, "");
            ran
        });
    }

    #[test]
    fn what_is_no_table_is_told() {
        let cases = vec![
            (
                "gone",
                agent(|_| Answer::Bytes(Vec::new())),
                "the response is incomplete",
            ),
            (
                "an unknown type",
                agent(|_| Answer::Bytes(b"\x07\0\0\0\0\0\0\0".to_vec())),
                "unknown type 7",
            ),
            (
                "without end",
                agent(|_| Answer::Endless(Vec::new(), said(&BASE.repeat(100)))),
                "the response exceeds 32 MiB",
            ),
            (
                "a line without end",
                agent(|_| Answer::Endless(said("1 ("), said(&"(".repeat(4096)))),
                "the response exceeds 32 MiB",
            ),
            // The engine reports that the command is running.
            (
                "no processes",
                shows(
                    "marked 0 in 10 (a\nb) S 0 10 10 0 0 0\n\nmarked\nmarked 0 in 1\n((((\n)) ((\n- - - 12 (\n- - - 12 (a) S\n\
                     - - - 99999999999 (a) S 1 1 1\n\u{fffd}\nmarked x in\n",
                ),
                "none of its processes can be found",
            ),
            (
                "empty lines",
                agent(|_| Answer::Bytes(said(&format!("{}.\n", "\n".repeat(3_000_000))))),
                "none of its processes can be found",
            ),
        ];
        let cases = cases.into_iter().map(|(name, answer, why)| (name, (answer, why)));
        each_of(AT_A_TIMEOUT, cases.collect(), |(answer, why)| {
            let ran = with_agent(answer);
            is_left_soon(&ran, why);
            ran
        });
    }

    #[test]
    fn names_and_numbers_of_processes_are_anything() {
        let named = |name: &str| shows(&marked(10, name, 0, 10, 9000));
        let (most, largest) = (u64::from(u32::MAX), u64::MAX);
        let cases = vec![
            ("parentheses", named(") S 1 1 1 (")),
            ("escapes", named("\x1b[31m\x07\x08\u{202e}")),
            ("quotes", named("`\"'{}%s\\")),
            ("a long name", named(&"\x01".repeat(1_000_000))),
            ("large numbers", shows(&marked(most, "a", most, most, largest))),
            ("a new one each time", multiplying()),
            (
                "its own parent",
                shows(&format!(
                    "{}{}",
                    marked(10, "a", 11, 10, 9000),
                    row(11, "b", 10, 10, 9000)
                )),
            ),
        ];
        each_of(cases.len(), cases, |answer| {
            let ran = with_agent(answer);
            is_left_soon(&ran, "could not be ended");
            is_plain(&ran);
            ran
        });
    }

    /// An agent that shows a new process each time it is asked.
    fn multiplying() -> Answer {
        let next = AtomicUsize::new(1000);
        agent(move |line| {
            if !line.starts_with("list") {
                return Answer::Bytes(said(".\n"));
            }
            let pid = u64::try_from(next.fetch_add(1, Ordering::SeqCst)).expect("it is a number");
            let row = marked(pid, "fork", 0, 10, 9000 + pid);
            Answer::Bytes(said(&format!("{BASE}{row}.\n")))
        })
    }

    #[test]
    fn users_that_are_always_others_are_not_all_tried() {
        let next = AtomicUsize::new(1000);
        let own_start = agent_that_is("own", move |line| {
            let uid = next.fetch_add(1, Ordering::SeqCst);
            let suspect = row(70, "daemon", 1, 70, 10_001).replacen("none 0", &format!("unreadable {uid}"), 1);
            Answer::Bytes(match line.split(' ').next() {
                Some("list") => said(&format!("{BASE}{suspect}.\n")),
                Some("look") => said("70 unreadable\n.\n"),
                _ => said(".\n"),
            })
        });
        let ran = run_ended(own_start);
        is_left_soon(&ran, "process 70 (daemon)");
        let starts = ran
            .requests
            .iter()
            .filter(|request| request.contains("/start "))
            .count();
        assert!(starts < 20, "{starts} starts");
    }

    #[test]
    fn a_long_chain_of_processes_is_followed() {
        // Each process is the child of the one in the next row.
        let rows: String = (1..30_000)
            .rev()
            .map(|number| row(1000 + number, "a", 999 + number, 1000 + number, 9000))
            .collect();
        let table = said(&format!("{BASE}{rows}{}.\n", marked(1000, "a", 0, 1000, 9000)));
        let is_asked = AtomicUsize::new(0);
        let own_start = agent(move |line| {
            if line.starts_with("kill 18") {
                is_asked.store(1, Ordering::SeqCst);
            }
            Answer::Bytes(match (line.starts_with("list"), is_asked.load(Ordering::SeqCst)) {
                (true, 0) => table.clone(),
                (true, _) => said(&format!("{BASE}.\n")),
                _ => said(".\n"),
            })
        });
        let ran = run_ended(own_start);
        assert_eq!(
            (ran.code(), &ran.response["signal"]),
            (124, &"SIGTERM".into()),
            "{}",
            ran.response
        );
        ran.is_small();
    }

    #[test]
    fn many_suspects_are_looked_at() {
        let rows: String = (1000..21_000).map(|pid| row(pid, "a", 1, pid, 10_001)).collect();
        let table = said(&format!("{BASE}{rows}.\n"));
        let own_start = agent(move |line| {
            Answer::Bytes(match line.strip_prefix("look ") {
                Some(pids) => said(&format!("{} none\n.\n", pids.replace(' ', " none\n"))),
                None => table.clone(),
            })
        });
        let ran = run_ended(own_start);
        is_left_soon(&ran, "19995 more");
    }

    #[test]
    fn an_agent_that_reads_nothing_is_not_waited_for_without_end() {
        let rows: String = (1000..31_000).map(|pid| row(pid, "a", 0, 1000, 9000)).collect();
        let table = said(&format!("{BASE}{rows}.\n").replacen("none 0 in 1000", "marked 0 in 1000", 1));
        // It sends its replies before it is asked, and never stops.
        let own_start = agent(move |_| Answer::Endless(table.clone(), said(".\n")));
        let ran = with_agent(own_start);
        ran.is_left("");
        ran.is_small();
    }
}

mod podman {
    //! Podman's API call that ends a command, used when dexec's own agent can't run.

    use super::*;

    fn by(server: &str, answer: &[u8]) -> Answer {
        let text = String::from_utf8(answer.to_vec()).expect("it is text");
        Answer::Bytes(
            text.replacen("\r\n", &format!("\r\nServer: {server}\r\n"), 1)
                .into_bytes(),
        )
    }

    fn created_by(server: &str) -> Answer {
        by(server, &json("201 Created", &format!("{{\"Id\":\"{EXEC_ID}\"}}")))
    }

    /// An engine that refuses to create the agent.
    fn barred(server: &str) -> Script {
        Script {
            create: created_by(server),
            own_create: json("403 Forbidden", "{\"message\":\"no more processes\"}").into(),
            kill: by(server, &json("200 OK", "")),
            ..Script::default()
        }
    }

    /// The requests that end the command or ask whether it has ended; each kind is listed once.
    fn ending(ran: &Ran) -> Vec<String> {
        let mut requests: Vec<String> = ran
            .requests
            .iter()
            .filter(|request| request.contains("/libpod/") || request.starts_with("GET /exec/"))
            .map(|request| request.replace(EXEC_ID, "ID").replace(" HTTP/1.1", ""))
            .map(|request| {
                request
                    .find("/libpod/")
                    .map_or(request.clone(), |at| format!("POST {}", &request[at..]))
            })
            .collect();
        requests.dedup();
        requests
    }

    const TERM: &str = "POST /libpod/exec/ID/kill?signal=SIGTERM";
    const KILL: &str = "POST /libpod/exec/ID/kill?signal=SIGKILL";
    const ASK: &str = "GET /exec/ID/json";

    #[test]
    fn a_command_that_does_not_end_is_killed() {
        let ran = run_stopped(barred("Libpod/9.0 (linux)"));
        ran.is_left("no more processes");
        assert_eq!(ran.response["signal"], "SIGKILL");
        assert_eq!(ending(&ran), [ASK, TERM, ASK, KILL]);
    }

    #[test]
    fn an_engine_that_is_busy_is_asked_for_an_agent_again() {
        let ran = run_stopped(Script {
            own_create: json("500 Oops", "{\"message\":\"resource temporarily unavailable\"}").into(),
            ..barred("Libpod/9.0 (linux)")
        });
        ran.is_left("resource temporarily unavailable");
        assert_eq!(ran.response["signal"], "SIGKILL");
        assert_eq!(ending(&ran), [ASK, TERM, ASK, KILL]);
        let creates = ran
            .requests
            .iter()
            .filter(|request| request.starts_with("POST /containers/"));
        assert!(creates.count() > 2, "{:?}", ran.requests);
    }

    #[test]
    fn a_command_that_ends_is_not_killed_and_what_left_its_group_is_not_known() {
        let script = Script {
            start: Answer::Silent(stream(&[])),
            ..barred("Libpod/9.0 (linux)")
        };
        let ran = run_with(script, &["--timeout=0.1", "--kill-after=9"]);
        ran.is_left("no more processes");
        assert_eq!(ran.response["signal"], "SIGTERM");
        assert_eq!(ending(&ran), [ASK, TERM, ASK]);
    }

    #[test]
    fn an_engine_without_the_call_has_sent_no_signal() {
        let cases = [
            ("not found", Answer::Bytes(json("404 Not Found", "Not Found\n"))),
            ("nothing", Answer::Bytes(Vec::new())),
        ];
        let cases = [&cases[..], &heads(), &endless_bodies(), &broken_bodies()].concat();
        each(cases, |kill| {
            let ran = run_stopped(Script {
                kill,
                ..barred("Libpod/9.0 (linux)")
            });
            ran.is_left("no more processes");
            assert_eq!(ran.response["signal"], Value::Null, "{}", ran.response);
            assert_eq!(ending(&ran), [ASK, TERM]);
            ran.is_small();
            ran
        });
    }

    #[test]
    fn another_engine_is_not_asked() {
        let ran = run_stopped(barred("Docker/99.0 (linux)"));
        ran.is_left("no more processes");
        assert_eq!(ending(&ran), [ASK]);
    }
}
