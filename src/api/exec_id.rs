//! The id of an exec.

use super::error::ApiError;

/// A command that the engine has created. The id has the form of the engines' ids, so that it can't change the path of
/// a request.
#[derive(Clone, Debug)]
pub(crate) struct ExecId(String);

impl ExecId {
    pub(super) fn parse(id: String) -> Result<Self, ApiError> {
        let is_id = !id.is_empty() && id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id {
            Ok(Self(id))
        } else {
            Err(ApiError::NotAnEngine(
                "the exec id in the response is invalid".to_owned(),
            ))
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exec_id_must_be_hexadecimal() {
        for id in ["", "..", "abc/../x", "12?x", "xyz"] {
            assert!(ExecId::parse(id.to_owned()).is_err(), "{id}");
        }
        assert!(ExecId::parse("0123abcdef".to_owned()).is_ok());
    }
}
