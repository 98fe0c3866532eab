//! Custom headers from config.json or `DOCKER_CUSTOM_HEADERS`. Their values may be secret.

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};

use crate::error::{Error, sanitize_line};

/// Headers that define a message's framing or its sender. As in docker, users can't change them.
const OURS: [HeaderName; 7] = [
    HOST,
    USER_AGENT,
    CONNECTION,
    UPGRADE,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    TRAILER,
];

/// The maximum number of characters of a header's name that an error shows.
const MAX_NAME_LEN: usize = 100;

/// Validates the headers and returns those to send. `source` is the name of their source in errors.
pub(super) fn checked(headers: Vec<(String, String)>, source: &str) -> Result<Vec<(String, String)>, Error> {
    let mut checked = Vec::new();
    for (name, value) in headers {
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(refused(
                source,
                &format!("`{}` is not a valid header name", sanitize_line(&name, MAX_NAME_LEN)),
            ));
        };
        if HeaderValue::from_str(&value).is_err() {
            return Err(refused(
                source,
                &format!("the value of `{header}` is not a valid header value"),
            ));
        }
        if !OURS.contains(&header) {
            checked.push((name, value));
        }
    }
    Ok(checked)
}

/// Parses `DOCKER_CUSTOM_HEADERS`: one line of comma-separated `name=value` pairs, each of which may be quoted
/// (docker/cli, `cli/command/cli_options.go`).
pub(super) fn from_variable(text: &str) -> Result<Vec<(String, String)>, Error> {
    let refused = |reason: &str| refused("DOCKER_CUSTOM_HEADERS", reason);
    let fields = fields(text).ok_or_else(|| refused("its quotes are invalid"))?;
    let pairs = fields.iter().map(|field| {
        let Some((name, value)) = field.split_once('=') else {
            return Err(refused("a pair has no `=`: write name=value, separated by commas"));
        };
        if name.trim().is_empty() {
            return Err(refused("a pair has no name before its `=`"));
        }
        Ok((name.trim().to_owned(), value.to_owned()))
    });
    pairs.collect()
}

fn refused(source: &str, reason: &str) -> Error {
    Error::invalid(format!("the headers of {source} can't be sent: {reason}"))
}

/// Splits a line of CSV into fields by the rules of Go's `encoding/csv`: a quoted field may contain commas, line
/// breaks and doubled quotes; an unquoted field may not contain quotes. Everything after the first non-empty line is
/// ignored.
fn fields(text: &str) -> Option<Vec<String>> {
    let mut rest = text.trim_start_matches(['\r', '\n']);
    let mut fields = Vec::new();
    loop {
        let (field, after) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_field(quoted)?
        } else {
            let (field, after) = rest.split_at(rest.find([',', '\n']).unwrap_or(rest.len()));
            if field.contains('"') {
                return None;
            }
            (field.trim_end_matches('\r').to_owned(), after)
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() || after.starts_with(['\r', '\n']) => return Some(fields),
            None => return None,
        }
    }
}

/// Reads a quoted field, whose opening quote is already removed, and returns it with the text after its closing quote.
fn quoted_field(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, after)),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn variable_is_parsed_as_docker_parses_it() {
        for (text, pairs) in [
            ("X-A=b", &[("X-A", "b")][..]),
            ("X-A=b, X-C = d ", &[("X-A", "b"), ("X-C", " d ")]),
            ("X-A=", &[("X-A", "")]),
            ("X-A=b=c", &[("X-A", "b=c")]),
            ("\"X-A=b,c\",X-D=e", &[("X-A", "b,c"), ("X-D", "e")]),
            ("\"X-A=say \"\"b\"\"\"", &[("X-A", "say \"b\"")]),
            ("\nX-A=b\r\nX-C=d", &[("X-A", "b")]),
        ] {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(from_variable(text).unwrap(), pairs, "{text:?}");
        }
    }

    #[test]
    fn errors_do_not_show_header_values() {
        for (text, words) in [
            ("hunter2", "has no `=`"),
            ("X-A=b,", "has no `=`"),
            ("=hunter2", "no name before"),
            (" =hunter2", "no name before"),
            ("\"X-A=hunter2", "quotes"),
            ("\"X-A=hunter2\"x", "quotes"),
            ("X-A=\"hunter2\"", "quotes"),
        ] {
            let message = from_variable(text).unwrap_err().to_string();
            assert!(
                message.contains(words) && !message.contains("hunter2"),
                "{text:?}: {message}"
            );
        }
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        for (headers, words) in [
            (pair("a b", "hunter2"), "`a b` is not a valid header name"),
            (pair("", "hunter2"), "is not a valid header name"),
            (pair("X-A", "hunter2\r\nX-B: c"), "`x-a` is not a valid header value"),
        ] {
            let message = checked(headers, "config.json").unwrap_err().to_string();
            assert!(message.contains(words) && !message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn headers_that_dexec_sets_cannot_be_replaced() {
        for name in [
            "host",
            "User-Agent",
            "Content-Length",
            "Transfer-Encoding",
            "Connection",
            "Upgrade",
        ] {
            assert!(
                checked(vec![(name.to_owned(), "x".to_owned())], "").unwrap().is_empty(),
                "{name}"
            );
        }
    }
}
