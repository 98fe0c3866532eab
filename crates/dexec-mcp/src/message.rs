//! Limits of a message that are checked before it is parsed: JSON in memory takes up to a hundred times its size on
//! the wire.

use memchr::memchr2;
use rmcp::ErrorData;
use rmcp::model::{ErrorCode, RequestId};

/// The most bytes of a message: enough for the longest standard input of a call, with any characters.
pub(crate) const LARGEST: usize = 8 * 1024 * 1024;

/// The most values in a message. A call has a little more than 2,100 at most.
pub(crate) const MAX_VALUES: usize = 10_000;

/// A longer id is not repeated in an error.
const MAX_ID_LEN: usize = 1024;

/// Scans the bytes of a message as they arrive.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    length: usize,
    values: usize,
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
    /// The outermost value is an object, so it may have an id.
    is_object: bool,
    /// The current key or value of the outermost object, as far as it may be an id.
    token: Vec<u8>,
    /// The current value is that of `id`.
    is_id: bool,
    id: Option<Vec<u8>>,
}

impl Scan {
    /// Scans more bytes, and returns an error if the message exceeds a limit.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), ErrorData> {
        self.length = self.length.saturating_add(bytes.len());
        while let Some(&byte) = bytes.first() {
            let taken = if self.is_in_string {
                self.string(bytes)
            } else {
                self.outside(byte);
                1
            };
            bytes = &bytes[taken..];
        }
        if self.length > LARGEST {
            return Err(too_large());
        }
        if self.values > MAX_VALUES {
            let message = format!(
                "the message has more than {MAX_VALUES} values, more than any call needs: send a smaller message"
            );
            return Err(ErrorData::new(ErrorCode::INVALID_REQUEST, message, None));
        }
        Ok(())
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Returns whether the message has an id, valid or not.
    pub(crate) fn has_id(&self) -> bool {
        self.id.is_some()
    }

    /// Returns the message's id, if it is valid.
    pub(crate) fn id(&self) -> Option<RequestId> {
        let id = self.id.as_ref().filter(|id| id.len() <= MAX_ID_LEN)?;
        serde_json::from_slice(id).ok()
    }

    /// Scans part of a string, up to its possible end.
    fn string(&mut self, bytes: &[u8]) -> usize {
        let taken = if self.is_escaped {
            self.is_escaped = false;
            1
        } else {
            match memchr2(b'"', b'\\', bytes) {
                Some(at) => {
                    self.is_escaped = bytes[at] == b'\\';
                    self.is_in_string = self.is_escaped;
                    at + 1
                }
                None => bytes.len(),
            }
        };
        self.keep(&bytes[..taken]);
        taken
    }

    fn outside(&mut self, byte: u8) {
        match byte {
            b'{' | b'[' => {
                self.values += 1;
                self.keep(&[byte]);
                self.depth += 1;
                if self.depth == 1 {
                    self.is_object = byte == b'{';
                    self.token.clear();
                }
            }
            b'}' | b']' => {
                if self.depth == 1 {
                    self.end_value();
                }
                self.depth = self.depth.saturating_sub(1);
            }
            b',' => {
                self.values += 1;
                if self.depth == 1 {
                    self.end_value();
                }
            }
            b':' if self.depth == 1 => {
                self.is_id = self.is_object && self.token == br#""id""#;
                self.token.clear();
            }
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => {
                self.is_in_string = byte == b'"';
                self.keep(&[byte]);
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.depth == 1 {
            // One more byte shows that the id is too long.
            let room = (MAX_ID_LEN + 1).saturating_sub(self.token.len());
            self.token.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn end_value(&mut self) {
        let token = std::mem::take(&mut self.token);
        if std::mem::take(&mut self.is_id) {
            self.id = Some(token);
        }
    }
}

pub(crate) fn too_large() -> ErrorData {
    let most = LARGEST / 1024 / 1024;
    let message = format!("the message is larger than {most} MiB: copy large data into the container in another way");
    ErrorData::new(ErrorCode::INVALID_REQUEST, message, None)
}

#[cfg(test)]
mod tests;
