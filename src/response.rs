//! The structured response: an [`Outcome`] with the fields of the docker `exec` tool of Pare, an MCP server.

mod fit;
mod json;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind};
use crate::outcome::{End, Outcome, StopCause};
use crate::output::Captured;
use crate::text::Cleaner;

/// Standard output larger than this, 8 MiB, is not parsed as JSON.
const MAX_JSON_SIZE: usize = 8 * 1024 * 1024;

/// How a response presents the output.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ResponseOptions {
    /// Omits `stdout`, `stderr` and `json` if the whole response would cost more than the raw output. The cost is the
    /// number of characters / 4, rounded up: of the response's JSON, and of both streams as the command wrote them.
    pub compact: bool,
    /// The maximum number of characters of each stream. Longer output keeps its beginning and its end, half each, with
    /// a line in between that says how many characters were left out. Under 200, only the first characters are kept.
    pub limit: Option<usize>,
    /// Also returns the command's standard output as `json`, or the reason in `parseJsonError` if it is not JSON.
    pub parse_json: bool,
    /// Keeps the final newline of each stream, which is removed by default.
    pub keep_newline: bool,
    /// Keeps terminal escapes, which are removed by default.
    pub keep_ansi: bool,
    /// The maximum size in bytes of the response's JSON on one line, for transports that limit the size of a message.
    /// A larger response loses its `json` first; then each stream is shortened as with `limit`.
    pub largest: Option<usize>,
}

/// The response. Its JSON has these fields in this order; optional fields are omitted if they are empty or false.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Response {
    /// The command's own exit code; 125 to 128 from the engine if the command could not be started; 1 if the engine or
    /// dexec refused the request, the output could not be written, or the detach keys were typed; 124 if the timeout
    /// expired; 141 if the reader of the output is gone; 255 if the connection was lost before the code was known;
    /// 128+n if dexec was stopped by signal n, and 130 if the caller cancelled the command. `docs/output.md` has the complete list.
    pub exit_code: i64,
    /// What the command wrote to standard output; `None` in a compact response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// What the command wrote to standard error, or why it could not run; `None` in a compact response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// Whether the exit code is 0.
    pub success: bool,
    /// Whether part of the output was left out, because of a limit or because it did not fit in memory.
    #[serde(skip_serializing_if = "is_false")]
    pub is_truncated: bool,
    /// Whether the command was stopped because its timeout expired.
    #[serde(skip_serializing_if = "is_false")]
    pub timed_out: bool,
    /// The signal that dexec stopped the command with, such as `SIGTERM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Standard output as JSON, with the order of members and the numbers unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Box<RawValue>>,
    /// Why `json` is missing although it was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parse_json_error: Option<String>,
    /// The engine's id of a command that was detached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec_id: Option<String>,
    /// Whether the command may still be running in the container; `message` says why.
    #[serde(skip_serializing_if = "is_false")]
    pub orphaned: bool,
    /// Whether the command wrote bytes that are not UTF-8, which were replaced by U+FFFD.
    #[serde(skip_serializing_if = "is_false")]
    pub is_lossy: bool,
    /// What went wrong and what to do about it, in one or two lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The kind of failure, if the engine or dexec failed rather than the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Response {
    /// Creates the response for a command whose output was captured.
    #[must_use]
    pub fn new(outcome: Outcome, options: &ResponseOptions) -> Self {
        let Outcome { end, stdout, stderr } = outcome;
        let mut response = Self::without_output(&end);
        let raw_characters = if options.compact {
            characters_as_written(&stdout) + characters_as_written(&stderr)
        } else {
            0
        };
        let mut stdout = Rendered::new(stdout, options);
        let mut stderr = Rendered::new(stderr, options);
        match &end {
            // Docker sends the runtime's message as standard output, although the command wrote nothing.
            End::StartFailed { .. } if stderr.is_empty() => std::mem::swap(&mut stdout, &mut stderr),
            End::NotRun(error) => stderr = Rendered::of_text(error.docker_text().to_owned()),
            _ => {}
        }
        response.is_lossy = stdout.is_lossy || stderr.is_lossy;
        if options.parse_json && end.error().is_none() && !matches!(end, End::Detached { .. }) {
            match stdout.parse_json() {
                Ok(json) => response.json = Some(json),
                Err(reason) => response.parse_json_error = Some(reason),
            }
        }
        let limits = response.limits(&stdout, &stderr, options);
        for (rendered, limit, field) in [
            (stdout, limits.0, &mut response.stdout),
            (stderr, limits.1, &mut response.stderr),
        ] {
            let (text, is_truncated) = rendered.fit(limit);
            *field = Some(text);
            response.is_truncated |= is_truncated;
        }
        if options.compact && response.characters().div_ceil(4) > raw_characters.div_ceil(4) {
            response.stdout = None;
            response.stderr = None;
            response.json = None;
        }
        response
    }

    /// Returns the limit for each stream that keeps the response within `options.largest`. Removes `json` if
    /// necessary.
    fn limits(
        &mut self,
        stdout: &Rendered,
        stderr: &Rendered,
        options: &ResponseOptions,
    ) -> (Option<usize>, Option<usize>) {
        let limit = options.limit;
        let Some(largest) = options.largest else {
            return (limit, limit);
        };
        let streams = (stdout.bytes_in_json(limit), stderr.bytes_in_json(limit));
        let rest = self.bytes_around_streams();
        if streams.0 + streams.1 + rest <= largest {
            return (limit, limit);
        }
        if self.json.take().is_some() {
            self.parse_json_error = Some("stdout is too large to also return it as JSON".to_owned());
        }
        let room = largest.saturating_sub(self.bytes_around_streams());
        if streams.0 + streams.1 <= room {
            return (limit, limit);
        }
        let for_stderr = streams.1.min(room / 2);
        let for_stdout = streams.0.min(room - for_stderr);
        let for_stderr = streams.1.min(room - for_stdout);
        (
            stdout.limit_within(limit, for_stdout),
            stderr.limit_within(limit, for_stderr),
        )
    }

    /// The size of the response's JSON in bytes, without the contents of the two streams.
    fn bytes_around_streams(&self) -> usize {
        let around = Self {
            stdout: Some(String::new()),
            stderr: Some(String::new()),
            is_truncated: true,
            ..self.clone()
        };
        serde_json::to_vec(&around).map_or(usize::MAX, |json| json.len())
    }

    /// Creates the response for a command whose output was not captured.
    #[must_use]
    pub fn without_output(end: &End) -> Self {
        let exit_code = end.exit_code();
        Self {
            exit_code,
            success: exit_code == 0,
            exec_id: match end {
                End::Detached { exec_id } | End::LeftRunning { exec_id } => Some(exec_id.clone()),
                _ => None,
            },
            timed_out: matches!(
                end,
                End::Stopped {
                    cause: StopCause::Timeout,
                    ..
                }
            ),
            signal: match end {
                End::Stopped { signal, .. } => signal.map(|signal| signal.name().to_owned()),
                _ => None,
            },
            orphaned: matches!(
                end,
                End::ConnectionLost { may_run: true, .. } | End::Stopped { orphaned: Some(_), .. }
            ),
            message: end.message(),
            error_kind: end.error().map(Error::kind),
            ..Self::default()
        }
    }

    /// The number of characters of the response as JSON on one line.
    fn characters(&self) -> u64 {
        let mut counter = json::CharacterCounter::default();
        // This can't fail: the counter accepts all bytes, and JSON can represent every response.
        let _ = serde_json::to_writer(&mut counter, self);
        counter.characters()
    }
}

fn characters_as_written(captured: &Captured) -> u64 {
    let mut characters = 0;
    let mut count = |text: &str| characters += text.chars().count() as u64;
    let mut cleaner = Cleaner::new(true);
    cleaner.push(&captured.head, &mut count);
    if let Some(gap) = &captured.gap {
        cleaner = gap.as_written.cleaner.clone();
    }
    cleaner.push(&captured.tail, &mut count);
    cleaner.finish(&mut count);
    characters + captured.gap.as_ref().map_or(0, |gap| gap.as_written.characters)
}

/// One stream as cleaned-up text, before the limit is applied.
struct Rendered {
    /// The whole text, or the part before the gap.
    head: String,
    /// The number of characters in the gap, and the text after it.
    gap: Option<(u64, String)>,
    is_lossy: bool,
}

impl Rendered {
    fn new(captured: Captured, options: &ResponseOptions) -> Self {
        let Captured { head, gap, tail } = captured;
        let cleaner = Cleaner::new(options.keep_ansi);
        let mut rendered = if let Some(gap) = gap {
            let counted = if options.keep_ansi { gap.as_written } else { gap.clean };
            // A character or escape that is cut by the gap is counted in the gap.
            let (head, _) = clean(head, cleaner, false);
            let (tail, is_lossy) = clean(tail, counted.cleaner, true);
            Self {
                head,
                gap: Some((counted.characters, tail)),
                is_lossy,
            }
        } else {
            let (head, is_lossy) = clean(head, cleaner, true);
            Self {
                head,
                gap: None,
                is_lossy,
            }
        };
        if !options.keep_newline {
            let end = match &mut rendered.gap {
                Some((_, tail)) => tail,
                None => &mut rendered.head,
            };
            strip_final_newline(end);
        }
        rendered
    }

    fn of_text(text: String) -> Self {
        Self {
            head: text,
            gap: None,
            is_lossy: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.head.is_empty() && self.gap.is_none()
    }

    fn parse_json(&self) -> Result<Box<RawValue>, String> {
        if self.gap.is_some() || self.head.len() > MAX_JSON_SIZE {
            return Err(format!(
                "stdout is larger than {MAX_JSON_SIZE} bytes, which is too large to parse"
            ));
        }
        json::parse(&self.head)
    }

    /// The text's size in bytes within a JSON string, or the most that `limit` can leave of it if that is less.
    fn bytes_in_json(&self, limit: Option<usize>) -> usize {
        let texts = [Some(&self.head), self.gap.as_ref().map(|(_, tail)| tail)];
        let bytes: usize = texts.into_iter().flatten().map(|text| fit::bytes_in_json(text)).sum();
        let most = limit.map_or(usize::MAX, |limit| limit.saturating_mul(fit::MAX_CHARACTER_LEN));
        (bytes + fit::MAX_MARKER_LEN).min(most)
    }

    /// Returns the limit that keeps the text within `bytes` bytes of a JSON string and within `limit`.
    fn limit_within(&self, limit: Option<usize>, bytes: usize) -> Option<usize> {
        if self.bytes_in_json(limit) <= bytes {
            return limit;
        }
        let back = self.gap.as_ref().map(|(_, tail)| tail.as_str());
        let within = fit::limit_within(&self.head, back, bytes);
        Some(limit.map_or(within, |limit| limit.min(within)))
    }

    fn fit(self, limit: Option<usize>) -> (String, bool) {
        match self.gap {
            None => match limit {
                Some(limit) => fit::whole(self.head, limit),
                None => (self.head, false),
            },
            Some((characters, tail)) => (fit::around_gap(self.head, characters, &tail, limit), true),
        }
    }
}

/// Returns the text of these bytes, and whether any bytes were replaced.
fn clean(bytes: Vec<u8>, mut cleaner: Cleaner, is_end: bool) -> (String, bool) {
    // Most output is plain text, which may be large and can be used without a copy.
    let bytes = match String::from_utf8(bytes) {
        Ok(text) if cleaner.leaves(&text) => return (text, cleaner.is_lossy()),
        Ok(text) => text.into_bytes(),
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(bytes.len());
    cleaner.push(&bytes, &mut |more| text.push_str(more));
    if is_end {
        cleaner.finish(&mut |more| text.push_str(more));
    }
    (text, cleaner.is_lossy())
}

fn strip_final_newline(text: &mut String) {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
}

#[cfg(test)]
mod tests;
