//! The last words: the response, or what docker would print.

use std::error::Error as _;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::time::Duration;

use dexec::{End, ErrorKind, Response};

use crate::stdio::{self, Writer};

/// How long an interrupted dexec waits for the reader of its output.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// The exit code for a standard output that nobody reads any more, as a shell tells of SIGPIPE.
const READER_GONE: i64 = 141;

/// Prints the response, on one line unless it is for a terminal. Gives the exit code.
pub(crate) async fn json(response: Response) -> i64 {
    let code = response.exit_code;
    let written = tokio::task::spawn_blocking(move || {
        let stdout = stdio::stdout()?;
        let is_terminal = stdout.is_terminal();
        let mut stdout = BufWriter::with_capacity(64 * 1024, stdout);
        if is_terminal {
            serde_json::to_writer_pretty(&mut stdout, &response)?;
        } else {
            serde_json::to_writer(&mut stdout, &response)?;
        }
        stdout.write_all(b"\n")?;
        stdout.flush()
    });
    match written.await {
        Ok(Ok(())) => code,
        Ok(Err(error)) => unwritten(&error),
        Err(panic) => unwritten(&io::Error::other(panic)),
    }
}

/// The exit code when standard output can't be written.
pub(crate) fn unwritten(error: &io::Error) -> i64 {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return READER_GONE;
    }
    eprint_line(&write_failure(error));
    1
}

/// Docker's words.
fn write_failure(error: &dyn std::error::Error) -> String {
    let reason = error.to_string().to_lowercase();
    let reason = reason.split(" (os error").next().unwrap_or(&reason);
    format!("write /dev/stdout: {reason}")
}

/// Ends raw output: the rest is written, and an error goes to standard error as docker would print it.
pub(crate) async fn raw_end(output: Writer, end: &End, code: i64) -> i64 {
    let error = end.error();
    if error.is_some_and(|error| error.kind() == ErrorKind::Interrupted) {
        let _ = tokio::time::timeout(LAST_WRITE, output.finish()).await;
        return code;
    }
    let written = output.finish().await;
    match (end, error.map(|error| (error.kind(), error))) {
        (End::Refused(error), _) => eprint_line(error.docker_text()),
        (_, Some((ErrorKind::OutputFailed, error))) if code != READER_GONE => {
            eprint_line(&error.source().map_or_else(|| error.to_string(), write_failure));
        }
        (_, Some((ErrorKind::ConnectionLost, error))) => eprint_line(&error.to_string()),
        _ => {}
    }
    match written {
        Ok(()) => code,
        Err(error) => unwritten(&error),
    }
}

fn eprint_line(line: &str) {
    // There is nobody to tell that nobody can be told.
    let _ = writeln!(io::stderr(), "{line}");
}
