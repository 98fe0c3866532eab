//! A program's input and output as a connection.

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, ReadBuf,
};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::stderr::{LastStderrLine, listen};

/// How many bytes the remote host's shell may print before it runs a command.
const MAX_NOISE: u64 = 64 * 1024;

/// Starts a program with a pipe for each of its standard streams.
pub(super) fn piped(command: &mut Command) -> io::Result<(Child, ChildStdin, ChildStdout, ChildStderr)> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
        (Some(stdin), Some(stdout), Some(stderr)) => Ok((child, stdin, stdout, stderr)),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

#[derive(Debug)]
pub(crate) struct SshStream {
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// Killed when the connection is dropped.
    _child: Child,
}

impl SshStream {
    pub(super) fn spawn(mut command: Command, words: &LastStderrLine) -> io::Result<Self> {
        let (child, stdin, stdout, stderr) = piped(&mut command)?;
        tokio::spawn(listen(stderr, words.clone()));
        Ok(Self {
            stdin: Some(stdin),
            stdout: BufReader::new(stdout),
            _child: child,
        })
    }

    /// Returns the text after the mark on the first line that contains the mark.
    pub(super) async fn mark(&mut self, mark: &str) -> io::Result<String> {
        let mut reader = (&mut self.stdout).take(MAX_NOISE);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).await? > 0 {
            let text = String::from_utf8_lossy(&line);
            if let Some((_, said)) = text.split_once(mark) {
                return Ok(said.trim().to_owned());
            }
            line.clear();
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    /// Sends a request whose response has no body, and reads the response.
    pub(super) async fn speaks_http(&mut self, request: &[u8]) -> io::Result<()> {
        self.stdin()?.write_all(request).await?;
        let mut reader = (&mut self.stdout).take(MAX_NOISE);
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).await?;
        if !line.starts_with(b"HTTP/") {
            return Err(io::ErrorKind::InvalidData.into());
        }
        while line != b"\r\n" {
            line.clear();
            if reader.read_until(b'\n', &mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    fn stdin(&mut self) -> io::Result<Pin<&mut ChildStdin>> {
        self.stdin
            .as_mut()
            .map(Pin::new)
            .ok_or(io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncRead for SshStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stdin()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Closes the pipe, because this is how a program learns that its input has ended.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}
