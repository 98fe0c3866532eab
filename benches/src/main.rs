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

use std::path::{Path, PathBuf};

use dexec_benches::Api;

const CONTAINER: &str = "dexec-shell";

fn main() {
    let mut words = std::env::args().skip(1);
    let results = words.next().expect("usage: side-by-side RESULTS NAME SOCKET...");
    let mut report = machine::heading();
    tell(&report);
    let mut engine = None;
    while let (Some(name), Some(socket)) = (words.next(), words.next()) {
        let engine = engine.insert(Engine {
            name,
            socket: socket.into(),
        });
        let title = format!("\n## {}\n", engine.title());
        tell(&title);
        report.push_str(&title);
        for part in [clients::compare, mcp::compare] {
            let part = part(engine);
            tell(&part);
            report.push_str(&part);
        }
    }
    let counted = counts::table_of(engine.as_ref());
    tell(&counted);
    report.push_str(&counted);
    std::fs::write(&results, report).expect("the results can be written");
}

/// Whoever waits for minutes sees each part when it is there.
fn tell(part: &str) {
    print!("{part}");
}

/// A container engine at a unix socket.
struct Engine {
    name: String,
    socket: PathBuf,
}

impl Engine {
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
