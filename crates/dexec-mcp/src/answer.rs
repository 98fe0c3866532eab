//! Converts an outcome to a tool's answer. Some clients show their model only the structured part, and others only the
//! text, so each part has both the output and the result.

use dexec::{ErrorKind, Outcome, Response, ResponseOptions};
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::Value;

/// The official TypeScript client closes the connection if a message is larger than 10 MiB.
pub(crate) const MAX_MESSAGE_SIZE: usize = 10 * 1024 * 1024;

/// The rest of a message besides the structured part, the text and the request's id; and what that client adds to its
/// count: it reads 64 KiB at a time, and the last read may contain the beginning of the next message.
const ENVELOPE: usize = 128 * 1024;

/// The most bytes of the text in a message.
const MAX_TEXT_SIZE: usize = MAX_MESSAGE_SIZE / 2;

/// Larger JSON is returned as text only: the MCP library's representation takes fifty times as much memory.
const MAX_JSON_SIZE: usize = 1024 * 1024;

/// The parts of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Answers {
    /// Text and structured content, each with the output.
    Both,
    /// Only text.
    Text,
}

/// The output in the structured part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Structured {
    /// Cut by the same limit as the text.
    Limited,
    /// Omitted by the rule of [`ResponseOptions::compact`], else as `Limited`.
    Compact,
    /// Whole if the call has no limit.
    Whole,
}

/// The options of an answer.
#[derive(Debug)]
pub(crate) struct AnswerOptions {
    pub(crate) answers: Answers,
    pub(crate) structured: Structured,
    pub(crate) limit: Option<usize>,
    /// The limit of a call that has none.
    pub(crate) default_limit: usize,
    pub(crate) parse_json: bool,
    pub(crate) keep_newline: bool,
    pub(crate) keep_ansi: bool,
    /// The size of the request's id, which is also in the message, in bytes.
    pub(crate) id_size: usize,
}

impl AnswerOptions {
    /// Returns the answer for a command with this outcome.
    pub(crate) fn answer(&self, outcome: Outcome) -> CallToolResult {
        match self.answers {
            Answers::Both => self.both(outcome),
            Answers::Text => self.text_alone(outcome),
        }
    }

    fn text_alone(&self, outcome: Outcome) -> CallToolResult {
        let mut options = self.for_text();
        options.parse_json = self.parse_json;
        let response = Response::new(outcome, &options);
        let (stdout, stderr) = (response.stdout.as_deref(), response.stderr.as_deref());
        let text = text(
            stdout.unwrap_or_default(),
            stderr.unwrap_or_default(),
            &response,
            response.is_truncated,
        );
        result(text, &response)
    }

    fn both(&self, outcome: Outcome) -> CallToolResult {
        let shown = Response::new(outcome.clone(), &self.for_text());
        let (stdout, stderr) = (shown.stdout.unwrap_or_default(), shown.stderr.unwrap_or_default());
        let taken = ENVELOPE + self.id_size + bytes_in_json(&stdout) + bytes_in_json(&stderr);
        let room = MAX_MESSAGE_SIZE.saturating_sub(taken);
        let mut response = self.response(outcome, room);
        let mut is_text_truncated = shown.is_truncated;
        if response.stdout.is_none() {
            // The output is in the text only.
            response.is_truncated |= is_text_truncated;
        }
        is_text_truncated |= response.is_truncated;
        let structure = structure(&mut response, room);
        let text = text(&stdout, &stderr, &response, is_text_truncated);
        let mut result = result(text, &response);
        result.structured_content = Some(structure);
        result
    }

    /// Returns the structured part's response, in at most `room` bytes.
    fn response(&self, outcome: Outcome, room: usize) -> Response {
        let mut options = self.options();
        options.parse_json = self.parse_json;
        options.largest = Some(room);
        options.limit = self.limit;
        match self.structured {
            Structured::Limited => {}
            Structured::Whole => return Response::new(outcome, &options),
            Structured::Compact => {
                // Whether the output is omitted does not depend on the default limit.
                options.compact = true;
                let response = Response::new(outcome.clone(), &options);
                if response.stdout.is_none() || self.limit.is_some() {
                    return response;
                }
                options.compact = false;
            }
        }
        options.limit = self.text_limit();
        Response::new(outcome, &options)
    }

    fn for_text(&self) -> ResponseOptions {
        let mut options = self.options();
        options.limit = self.text_limit();
        options.largest = Some(MAX_TEXT_SIZE);
        options
    }

    fn text_limit(&self) -> Option<usize> {
        self.limit.or(Some(self.default_limit))
    }

    fn options(&self) -> ResponseOptions {
        let mut options = ResponseOptions::default();
        options.keep_newline = self.keep_newline;
        options.keep_ansi = self.keep_ansi;
        options
    }
}

/// Returns a tool's result with this text, and without a structured part.
fn result(text: String, response: &Response) -> CallToolResult {
    let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
    result.is_error = Some(response.error_kind.is_some_and(is_tool_error));
    result
}

/// The response as the MCP library takes it: as parsed JSON, not as the original text.
fn structure(response: &mut Response, room: usize) -> Value {
    if let Some(json) = &response.json {
        // A number may be longer after parsing.
        let fits = |value: &Value| serde_json::to_vec(value).is_ok_and(|json| json.len() <= room);
        let value = (json.get().len() <= MAX_JSON_SIZE).then(|| serde_json::to_value(&*response));
        match value {
            Some(Ok(value)) if fits(&value) => return value,
            _ => {
                response.json = None;
                let reason = "stdout is JSON that is too deeply nested or too large for `json`";
                response.parse_json_error = Some(reason.to_owned());
            }
        }
    }
    // Without the command's JSON, the conversion can't fail.
    serde_json::to_value(&*response).unwrap_or_default()
}

fn bytes_in_json(text: &str) -> usize {
    serde_json::to_vec(text).map_or(usize::MAX, |json| json.len())
}

/// Returns whether the tool failed, and not the command in its container.
fn is_tool_error(kind: ErrorKind) -> bool {
    !matches!(
        kind,
        ErrorKind::CommandNotFound
            | ErrorKind::CommandNotExecutable
            | ErrorKind::WorkdirNotFound
            | ErrorKind::UserNotFound
    )
}

/// Standard output; standard error after a `[stderr]` line; and the verdict, if it is more than success.
fn text(stdout: &str, stderr: &str, response: &Response, is_truncated: bool) -> String {
    let mut text = stdout.to_owned();
    let mut line = |more: &str| {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(more);
    };
    let message = response.message.as_deref();
    // dexec's own message is printed only once.
    if !stderr.is_empty() && message != Some(stderr) {
        line("[stderr]");
        line(stderr);
    }
    let mut verdict = vec![format!("exit {}", response.exit_code)];
    let flags = [
        (response.timed_out, "timed out"),
        (response.orphaned, "may still be running"),
        (is_truncated, "truncated"),
        (response.is_lossy, "not UTF-8"),
    ];
    verdict.extend(
        flags
            .into_iter()
            .filter(|(is_set, _)| *is_set)
            .map(|(_, flag)| flag.to_owned()),
    );
    if let Some(signal) = &response.signal {
        verdict.push(format!("ended by {signal}"));
    }
    if let Some(id) = &response.exec_id {
        verdict.push(format!("running in the background as {id}"));
    }
    if let Some(reason) = &response.parse_json_error {
        verdict.push(reason.clone());
    }
    let kind = response.error_kind.map(kind_name);
    verdict.extend(match (kind, message.map(|message| message.replace('\n', " "))) {
        (Some(kind), Some(message)) => Some(format!("{kind}: {message}")),
        (kind, message) => kind.or(message),
    });
    let says_more = response.exit_code != 0 || verdict.len() > 1;
    if says_more || (stdout.is_empty() && stderr.is_empty()) {
        line(&format!("[{}]", verdict.join(", ")));
    }
    text
}

fn kind_name(kind: ErrorKind) -> String {
    let name = serde_json::to_value(kind).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
