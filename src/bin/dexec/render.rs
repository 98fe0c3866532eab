//! The final output: the response, or what docker would print.

use std::error::Error as _;
use std::future::Future;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::time::Duration;

use dexec::{End, ErrorKind, Response, StopCause, exit_code};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::spare;
use crate::stdio;
use crate::terminal;
use crate::writer::Writer;
use dexec_common::signals::Signals;

/// How long dexec waits for the reader of its output after a signal.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// How dexec exits, unless the final write changes it.
#[derive(Debug)]
pub(crate) struct FinalWrite {
    code: i64,
    output_failure: Option<String>,
}

/// Sets the response's exit code to the signal's if a signal interrupted the command.
pub(crate) fn with_signal_code(mut response: Response, signals: &Signals) -> Response {
    if response.error_kind == Some(ErrorKind::Interrupted)
        && let Some(code) = signals.exit_code()
    {
        response.exit_code = code;
    }
    response
}

impl FinalWrite {
    pub(crate) fn of(end: &End, response: &Response) -> Self {
        let output_failure = match end {
            End::Stopped {
                cause: StopCause::OutputFailed,
                error: Some(error),
                ..
            } => Some(error.source().map_or_else(|| error.to_string(), write_failure)),
            _ => None,
        };
        Self {
            code: response.exit_code,
            output_failure,
        }
    }

    /// Waits for the final write, but after a signal for at most [`LAST_WRITE`]. Returns the exit code.
    pub(crate) async fn write(self, write: impl Future<Output = io::Result<()>>, signals: &Signals) -> i64 {
        let patience = async {
            signals.cancel().cancelled().await;
            sleep(LAST_WRITE).await;
        };
        let written = tokio::select! {
            biased;
            written = write => written,
            () = patience => {
                eprint_line("dexec: the rest of the output was not written, because its reader does not read it");
                return signals.exit_code().unwrap_or(self.code);
            }
        };
        if let Some(failure) = self.output_failure {
            eprint_line(&failure);
            return self.code;
        }
        code_after(written, self.code)
    }
}

/// The exit code after the final write: `code` if the write succeeded.
pub(crate) fn code_after(written: io::Result<()>, code: i64) -> i64 {
    match written {
        Ok(()) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit_code::READER_GONE,
        Err(error) => {
            eprint_line(&write_failure(&error));
            1
        }
    }
}

/// Prints a value as JSON: indented on a terminal, otherwise on one line.
pub(crate) async fn json<T: Serialize + Send + 'static>(value: T) -> io::Result<()> {
    let write = move || {
        let stdout = stdio::stdout()?;
        let is_terminal = stdout.is_terminal();
        let mut stdout = BufWriter::with_capacity(64 * 1024, stdio::BlockingIo(stdout));
        if is_terminal {
            serde_json::to_writer_pretty(&mut stdout, &value)?;
        } else {
            serde_json::to_writer(&mut stdout, &value)?;
        }
        stdout.write_all(b"\n")?;
        stdout.flush()
    };
    let (told, written) = oneshot::channel();
    // The result has no receiver if dexec is exiting.
    spare::run(move || drop(told.send(write())))?;
    // This fails only after a panic, whose message is on standard error.
    written.await.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
}

/// Finishes raw output: writes the rest, then an error to standard error as docker would print it.
pub(crate) async fn raw(output: Writer, end: &End) -> io::Result<()> {
    if let End::LeftRunning { .. } | End::Stopped { .. } = end {
        // The reader may delay the rest of the output, and Ctrl-C is no longer a key for the command.
        terminal::restore();
    }
    if let End::Stopped { orphaned: Some(_), .. } = end {
        // Printed before anything that may have to wait.
        eprint_line(&format!("dexec: {}", end.message().unwrap_or_default()));
    }
    let is_session = output.takes_terminal();
    let ends_line = output.ends_line();
    let written = output.finish().await;
    terminal::restore();
    if is_session && let Some(words) = last_words(end) {
        let separator = if ends_line { "" } else { "\n" };
        eprint_line(&format!("{separator}dexec: {words}"));
        return written;
    }
    match end {
        End::ExitedUnsealed { reason, .. } => eprint_line(&format!("dexec: {reason}")),
        End::LeftRunning { .. } => eprint_line("read escape sequence"),
        End::NotRun(error) => eprint_line(error.docker_text()),
        End::ConnectionLost { error, .. } => eprint_line(&error.to_string()),
        _ => {}
    }
    written
}

/// Why a terminal session ended that the user did not end, unless this was already printed. docker prints nothing.
fn last_words(end: &End) -> Option<String> {
    match end {
        End::Stopped { orphaned: Some(_), .. } => None,
        End::Stopped {
            cause: StopCause::Timeout,
            ..
        } => Some("the --timeout expired. The command was stopped".to_owned()),
        End::Stopped { .. }
        | End::Cancelled(_)
        | End::ContainerStopped { .. }
        | End::ConnectionLost { .. }
        | End::ExitedUnsealed { .. } => end.message(),
        _ => None,
    }
}

/// docker's message for a failed write.
fn write_failure(error: &dyn std::error::Error) -> String {
    let reason = error.to_string().to_lowercase();
    let reason = reason.split(" (os error").next().unwrap_or(&reason);
    format!("write /dev/stdout: {reason}")
}

pub(crate) fn eprint_line(line: &str) {
    // A failed write to standard error can't be reported.
    let _ = writeln!(io::stderr(), "{line}");
}
