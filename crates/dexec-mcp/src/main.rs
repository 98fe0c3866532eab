//! `dexec-mcp`: the `exec` tool for agents, over the Model Context Protocol; a drop-in for Pare's.

/// Writes a line to standard error. Errors are ignored, so that a server with a closed standard error keeps running.
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

/// The most worker threads: the server mostly waits for the engine.
const MAX_WORKERS: usize = 8;

/// Standard input and output may each need a thread that blocks, and a long answer needs one that replaces its worker.
const WAITING_THREADS: usize = 3;

/// Idle threads are kept, because creating a new one later could fail.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

fn main() -> ExitCode {
    let args = Args::parse();
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get().min(MAX_WORKERS));
    // One more thread watches the client. The number is doubled because threads that have just ended may still count.
    if let Err(error) = threads::ask_for(2 * (workers + WAITING_THREADS) + 1) {
        log!("{}", threads::missing(&error));
        return ExitCode::FAILURE;
    }
    let runtime = match runtime(workers) {
        Ok(runtime) => runtime,
        Err(error) => {
            log!("failed to start the async runtime: {error}");
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
    // Otherwise the runtime would wait for a pending read of standard input.
    runtime.shutdown_background();
    code
}

fn runtime(workers: usize) -> io::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_keep_alive(FOREVER)
        .enable_all()
        .build()?;
    // While the gate is locked, each task needs its own thread, so all threads are created now.
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
