//! `dexec`: a drop-in for `docker exec` that needs no docker binary and gives a structured answer.

mod args;
mod events;
mod flag_error;
mod render;
mod signals;
mod stdio;

use std::process::ExitCode;

use args::{Args, Mode};
use dexec::{End, Engine, Error, Request, Response};
use signals::Signals;

fn main() -> ExitCode {
    let args = match Args::from_command_line(std::env::args_os()) {
        Ok(args) => args,
        Err(stop) => return stop.report(),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("dexec: the system gives no means to wait for input and output: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(args));
    // A read of standard input that is under way would be waited for otherwise.
    runtime.shutdown_background();
    // A process has the lowest eight bits only.
    ExitCode::from(code.to_le_bytes()[0])
}

async fn run(args: Args) -> i64 {
    let signals = Signals::listen();
    match args.mode {
        Mode::Json => {
            let options = args.response_options();
            let outcome = match prepare(args) {
                Ok((engine, request)) => engine.exec(request, signals.cancel()).await,
                Err(error) => dexec::Outcome::new(End::Refused(error), Vec::new().into(), Vec::new().into()),
            };
            let mut response = Response::new(outcome, &options);
            signals.note(&mut response);
            render::json(response).await
        }
        Mode::Events => {
            let mut output = events::Events::new();
            let end = match prepare(args) {
                Ok((engine, request)) => engine.exec_to(request, &mut output, signals.cancel()).await,
                Err(error) => End::Refused(error),
            };
            let mut response = Response::without_output(&end);
            signals.note(&mut response);
            output.finish(&end, response).await
        }
        Mode::Raw => {
            let mut output = stdio::Writer::new();
            let end = match prepare(args) {
                Ok((engine, request)) => engine.exec_to(request, &mut output, signals.cancel()).await,
                Err(error) => End::Refused(error),
            };
            let mut response = Response::without_output(&end);
            signals.note(&mut response);
            render::raw_end(output, &end, response.exit_code).await
        }
    }
}

/// Everything that can be refused before a request is made, in docker's order: env files first.
fn prepare(args: Args) -> Result<(Engine, Request), Error> {
    let host = args.host()?;
    let request = args.into_request()?;
    let endpoint = dexec::Endpoint::find(host.as_deref())?;
    Ok((Engine::connect(&endpoint)?, request))
}
