//! The small structured answer: an [`Outcome`] in the shape of Pare's docker `exec` tool.

mod fit;
mod json;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind};
use crate::outcome::{End, Outcome, StopCause};
use crate::output::Captured;
use crate::text::Cleaner;

/// Standard output that is larger than this is not parsed as JSON: 8 MiB.
const MAX_JSON_SIZE: usize = 8 * 1024 * 1024;

/// How a response shows the output.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ResponseOptions {
    /// Leaves `stdout`, `stderr` and `json` out when the whole response would cost more than the bare output:
    /// characters / 4, rounded up, of the response's JSON against those of both streams as the command wrote them.
    pub compact: bool,
    /// The largest number of characters of each stream. What is longer keeps its first and its last half, with a line
    /// between that says how many were left out; under 200 just the first characters are kept.
    pub limit: Option<usize>,
    /// Gives the command's standard output as `json` too, or says in `parseJsonError` why it is none.
    pub parse_json: bool,
    /// Keeps the one final newline of each stream, which is stripped otherwise.
    pub keep_newline: bool,
    /// Keeps terminal escapes, which are stripped otherwise.
    pub keep_ansi: bool,
    /// The most bytes that the response's JSON may have on one line, as a transport may bound a message. Where it would
    /// have more, `json` goes, and then each stream is shortened as by a `limit`.
    pub largest: Option<usize>,
}

/// The answer. Its JSON has these fields in this order; an optional one is there only when it says something.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Response {
    /// The command's own exit code; 125 to 128 from the engine for a command that could not start; 1 when the engine
    /// or dexec refused; 124 when its time was over; 255 when the connection was lost before the code was known; 128+n when dexec was stopped by
    /// signal n.
    pub exit_code: i64,
    /// What the command wrote to standard output; `None` in a compact response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// What the command wrote to standard error, or why it could not run; `None` in a compact response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// Whether the exit code is 0.
    pub success: bool,
    /// Part of the output was left out, by the limit or because it did not fit in memory.
    #[serde(skip_serializing_if = "is_false")]
    pub is_truncated: bool,
    /// The command was stopped because its time was over.
    #[serde(skip_serializing_if = "is_false")]
    pub timed_out: bool,
    /// The signal with which dexec ended the command, such as `SIGTERM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Standard output as JSON, in the command's own order and numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Box<RawValue>>,
    /// Why there is no `json`, which was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parse_json_error: Option<String>,
    /// The engine's id of a detached command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec_id: Option<String>,
    /// The command may still be running in the container; `message` says why.
    #[serde(skip_serializing_if = "is_false")]
    pub orphaned: bool,
    /// The command wrote bytes that are not UTF-8; each was replaced by U+FFFD.
    #[serde(skip_serializing_if = "is_false")]
    pub is_lossy: bool,
    /// The cause of a failure and what to do, in one or two lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What kind of failure it was, when the engine or dexec failed and not the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_kind: Option<ErrorKind>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Response {
    /// The answer to a command whose output was captured.
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
            // On Docker the runtime's words stand in standard output, though the command never wrote any.
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

    /// The limit for each stream that keeps the whole within `options.largest`, which may cost the response its `json`.
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
            self.parse_json_error = Some("stdout is too large to be given as JSON too".to_owned());
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

    /// How many bytes the response's JSON has beside what stands in its streams.
    fn bytes_around_streams(&self) -> usize {
        let around = Self {
            stdout: Some(String::new()),
            stderr: Some(String::new()),
            is_truncated: true,
            ..self.clone()
        };
        serde_json::to_vec(&around).map_or(usize::MAX, |json| json.len())
    }

    /// The answer to a command whose output went elsewhere.
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

    /// How many characters the response has as JSON on one line.
    fn characters(&self) -> u64 {
        let mut counter = json::CharacterCounter::default();
        // The counter takes every byte, and a response holds nothing that JSON can't say.
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

/// One stream as text, cleaned up, before the limit.
struct Rendered {
    /// Everything, or what stands before a gap.
    head: String,
    /// The characters of a gap, and what stands after it.
    gap: Option<(u64, String)>,
    is_lossy: bool,
}

impl Rendered {
    fn new(captured: Captured, options: &ResponseOptions) -> Self {
        let Captured { head, gap, tail } = captured;
        let cleaner = Cleaner::new(options.keep_ansi);
        let mut rendered = if let Some(gap) = gap {
            let counted = if options.keep_ansi { gap.as_written } else { gap.clean };
            // What the gap cuts is counted there.
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
                "stdout is larger than {MAX_JSON_SIZE} bytes, too much to parse"
            ));
        }
        json::parse(&self.head)
    }

    /// How many bytes it has within a JSON string, or as many as a limit can leave of it at most.
    fn bytes_in_json(&self, limit: Option<usize>) -> usize {
        let texts = [Some(&self.head), self.gap.as_ref().map(|(_, tail)| tail)];
        let bytes: usize = texts.into_iter().flatten().map(|text| fit::bytes_in_json(text)).sum();
        let most = limit.map_or(usize::MAX, |limit| limit.saturating_mul(fit::MAX_CHARACTER_LEN));
        (bytes + fit::MAX_MARKER_LEN).min(most)
    }

    /// The limit that keeps it within as many bytes of a JSON string, and within another limit.
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

/// The text of these bytes, and whether some were replaced.
fn clean(bytes: Vec<u8>, mut cleaner: Cleaner, is_end: bool) -> (String, bool) {
    // Most output is plain text, which can be large and need not be copied.
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
