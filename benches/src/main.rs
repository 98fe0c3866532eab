//! dexec beside `docker exec`, `podman exec` and a bare client of the API, and dexec-mcp beside the same bare calls: on one
//! machine, in one run, in turns. `script/bench` starts it.
//!
//! ```console
//! $ side-by-side RESULTS NAME SOCKET [NAME SOCKET]...
//! ```
//!
//! It prints what it finds and writes it to the file RESULTS. The engines have the container `dexec-shell` of
//! docker-compose.test.yml; where NAME is `podman`, `podman exec` finds the same container without the socket.

mod clients;
mod counts;
mod figures;
mod machine;
mod mcp;
mod proxy;
mod ready;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dexec_benches::Api;

const CONTAINER: &str = "dexec-shell";

/// After this time no new round of anything is begun: all of it is to take less than ten minutes.
const ROUNDS_TIMEOUT: Duration = Duration::from_secs(15);

/// How long an engine cleans up behind a command, which takes from the next client what it takes.
const CLEANING_TIMEOUT: Duration = Duration::from_millis(30);

fn main() {
    let mut words = std::env::args().skip(1);
    let results = words.next().expect("usage: side-by-side RESULTS NAME SOCKET...");
    let mut report = machine::heading();
    tell(&report);
    let words: Vec<String> = words.collect();
    let engines: Vec<Engine> = words.chunks_exact(2).map(Engine::new).collect();
    let mut add = |part: String| {
        tell(&part);
        report.push_str(&part);
    };
    // The clients first: they are told the memory of whoever starts them, which grows.
    for engine in &engines {
        add(format!("\n## On {}\n", engine.title()));
        add(clients::compare(engine));
    }
    let ready = ready::engine();
    add("\n## `true` with the prepared engine\n".to_owned());
    add(clients::compare_alone(&ready));
    for engine in &engines {
        add(format!("\n## dexec-mcp on {}\n", engine.title()));
        add(mcp::compare(engine));
    }
    add("\n## dexec-mcp with the prepared engine\n".to_owned());
    add(mcp::compare_alone(&ready));
    add(counts::compare(engines.first()));
    std::fs::write(&results, report).expect("the results can be written");
}

/// Whoever waits for minutes sees each part when it is there.
fn tell(part: &str) {
    print!("{part}");
}

/// The numbers of the rounds: so many, or as many as there is time for, and one at least.
fn rounds_in_time(rounds: usize, time: Duration) -> impl Iterator<Item = usize> {
    let begun = Instant::now();
    (0..rounds).take_while(move |round| *round == 0 || begun.elapsed() < time)
}

/// A container engine at a unix socket.
struct Engine {
    name: String,
    socket: PathBuf,
    /// How long it is left alone behind a client.
    pause: Duration,
}

impl Engine {
    fn new(words: &[String]) -> Self {
        Self {
            name: words[0].clone(),
            socket: words[1].clone().into(),
            pause: CLEANING_TIMEOUT,
        }
    }

    fn title(&self) -> String {
        let version = Api::connect(self.socket.clone()).version();
        let mut name = self.name.clone();
        name[..1].make_ascii_uppercase();
        format!("{name} {version}")
    }
}

/// A program that was built with this one.
fn built(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this program has a path");
    this.with_file_name(name)
}

/// A socket as clients want it.
fn address(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}
