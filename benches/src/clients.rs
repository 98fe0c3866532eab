//! One command by each client, each time a new process.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use wait4::Wait4 as _;

use crate::figures::{Samples, megabytes, milliseconds, table};
use crate::proxy::Proxy;
use crate::{CONTAINER, Engine, ROUNDS_TIMEOUT, address, built, rounds_in_time};

const MIB: u64 = 1024 * 1024;

const GIB: u64 = 1024 * MIB;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Client {
    Dexec,
    DexecJson,
    Docker,
    Podman,
    Bare,
    /// It keeps the output to the end.
    BareKept,
}

impl Client {
    fn name(self) -> &'static str {
        match self {
            Self::Dexec => "dexec --raw",
            Self::DexecJson => "dexec",
            Self::Docker => "docker exec",
            Self::Podman => "podman exec",
            Self::Bare => "bare",
            Self::BareKept => "bare, buffered",
        }
    }

    fn command(self, socket: &Path, has_stdin: bool, words: &[&str]) -> Command {
        let mut command = match self {
            Self::Dexec | Self::DexecJson => {
                let output = if self == Self::Dexec { "raw" } else { "json" };
                let mut command = Command::new(built("dexec"));
                command.args(["--host", &address(socket), "--output", output]);
                command
            }
            Self::Docker => {
                let mut command = Command::new("docker");
                command.args(["--host", &address(socket), "exec"]);
                command
            }
            Self::Podman => {
                let mut command = Command::new("podman");
                command.arg("exec");
                command
            }
            Self::Bare | Self::BareKept => {
                let mut command = Command::new(built("bare"));
                command.arg(socket);
                if self == Self::BareKept {
                    command.arg("-k");
                }
                command
            }
        };
        if has_stdin {
            command.arg("-i");
        }
        command.arg(CONTAINER).args(words);
        command
    }
}

/// A command, and what of it is measured how often.
struct Case {
    words: &'static [&'static str],
    /// How many bytes go in.
    input: Option<u64>,
    /// How many bytes come out, at least.
    output: u64,
    rounds: usize,
    time: Duration,
}

/// What one process took.
struct Run {
    wall: Duration,
    /// From the start of the process to its first byte.
    first: Option<Duration>,
    cpu: Duration,
    peak: u64,
}

impl Case {
    /// With the time that each has.
    fn new(words: &'static [&'static str], input: Option<u64>, output: u64, rounds: usize) -> Self {
        let time = ROUNDS_TIMEOUT;
        Self {
            words,
            input,
            output,
            rounds,
            time,
        }
    }

    fn run(&self, client: Client, socket: &Path) -> Run {
        let mut command = client.command(socket, self.input.is_some(), self.words);
        let stdin = self.input.map_or_else(Stdio::null, |_| Stdio::piped());
        command.stdin(stdin).stdout(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.spawn().expect("the client can be started");
        let feeding = child.stdin.take().zip(self.input);
        let feeding = feeding.map(|(stdin, length)| std::thread::spawn(move || feed(stdin, length)));
        let mut stdout = child.stdout.take().expect("it is a pipe");
        let mut buffer = vec![0; 64 * 1024];
        let (mut first, mut length) = (None, 0);
        while let read @ 1.. = stdout.read(&mut buffer).expect("the client's output can be read") {
            first.get_or_insert_with(|| begun.elapsed());
            length += read as u64;
        }
        let ended = child.wait4().expect("the client can be waited for");
        let wall = begun.elapsed();
        if let Some(feeding) = feeding {
            feeding.join().expect("the client reads its input");
        }
        assert!(ended.status.success(), "{}: {}", client.name(), ended.status);
        assert!(length >= self.output, "{}: {length} bytes came", client.name());
        Run {
            wall,
            first,
            cpu: ended.rusage.utime + ended.rusage.stime,
            peak: ended.rusage.maxrss,
        }
    }

    /// The runs of each client, taken in turns.
    fn runs(&self, clients: &[Client], engine: &Engine) -> Vec<Vec<Run>> {
        let run = |client| self.run(client, &engine.socket);
        in_turns(clients, engine, (self.rounds, self.time), run)
    }
}

fn in_turns<T>(
    clients: &[Client],
    engine: &Engine,
    (rounds, time): (usize, Duration),
    run: impl Fn(Client) -> T,
) -> Vec<Vec<T>> {
    let mut runs: Vec<Vec<T>> = clients.iter().map(|_| Vec::new()).collect();
    let mut random = fastrand::Rng::with_seed(0);
    let mut order: Vec<usize> = (0..clients.len()).collect();
    for _ in rounds_in_time(rounds, time) {
        random.shuffle(&mut order);
        for &number in &order {
            runs[number].push(run(clients[number]));
            std::thread::sleep(engine.pause);
        }
    }
    runs
}

fn feed(mut stdin: ChildStdin, length: u64) {
    let buffer = vec![0; 64 * 1024];
    let mut left = length;
    while left > 0 {
        let piece = left.min(buffer.len() as u64);
        let piece = usize::try_from(piece).expect("it is no longer than the buffer");
        stdin.write_all(&buffer[..piece]).expect("the client reads");
        left -= piece as u64;
    }
}

/// Fifty processes at the same time: how long until all have ended, and what they took together.
fn crowd(client: Client, socket: &Path) -> (Duration, Duration) {
    let begun = Instant::now();
    let start = || {
        let mut command = client.command(socket, false, &["true"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        child.expect("the client can be started")
    };
    let children: Vec<_> = (0..50).map(|_| start()).collect();
    let cpu = children.into_iter().map(|mut child| {
        let ended = child.wait4().expect("the client can be waited for");
        assert!(ended.status.success(), "{}: {}", client.name(), ended.status);
        ended.rusage.utime + ended.rusage.stime
    });
    let cpu = cpu.sum();
    (begun.elapsed(), cpu)
}

/// The rows of the table.
struct Rows {
    clients: Vec<Client>,
    rows: Vec<Vec<String>>,
}

impl Rows {
    fn add<T>(&mut self, label: &str, runs: &[Vec<T>], value: impl Fn(&T) -> f64) {
        let samples: Vec<Samples> = runs.iter().map(|runs| runs.iter().map(&value).collect()).collect();
        let of = |client| {
            self.clients
                .iter()
                .position(|one| *one == client)
                .map(|at| &samples[at])
        };
        let ratio = |other| match (of(Client::Dexec), of(other)) {
            (Some(ours), Some(theirs)) => ours.over(theirs),
            _ => "–".to_owned(),
        };
        let count = runs.iter().map(Vec::len).min().unwrap_or_default();
        let mut row = vec![label.to_owned(), count.to_string()];
        row.extend(samples.iter().map(Samples::shown));
        row.extend([ratio(Client::Docker), ratio(Client::Bare)]);
        self.rows.push(row);
    }

    fn table(&self) -> String {
        let mut head = vec!["", "runs"];
        head.extend(self.clients.iter().map(|client| client.name()));
        head.extend(["dexec / docker", "dexec / bare"]);
        table(&head, &self.rows)
    }

    fn add_usage(&mut self, label: &str, runs: &[Vec<Run>]) {
        self.add(&format!("{label}: wall, ms"), runs, |run| milliseconds(run.wall));
        self.add(&format!("{label}: CPU, ms"), runs, |run| milliseconds(run.cpu));
        self.add(&format!("{label}: peak memory, MB"), runs, |run| megabytes(run.peak));
    }

    fn add_counts(&mut self, engine: &Engine) {
        let proxy = Proxy::before(&engine.socket);
        let case = Case::new(&["true"], None, 0, 1);
        let count = |client: &Client| {
            case.run(*client, proxy.socket());
            // `podman exec` goes no way that could be watched.
            Some(proxy.count()).filter(|_| *client != Client::Podman)
        };
        let counts: Vec<_> = self.clients.iter().map(count).collect();
        for (label, number) in [
            ("requests", (|(requests, _)| requests) as fn((usize, usize)) -> usize),
            ("connections", |(_, connections)| connections),
        ] {
            let shown = |count: &Option<_>| count.map_or("–".to_owned(), |count| number(count).to_string());
            let mut row = vec![label.to_owned(), "1".to_owned()];
            row.extend(counts.iter().map(shown));
            row.extend(["–".to_owned(), "–".to_owned()]);
            self.rows.push(row);
        }
    }
}

/// One `true` with the prepared engine.
pub(crate) fn compare_alone(ready: &Engine) -> String {
    let clients = vec![Client::Dexec, Client::Docker, Client::Bare];
    let runs = Case::new(&["true"], None, 1, 300).runs(&clients, ready);
    let mut rows = Rows {
        clients,
        rows: Vec::new(),
    };
    rows.add("wall, ms", &runs, |run| milliseconds(run.wall));
    rows.add("first byte, ms", &runs, |run| run.first.map_or(f64::NAN, milliseconds));
    rows.add("CPU, ms", &runs, |run| milliseconds(run.cpu));
    rows.table()
}

pub(crate) fn compare(engine: &Engine) -> String {
    let mut clients = vec![Client::Dexec, Client::Docker, Client::Bare];
    if engine.name == "podman" {
        clients.insert(2, Client::Podman);
    }
    let mut rows = Rows {
        clients: clients.clone(),
        rows: Vec::new(),
    };

    rows.add_usage("`true`", &Case::new(&["true"], None, 0, 200).runs(&clients, engine));
    rows.add_counts(engine);

    // The command lives on, so that the end is no help.
    let first = Case::new(&["sh", "-c", "echo; exec sleep 0.05"], None, 1, 60).runs(&clients, engine);
    rows.add("first byte, ms", &first, |run| run.first.map_or(f64::NAN, milliseconds));

    let out = &["sh", "-c", "dd if=/dev/zero bs=64k count=16384 2>/dev/null"];
    // Its figures differ most from run to run.
    let out = Case {
        time: 2 * ROUNDS_TIMEOUT,
        ..Case::new(out, None, GIB, 9)
    };
    rows.add_usage("1 GiB out", &out.runs(&clients, engine));
    rows.add_usage(
        "1 GiB in and back",
        &Case::new(&["cat"], Some(GIB), GIB, 5).runs(&clients, engine),
    );

    let text = &[
        "sh",
        "-c",
        "yes 'a line of output, as many commands write it' | head -c 10485760",
    ];
    let text = Case::new(text, None, 10 * MIB, 25);
    let with_kept = [&clients[..], &[Client::DexecJson, Client::BareKept]].concat();
    let mut runs = text.runs(&with_kept, engine);
    let kept = runs.split_off(clients.len());
    rows.add_usage("10 MiB of text out", &runs);

    let crowds = in_turns(&clients, engine, (3, ROUNDS_TIMEOUT), |client| {
        crowd(client, &engine.socket)
    });
    rows.add("50 in parallel: wall, ms", &crowds, |(wall, _)| milliseconds(*wall));
    rows.add("50 in parallel: CPU of all, ms", &crowds, |(_, cpu)| milliseconds(*cpu));

    let compared = rows.table();

    let pairs = [[&kept[0], &runs[0]], [&kept[1], &runs[runs.len() - 1]]];
    let row = |label: &str, value: fn(&Run) -> f64| {
        let samples = pairs.map(|pair| pair.map(|runs| runs.iter().map(value).collect::<Samples>()));
        let shown = samples
            .iter()
            .flat_map(|[kept, passed]| [kept.shown(), passed.shown(), kept.over(passed)]);
        [label.to_owned()].into_iter().chain(shown).collect::<Vec<_>>()
    };
    let rows = [
        row("wall, ms", |run| milliseconds(run.wall)),
        row("CPU, ms", |run| milliseconds(run.cpu)),
        row("peak memory, MB", |run| megabytes(run.peak)),
    ];
    let head = [
        "10 MiB of text as a response",
        "dexec",
        "dexec --raw",
        "ratio",
        "bare, buffered",
        "bare",
        "ratio",
    ];
    compared + &table(&head, &rows)
}
