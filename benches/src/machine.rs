//! What the figures were taken on, and with.

use std::process::Command;

use crate::built;
use crate::figures::megabytes;

const LEGEND: &str = "
Every client is a separate process. The clients take turns in a random order, with a pause of 30 ms after each, in which the
engine cleans up. A figure is the median, followed by the quartiles. A ratio is the ratio of two medians, followed by the
interval that contains 90 of 100 ratios if the runs are resampled (a bootstrap). CPU is the user and system time of the client
alone, without the engine; it does not include the processes that `podman exec` leaves running (conmon). Peak memory is the
client's resident set; it is at least that of the process that started the client, about 3 MB. Every client writes to a pipe
that is read as fast as it fills. `bare` makes the three requests directly, with blocking calls: it is the lower bound. The
prepared engine is a part of the benchmark that has its responses ready and runs nothing, so with it only the client's time
counts.
";

pub(crate) fn heading() -> String {
    let processor = line_of("/proc/cpuinfo", "model name").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = line_of("/proc/meminfo", "MemTotal").unwrap_or_default();
    let memory = memory.trim_end_matches(" kB").parse().unwrap_or(0_u64) / (1024 * 1024);
    let system = line_of("/etc/os-release", "PRETTY_NAME").unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    let date = output_of("date", &["-u", "+%F"]);
    let commit = output_of("git", &["describe", "--always", "--dirty"]);
    format!(
        "# Results\n\nWritten by `script/bench` on {date}: {processor}, {processors} processors, {memory} GiB, {}, Linux \
         {}, load {load} before the run.\n\n{} (commit {commit}), {}, {}. Programs: {}.\n{LEGEND}",
        system.trim_matches('"'),
        kernel.trim(),
        output_of(&built("dexec").to_string_lossy(), &["--version"]),
        output_of("docker", &["--version"]),
        output_of("podman", &["--version"]),
        sizes(),
    )
}

fn sizes() -> String {
    let programs = ["dexec", "dexec-mcp"].map(|name| (name, built(name)));
    let others = ["docker", "podman"].map(|name| (name, output_of("which", &[name]).into()));
    let sizes = programs.into_iter().chain(others).filter_map(|(name, path)| {
        let size = std::fs::metadata(path).ok()?.len();
        Some(format!("{name} {:.1} MB", megabytes(size)))
    });
    sizes.collect::<Vec<_>>().join(", ")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// What stands behind a word, as such files have it.
fn line_of(path: &str, word: &str) -> Option<String> {
    let text = read(path);
    let line = text.lines().find(|line| line.starts_with(word))?;
    let (_, value) = line.split_once([':', '='])?;
    Some(value.trim().to_owned())
}

/// The first line that a program writes; empty where there is none.
fn output_of(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}
