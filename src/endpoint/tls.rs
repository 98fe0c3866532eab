//! What a TLS connection to an engine needs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};

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

impl Tls {
    /// What docker's variables ask for: `DOCKER_TLS_VERIFY` or `DOCKER_TLS`, and the files in `DOCKER_CERT_PATH`.
    pub(super) fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Error> {
        let verify = variable("DOCKER_TLS_VERIFY").is_some();
        if !verify && variable("DOCKER_TLS").is_none() {
            return Ok(None);
        }
        let directory = match variable("DOCKER_CERT_PATH").or_else(|| variable("DOCKER_CONFIG")) {
            Some(directory) => PathBuf::from(directory),
            None => Path::new(&variable("HOME").unwrap_or_default()).join(".docker"),
        };
        let read = |name: &str| Pem::read(&directory.join(name));
        let ca = read("ca.pem")?;
        if ca.is_none() {
            return Err(unreadable(&directory.join("ca.pem"), &io::ErrorKind::NotFound.into()));
        }
        let identity = read("cert.pem")?.zip(read("key.pem")?);
        Ok(Some(Self { ca, identity, verify }))
    }
}

impl Pem {
    fn read(path: &Path) -> Result<Option<Self>, Error> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Some(Self {
                name: path.display().to_string(),
                bytes,
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(path, &error)),
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    let message = format!("{} can't be read, which TLS needs: {error}", path.display());
    Error::new(ErrorKind::Tls, message)
}

/// The bytes may be those of a key.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem").field("name", &self.name).finish_non_exhaustive()
    }
}
