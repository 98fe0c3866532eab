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
mod containers;
#[path = "../shared/duration.rs"]
mod duration;
#[path = "../shared/endpoint_args.rs"]
mod endpoint_args;
mod environment;
mod exec;
mod handler;
mod http;
mod input;
#[cfg(test)]
#[path = "../shared/manual.rs"]
mod manual;
mod policy;
mod schema;
mod server;
#[path = "../shared/signals.rs"]
mod signals;
mod stdio;

use std::process::ExitCode;

use clap::Parser as _;
use dexec::Error;

use args::Args;
use server::Server;
use signals::Signals;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            log!("the system gives no means to wait for input and output: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(run(args)) {
        Ok(code) => code,
        Err(error) => {
            log!("{error}");
            ExitCode::FAILURE
        }
    };
    // A read of standard input that is under way would be waited for otherwise.
    runtime.shutdown_background();
    code
}

async fn run(args: Args) -> Result<ExitCode, Error> {
    let signals = Signals::listen(|| {});
    let (settings, http) = args.into_settings()?;
    for warning in endpoint_args::warnings(&settings.endpoint) {
        log!("{warning}");
    }
    let server = Server::new(settings, signals.cancel().clone());
    match http {
        Some(http) => http::serve(&server, http).await?,
        None => stdio::serve(&server).await?,
    }
    server.finish().await;
    let code = signals.exit_code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::SUCCESS, ExitCode::from))
}
