//! dexec-mcp beside the same requests made by hand, in turns.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dexec_benches::Api;
use serde_json::{Value, json};

use crate::figures::{Samples, megabytes, milliseconds, number, table};
use crate::{CONTAINER, Engine, ROUNDS_TIMEOUT, address, built, rounds_in_time};

const STARTS: usize = 20;

const CALLS: usize = 300;

const ROUNDS: usize = 7;

const HEAD: [&str; 4] = ["", "dexec-mcp", "bare calls", "ratio"];

/// How many calls are in flight, and how many of them make a round.
const LOADS: [(usize, usize); 3] = [(1, 24), (8, 48), (32, 96)];

pub(crate) fn compare(engine: &Engine) -> String {
    let socket = &engine.socket;
    let starts = (0..STARTS).map(|_| {
        let begun = Instant::now();
        let server = Server::start(socket);
        let taken = begun.elapsed();
        drop(server);
        milliseconds(taken)
    });
    let starts: Samples = starts.collect();

    let mut server = Server::start(socket);
    server.exec_true();
    let resident = server.memory("VmRSS:");
    let mut rows = vec![
        row("start to initialized, ms", starts.shown()),
        row("memory after one call, MB", number(resident)),
    ];
    rows.extend(compared(&mut server, engine, CALLS, 1));
    rows.push(row("peak memory, MB", number(server.memory("VmHWM:"))));
    table(&HEAD, &rows)
}

/// The same with the prepared engine.
pub(crate) fn compare_alone(ready: &Engine) -> String {
    let mut server = Server::start(&ready.socket);
    table(&HEAD, &compared(&mut server, ready, 10 * CALLS, 20))
}

/// A figure of the server that nothing else has.
fn row(label: &str, figure: String) -> Vec<String> {
    vec![label.to_owned(), figure, "–".to_owned(), "–".to_owned()]
}

/// Calls one after the other; then rounds of many in flight, which are `times` as long as before a real engine.
fn compared(server: &mut Server, engine: &Engine, calls: usize, times: usize) -> Vec<Vec<String>> {
    let socket = &engine.socket;
    let mut api = Api::connect(socket.to_owned());
    api.exec_true(CONTAINER);
    let cpu = server.cpu();
    let runs = rounds_in_time(calls, ROUNDS_TIMEOUT).map(|_| {
        let ours = timed(|| server.exec_true());
        std::thread::sleep(engine.pause);
        let floor = timed(|| api.exec_true(CONTAINER));
        std::thread::sleep(engine.pause);
        (ours, floor)
    });
    let (ours, floor): (Vec<f64>, Vec<f64>) = runs.unzip();
    let cpu = (server.cpu() - cpu) / f64::from(u32::try_from(ours.len()).unwrap_or(u32::MAX));
    let (ours, floor): (Samples, Samples) = (ours.into_iter().collect(), floor.into_iter().collect());
    let mut rows = vec![vec![
        "`exec` of `true`: p50, ms".to_owned(),
        number(ours.median()),
        number(floor.median()),
        ours.over(&floor),
    ]];
    for percent in [95, 99] {
        let (ours, floor) = (ours.at(percent), floor.at(percent));
        let ratio = format!("{:.3}", ours / floor);
        let label = format!("`exec` of `true`: p{percent}, ms");
        rows.push(vec![label, number(ours), number(floor), ratio]);
    }
    rows.push(row("CPU of the server per call, ms", number(cpu)));
    for (in_flight, calls) in LOADS {
        let calls = calls * times;
        let rounds = rounds_in_time(ROUNDS, ROUNDS_TIMEOUT * 2 / 3).map(|round| {
            // Neither has always the other before it.
            if round % 2 == 0 {
                (server.flood(in_flight, calls), flood(socket, in_flight, calls))
            } else {
                let floor = flood(socket, in_flight, calls);
                (server.flood(in_flight, calls), floor)
            }
        });
        let (ours, floor): (Vec<f64>, Vec<f64>) = rounds.unzip();
        let (ours, floor): (Samples, Samples) = (ours.into_iter().collect(), floor.into_iter().collect());
        let label = format!("calls per second, {in_flight} in flight");
        rows.push(vec![label, ours.shown(), floor.shown(), ours.over(&floor)]);
    }
    rows
}

fn timed(call: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    call();
    milliseconds(begun.elapsed())
}

/// So many bare calls, by as many threads as are to be in flight: how many a second.
fn flood(socket: &Path, in_flight: usize, calls: usize) -> f64 {
    let clients: Vec<Api> = (0..in_flight).map(|_| Api::connect(socket.to_owned())).collect();
    let done = AtomicUsize::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for mut api in clients {
            let done = &done;
            scope.spawn(move || {
                while done.fetch_add(1, Ordering::Relaxed) < calls {
                    api.exec_true(CONTAINER);
                }
            });
        }
    });
    a_second(calls, begun.elapsed())
}

fn a_second(calls: usize, time: Duration) -> f64 {
    u32::try_from(calls).map_or(f64::NAN, f64::from) / time.as_secs_f64()
}

/// The server, as a client starts it.
struct Server {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Server {
    fn start(socket: &Path) -> Self {
        let mut command = Command::new(built("dexec-mcp"));
        command.args(["--host", &address(socket)]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("the server can be started");
        let stdin = child.stdin.take().expect("it is a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let mut server = Self { child, stdin, stdout };
        let client = json!({"name": "bench", "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        server.write(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}));
        server.read();
        server.write(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        server
    }

    fn exec_true(&mut self) {
        self.call(1);
        self.answer();
    }

    /// So many calls, with as many in flight: how many a second.
    fn flood(&mut self, in_flight: usize, calls: usize) -> f64 {
        let begun = Instant::now();
        (0..in_flight).for_each(|id| self.call(id));
        for id in in_flight..calls {
            self.answer();
            self.call(id);
        }
        (0..in_flight).for_each(|_| self.answer());
        a_second(calls, begun.elapsed())
    }

    fn call(&mut self, id: usize) {
        let arguments = json!({"container": CONTAINER, "command": ["true"]});
        let params = json!({"name": "exec", "arguments": arguments});
        self.write(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}));
    }

    fn answer(&mut self) {
        let answer = self.read();
        assert!(answer.contains("\"exitCode\":0"), "{answer}");
    }

    fn write(&mut self, message: &Value) {
        let message = format!("{message}\n");
        self.stdin.write_all(message.as_bytes()).expect("the server reads");
    }

    fn read(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("the server answers");
        line
    }

    /// The CPU time that it took up to now, in milliseconds; its ended threads are in it.
    fn cpu(&self) -> f64 {
        const MILLISECONDS_A_TICK: f64 = 10.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        // The first field behind the name is the third.
        let behind_name = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks = behind_name
            .skip(14 - 3)
            .take(2)
            .map(|ticks| ticks.parse::<f64>().expect("it is a number"));
        ticks.sum::<f64>() * MILLISECONDS_A_TICK
    }

    /// A figure of its memory, in megabytes.
    fn memory(&self, kind: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(kind));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        megabytes(kilobytes.expect("the kernel tells it") * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
