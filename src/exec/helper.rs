//! The static program that does inside a container what the image has no tool for.
//!
//! Its source is in `helper/`; `build.rs` builds it for the architectures that engines run on. It is put into the
//! container when it is needed, and removed as soon as it is not.

use std::time::Duration;

use bytes::Bytes;

use crate::api::Api;
use crate::error::{Error, ErrorKind};
use crate::request::{ContainerName, ExecSpec};
use crate::transport::EngineKind;

use crate::marker::Marker;

const REMOVING_TIMEOUT: Duration = Duration::from_secs(10);

/// The program, by the engines' names for the architecture; empty if it could not be built.
const PROGRAMS: [(&[&str], &[u8]); 2] = [
    (
        &["amd64", "x86_64"],
        include_bytes!(concat!(env!("OUT_DIR"), "/helper-x86_64")),
    ),
    (
        &["arm64", "aarch64"],
        include_bytes!(concat!(env!("OUT_DIR"), "/helper-aarch64")),
    ),
];

/// Docker writes files underneath the container's mounts, so only the root directory is certain to be visible.
const DOCKER_DIRECTORIES: &[&str] = &["/"];

/// Podman writes files where the container sees them. A container with a read-only root still has two writable
/// directories.
const PODMAN_DIRECTORIES: &[&str] = &["/", "/run", "/tmp"];

/// A helper that was put into a container.
#[derive(Debug)]
pub(super) struct Helper {
    container: ContainerName,
    path: String,
}

impl Helper {
    /// Puts the helper into a container, under a unique name, in a directory where it may be run as root.
    pub(super) async fn put(api: &Api, container: &ContainerName) -> Result<Self, Error> {
        let architecture = api.architecture(container).await?;
        let program = PROGRAMS
            .iter()
            .find(|(names, program)| names.contains(&architecture.as_str()) && !program.is_empty())
            .map(|(_, program)| *program)
            .ok_or_else(|| unsupported(&format!("this build of dexec has no helper for {architecture}")))?;
        let name = format!(".dexec-{}", Marker::new(None).value());
        let archive = archive(&name, program);
        let directories = if api.kind() == EngineKind::Podman {
            PODMAN_DIRECTORIES
        } else {
            DOCKER_DIRECTORIES
        };
        let mut refused = None;
        for directory in directories {
            match Self::put_to(api, container, directory, &archive).await {
                Ok(()) => {
                    let path = format!("{}/{name}", directory.trim_end_matches('/'));
                    let container = container.clone();
                    return Ok(Self { container, path });
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or_else(|| unsupported("no directory is available for the helper")))
    }

    async fn put_to(
        api: &Api,
        container: &ContainerName,
        directory: &'static str,
        archive: &Bytes,
    ) -> Result<(), Error> {
        if api.is_open_to_others(container, directory).await? {
            // The file that is run as root must be the one that was put there.
            return Err(unsupported(&format!(
                "users other than root can replace files in the container's directory {directory}"
            )));
        }
        api.put_archive(container, directory, archive.clone()).await
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Removes the helper. In the root directory, only root may do this.
    pub(super) async fn remove(self, api: &Api) -> Result<(), Error> {
        let spec = ExecSpec {
            container: self.container,
            command: vec![self.path, "remove".to_owned()],
            user: Some("0:0".to_owned()),
            workdir: Some("/".to_owned()),
            ..ExecSpec::default()
        };
        let id = api.create_exec(&spec, false).await?;
        let mut socket = api.start_attached(&id, &spec).await?.connection;
        // The helper ends quickly, and its output is empty.
        let mut output = tokio::io::sink();
        let ended = tokio::io::copy(&mut socket, &mut output);
        let _ = tokio::time::timeout(REMOVING_TIMEOUT, ended).await;
        Ok(())
    }
}

fn unsupported(reason: &str) -> Error {
    Error::new(ErrorKind::UnsupportedInContainer, reason)
}

/// Returns a tar archive of one program.
fn archive(name: &str, program: &[u8]) -> Bytes {
    let mut header = tar::Header::new_ustar();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    let mut builder = tar::Builder::new(Vec::new());
    let written = builder
        .append_data(&mut header, name, program)
        .and_then(|()| builder.into_inner());
    // This can't fail: it writes only to memory, and the name is short.
    written.unwrap_or_default().into()
}

/// Returns why the helper could not execute the command, if standard error contains only the helper's message.
pub(super) fn execute_failure(stderr: &str) -> Option<ErrorKind> {
    let reason = stderr.strip_prefix("dexec: failed to execute ")?.strip_suffix('\n')?;
    if reason.contains('\n') {
        None
    } else if reason.ends_with(": No such file or directory") {
        Some(ErrorKind::CommandNotFound)
    } else {
        Some(ErrorKind::CommandNotExecutable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helper_failure_is_distinguished_from_command_output() {
        assert_eq!(
            execute_failure("dexec: failed to execute nosuch: No such file or directory\n"),
            Some(ErrorKind::CommandNotFound)
        );
        assert_eq!(
            execute_failure("dexec: failed to execute /etc: Permission denied\n"),
            Some(ErrorKind::CommandNotExecutable)
        );
        assert_eq!(
            execute_failure("dexec: failed to execute a: No such file or directory\nmore\n"),
            None
        );
        assert_eq!(execute_failure("sh: nosuch: not found\n"), None);
    }
}
