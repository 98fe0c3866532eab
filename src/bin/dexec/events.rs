//! One JSON object per line: output as it arrives, then the response without the output.

use std::io;

use bytes::Bytes;
use dexec::{End, Output, Response, Stream, TextStream};
use serde::Serialize;

use crate::writer::Writer;

#[derive(Debug)]
pub(crate) struct Events {
    writer: Writer,
    stdout: TextStream,
    stderr: TextStream,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Event<'a> {
    Stdout(&'a str),
    Stderr(&'a str),
}

impl Events {
    pub(crate) fn new() -> Self {
        Self {
            writer: Writer::new(false),
            stdout: TextStream::default(),
            stderr: TextStream::default(),
        }
    }

    async fn text(&mut self, stream: Stream, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let event = match stream {
            Stream::Stdout => Event::Stdout(text),
            Stream::Stderr => Event::Stderr(text),
        };
        self.line(&event).await
    }

    async fn line(&mut self, event: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.writer.write(Stream::Stdout, line.into()).await
    }

    async fn rest(&mut self, end: &End, response: &mut Response) -> io::Result<()> {
        let text = self.stdout.finish();
        self.text(Stream::Stdout, &text).await?;
        let text = self.stderr.finish();
        self.text(Stream::Stderr, &text).await?;
        response.is_lossy = self.stdout.is_lossy() || self.stderr.is_lossy();
        if let End::NotRun(error) = end {
            self.text(Stream::Stderr, error.docker_text()).await?;
        }
        self.line(response).await?;
        self.writer.flush().await
    }

    /// Prints the text that was held back, such as an incomplete character, and the response.
    pub(crate) async fn finish(mut self, end: &End, mut response: Response) -> io::Result<()> {
        self.rest(end, &mut response).await?;
        self.writer.finish().await
    }
}

impl Output for Events {
    async fn write(&mut self, stream: Stream, bytes: Bytes) -> io::Result<()> {
        let text = match stream {
            Stream::Stdout => self.stdout.push(&bytes),
            Stream::Stderr => self.stderr.push(&bytes),
        };
        self.text(stream, &text).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.writer.flush().await
    }

    async fn closed(&mut self) -> io::Error {
        self.writer.closed().await
    }
}
