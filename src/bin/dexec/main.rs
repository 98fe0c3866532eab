//! `dexec`: a drop-in replacement for `docker exec` that needs no docker binary and returns a structured response.

mod args;
mod endpoint;
mod events;
mod flag_error;
mod info;
mod remedy;
mod render;
mod spare;
mod stdio;
mod terminal;
mod writer;

#[cfg(unix)]
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use args::{Action, Args, Mode};
use dexec::{End, Endpoint, Engine, Error, ErrorKind, Output, Request, Response, exit_code};
use dexec_common::signals::Signals;
use dexec_common::threads;
use endpoint::warn;
use render::FinalWrite;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let action = match Action::from_command_line(std::env::args_os()) {
        Ok(action) => action,
        Err(stop) => return ExitCode::from(process_code(stop.report())),
    };
    if let Err(error) = spare::make() {
        eprintln!("dexec: {}", threads::missing(&error));
        return ExitCode::FAILURE;
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("dexec: failed to start the async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match action {
        Action::Run(args) => runtime.block_on(run(*args)),
        Action::Info { endpoint, is_json } => runtime.block_on(info::run(endpoint, is_json)),
    };
    // Does not wait for a pending read of standard input.
    runtime.shutdown_background();
    ExitCode::from(process_code(code))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    // tokio panics if it finds no file descriptors for its signals, of which it needs six; a connection needs more.
    // Duplicates cost least, but only new files, the pair, show whether the whole system has room.
    #[cfg(unix)]
    let _ = (
        std::os::unix::net::UnixStream::pair()?,
        std::array::from_fn::<_, 6, _>(|_| std::io::stdin().as_fd().try_clone_to_owned())
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?,
    );
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// An exit code keeps only the lowest eight bits, which must not turn a failure into success.
fn process_code(code: i64) -> u8 {
    match code.to_le_bytes()[0] {
        0 if code != 0 => u8::MAX,
        lowest => lowest,
    }
}

async fn run(args: Args) -> i64 {
    let signals = Signals::listen(terminal::restore, exit_code::signal);
    match args.mode {
        Mode::Json => {
            let options = args.response_options();
            let mut output = stdio::JsonOutput::new();
            let end = execute(args, &mut output, &signals).await;
            let last = FinalWrite::of(
                &end,
                &render::with_signal_code(Response::without_output(&end), &signals),
            );
            let response = render::with_signal_code(Response::new(output.into_outcome(end), &options), &signals);
            last.write(render::json(response), &signals).await
        }
        Mode::Events => {
            let mut output = events::Events::new();
            let end = execute(args, &mut output, &signals).await;
            let response = render::with_signal_code(Response::without_output(&end), &signals);
            let last = FinalWrite::of(&end, &response);
            last.write(output.finish(&end, response), &signals).await
        }
        Mode::Raw => {
            let mut output = writer::Writer::new(args.takes_terminal());
            let end = execute(args, &mut output, &signals).await;
            let last = FinalWrite::of(
                &end,
                &render::with_signal_code(Response::without_output(&end), &signals),
            );
            last.write(render::raw(output, &end), &signals).await
        }
    }
}

async fn execute(args: Args, output: &mut impl Output, signals: &Signals) -> End {
    let end = match prepare(args).await {
        Ok((engine, request)) => engine.exec_to(request, output, signals.cancel()).await,
        Err(error) => End::NotRun(error),
    };
    end.reworded(remedy::words)
}

/// Makes all checks that are possible before the command is created, in docker's order: env files first.
async fn prepare(args: Args) -> Result<(Engine, Request), Error> {
    let (has_terminal, takes_terminal) = (args.has_terminal(), args.takes_terminal());
    let (given_keys, takes_input, mode) = (args.detach_keys(), args.takes_input(), args.mode);
    let (mut request, options) = args.into_request()?;
    let given_keys = given_keys?;
    let endpoint = Endpoint::find(&options)?;
    warn(&endpoint);
    // A thread reads input. One more is needed if output may have to wait for its reader, or a host name must be
    // resolved.
    let needs_one = !matches!(mode, Mode::Json) || !endpoint.address().to_string().starts_with("unix://");
    let missing = |error| Error::new(ErrorKind::EngineUnreachable, threads::missing(&error));
    threads::ask_for(usize::from(takes_input) + usize::from(needs_one)).map_err(missing)?;
    let engine = Engine::connect(&endpoint);
    if has_terminal {
        let keys = match given_keys {
            Some(keys) => keys,
            None => endpoint.detach_keys()?.unwrap_or_default(),
        };
        request = request.terminal(terminal::for_command(keys));
    }
    let request = request.build()?;
    if takes_terminal && !terminal::is_terminal() {
        engine.container(request.container()).await?;
        return Err(terminal::missing());
    }
    if takes_terminal && !cfg!(unix) {
        return Err(terminal::unsupported());
    }
    Ok((engine, request))
}
