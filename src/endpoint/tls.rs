//! Whether TLS is used, and with which certificates.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Remedy, io_reason};

use super::environment::Environment;
use super::file::read;
use super::options::EndpointOptions;

/// The settings for TLS connections. The files have been read, but not parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The only certificate authorities to trust; `None` means those of the system.
    pub(crate) ca: Option<Pem>,
    /// The client's certificate and its key.
    pub(crate) identity: Option<(Pem, Pem)>,
    /// Whether the server's certificate and name are checked.
    pub(crate) verify: bool,
}

/// A PEM file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pem {
    /// The file's path, for messages.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

impl fmt::Debug for Pem {
    /// Omits the bytes, which may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tls {
    /// Returns the settings from the options or the environment (docker/cli, `cli/flags/options.go`); `None` if
    /// neither requests TLS.
    pub(super) fn from_options(
        options: &EndpointOptions,
        environment: &Environment<'_>,
    ) -> Result<Option<Self>, Error> {
        let verify = options
            .tls_verify
            .unwrap_or_else(|| environment.is_set("DOCKER_TLS_VERIFY"));
        let is_used =
            verify || options.tls_verify.is_some() || options.tls.unwrap_or_else(|| environment.is_set("DOCKER_TLS"));
        if !is_used {
            return Ok(None);
        }
        // docker's `--config` does not change this directory.
        let directory = environment
            .path("DOCKER_CERT_PATH")
            .or_else(|| environment.config_dir());
        let file = |given: &Option<PathBuf>, usual: &str| -> Result<Option<Pem>, Error> {
            match (given, &directory) {
                (Some(path), _) if path.as_os_str().is_empty() => Ok(None),
                (Some(path), _) => Pem::read(path).map(Some),
                (None, Some(directory)) => match Pem::read_if_there(&directory.join(usual))? {
                    None if usual == CA => Err(no_ca(&directory.join(usual))),
                    pem => Ok(pem),
                },
                (None, None) => Ok(None),
            }
        };
        let ca = file(&options.tls_ca_cert, CA)?;
        let certificate = file(&options.tls_cert, CERTIFICATE)?;
        let key = file(&options.tls_key, KEY)?;
        Self::new(ca, certificate, key, verify).map(Some)
    }

    /// Reads a context's TLS files. As in docker, if their directory does not exist, TLS is used only if verification
    /// is off.
    pub(super) fn from_directory(directory: &Path, verify: bool) -> Result<Option<Self>, Error> {
        let is_there = match directory.metadata() {
            Ok(metadata) => metadata.is_dir(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            // A directory that can't be read must not lead to a connection without TLS.
            Err(error) => return Err(unreadable(directory, &error)),
        };
        if !is_there && verify {
            return Ok(None);
        }
        let file = |name: &str| Pem::read_if_there(&directory.join(name));
        Self::new(file(CA)?, file(CERTIFICATE)?, file(KEY)?, verify).map(Some)
    }

    fn new(ca: Option<Pem>, certificate: Option<Pem>, key: Option<Pem>, verify: bool) -> Result<Self, Error> {
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, Some(key)) => {
                return Err(
                    Error::new(ErrorKind::Tls, format!("the TLS key {} has no certificate", key.name))
                        .with_remedies([Remedy::NameClientCertificate]),
                );
            }
            // docker ignores a certificate without its key.
            (_, None) => None,
        };
        Ok(Self { ca, identity, verify })
    }
}

const CA: &str = "ca.pem";
const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";

impl Pem {
    fn read(path: &Path) -> Result<Self, Error> {
        match read(path) {
            Ok(bytes) => Ok(Self {
                name: path.display().to_string(),
                bytes,
            }),
            Err(error) => Err(unreadable(path, &error)),
        }
    }

    fn read_if_there(path: &Path) -> Result<Option<Self>, Error> {
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            _ => Self::read(path).map(Some),
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    let (path, reason) = (path.display(), io_reason(error));
    Error::new(ErrorKind::Tls, format!("the TLS file {path} can't be read: {reason}")).with_docker_text(format!(
        "Failed to initialize: unable to resolve docker endpoint: open {path}: {reason}"
    ))
}

/// docker requires this file even if the server is not verified, and for a Unix socket.
fn no_ca(path: &Path) -> Error {
    let path = path.display();
    Error::new(
        ErrorKind::Tls,
        format!("TLS is requested (by option, DOCKER_TLS or DOCKER_TLS_VERIFY), but {path} does not exist"),
    )
    .with_remedies([Remedy::NameCa])
    .with_docker_text(format!(
        "Failed to initialize: unable to resolve docker endpoint: open {path}: no such file or directory"
    ))
}
