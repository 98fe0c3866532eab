//! The messages that ssh writes to standard error.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};

use crate::error::sanitize_line;

/// The maximum length of ssh's text in a message, in characters.
pub(super) const MAX_WORDS_LEN: usize = 300;

/// How long to wait for ssh's message after its connection has ended.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);

const LAST_WORDS_PAUSE: Duration = Duration::from_millis(50);

/// The maximum length of a line in bytes. No useful line is longer.
pub(super) const MAX_LINE_LEN: u64 = 4096;

/// The last line that ssh, or a program that it runs, wrote to standard error.
#[derive(Clone, Debug, Default)]
pub(super) struct LastStderrLine(Arc<Mutex<String>>);

impl LastStderrLine {
    pub(super) fn set(&self, line: &str) {
        line.clone_into(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn get(&self) -> String {
        sanitize_line(&self.0.lock().unwrap_or_else(PoisonError::into_inner), MAX_WORDS_LEN)
    }

    /// Waits for the line. It arrives over another stream than the end of the connection that it explains.
    pub(super) async fn wait(&self) -> String {
        let wait = async {
            // The current line may be an older one.
            tokio::time::sleep(LAST_WORDS_PAUSE).await;
            while self.get().is_empty() {
                tokio::time::sleep(LAST_WORDS_PAUSE).await;
            }
        };
        // If no line arrives in time, the result is empty.
        let _ = tokio::time::timeout(LAST_WORDS_TIMEOUT, wait).await;
        self.get()
    }
}

/// Stores the last line that is read.
pub(super) async fn listen(stderr: impl AsyncRead + Unpin, words: LastStderrLine) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(MAX_LINE_LEN).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                if !text.trim().is_empty() {
                    words.set(text.trim());
                }
            }
        }
    }
}
