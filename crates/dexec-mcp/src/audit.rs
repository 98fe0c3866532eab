//! The audit log: a JSON line for each command.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use dexec::{Error, ErrorKind};
use serde::Serialize;

use crate::caller::Caller;
use crate::policy::refused;

#[derive(Debug)]
pub(crate) struct Audit {
    path: PathBuf,
    /// `None` after a failed write: later commands could not be recorded.
    file: Mutex<Option<File>>,
}

/// The record of one call. It never contains environment values, standard input or output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry<'a> {
    #[serde(flatten)]
    pub(crate) caller: &'a Caller,
    pub(crate) container: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) container_id: Option<&'a str>,
    pub(crate) command: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<&'a str>,
    pub(crate) exit_code: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_kind: Option<ErrorKind>,
    pub(crate) duration_ms: u64,
}

impl Audit {
    pub(crate) fn open(path: PathBuf) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        // Command lines may contain secrets.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&path) {
            Ok(file) => Ok(Self {
                path,
                file: Mutex::new(Some(file)),
            }),
            Err(error) => Err(Error::new(
                ErrorKind::InvalidRequest,
                format!("the audit log {} can't be opened: {error}", path.display()),
            )),
        }
    }

    /// Returns an error if commands can't be logged any more.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match *self.lock() {
            Some(_) => Ok(()),
            None => Err(refused(
                "the server's audit log can't be written, so no more commands are run: contact the operator",
            )),
        }
    }

    pub(crate) fn write(&self, begun: SystemTime, entry: &Entry<'_>) {
        #[derive(Serialize)]
        struct Line<'a> {
            time: String,
            #[serde(flatten)]
            entry: &'a Entry<'a>,
        }

        let line = Line {
            time: humantime::format_rfc3339_millis(begun).to_string(),
            entry,
        };
        let mut open = self.lock();
        let Some(file) = open.as_mut() else { return };
        let written = serde_json::to_vec(&line)
            .map_err(std::io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                // In a single write, so that lines of several servers do not mix.
                file.write_all(&line)
            });
        if let Err(error) = written {
            log!("the audit log {} can't be written: {error}", self.path.display());
            *open = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<File>> {
        // No code that holds the lock can leave the file in an inconsistent state.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
