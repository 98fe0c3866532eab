//! What a TLS connection to an engine needs.

use std::fmt;

/// TLS to an engine, with everything it needs in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The certificates that are trusted, and no others; without them the system's are.
    pub(crate) ca: Option<Pem>,
    /// The client's certificate, with those that lead from it to its CA, and its key.
    pub(crate) identity: Option<(Pem, Pem)>,
    /// Whether the server's certificate is checked.
    pub(crate) verify: bool,
}

/// The contents of a PEM file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pem {
    /// The file's path, for messages.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// The bytes may be those of a key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem").field("name", &self.name).finish_non_exhaustive()
    }
}
