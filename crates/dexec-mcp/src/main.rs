//! `dexec-mcp`: the `exec` tool for agents, over the Model Context Protocol; a drop-in for Pare's.

/// Writes a line to standard error. A server whose standard error is closed serves all the same.
macro_rules! log {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "dexec-mcp: {}", format_args!($($words)*));
    }};
}

mod answer;
mod args;
mod audit;
mod caller;
mod calls;
mod containers;
mod endpoint;
mod environment;
mod exec;
mod handler;
mod http;
mod input;
mod message;
mod policy;
mod remedy;
mod schema;
mod server;
mod stdio;

use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser as _;
use dexec::{Error, exit_code};
use dexec_common::signals::Signals;
use dexec_common::threads;

use args::Args;
use server::Server;

/// A server waits for the engine most of the time.
const MAX_WORKERS: usize = 8;

/// Standard input and output each may need a thread that waits for them, and a long answer one that takes a worker's place.
const WAITING_THREADS: usize = 3;

/// Threads are kept for ever: where there is none left, a new one could not be had.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

fn main() -> ExitCode {
    let args = Args::parse();
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get().min(MAX_WORKERS));
    // One more is for the watch of the client, and as many that have just ended may still count.
    if let Err(error) = threads::ask_for(2 * (workers + WAITING_THREADS) + 1) {
        log!("{}", threads::missing(&error));
        return ExitCode::FAILURE;
    }
    let runtime = match runtime(workers) {
        Ok(runtime) => runtime,
        Err(error) => {
            log!("the system gives no means to wait for input and output: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(run(args)) {
        Ok(code) => code,
        Err(error) => {
            log!("{}", error.reworded(remedy::words));
            ExitCode::FAILURE
        }
    };
    // A read of standard input that is under way would be waited for otherwise.
    runtime.shutdown_background();
    code
}

fn runtime(workers: usize) -> io::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_keep_alive(FOREVER)
        .enable_all()
        .build()?;
    // Each needs a thread of its own while the gate is closed.
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    for _ in 0..WAITING_THREADS {
        let gate = Arc::clone(&gate);
        runtime.spawn_blocking(move || drop(gate.lock()));
    }
    drop(closed);
    Ok(runtime)
}

async fn run(args: Args) -> Result<ExitCode, Error> {
    let signals = Signals::listen(|| {}, exit_code::signal);
    let (settings, http) = args.into_settings()?;
    endpoint::warn(&settings.endpoint);
    let server = Server::new(settings, signals.cancel().clone());
    match http {
        Some(http) => http::serve(&server, http).await?,
        None => stdio::serve(&server).await?,
    }
    server.finish().await;
    let code = signals.exit_code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::SUCCESS, ExitCode::from))
}
