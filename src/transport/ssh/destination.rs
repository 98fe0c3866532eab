//! The user, host and port of an ssh login.

use tokio::process::Command;

/// The user, host and port of an ssh login.
#[derive(Clone, Debug)]
pub(in crate::transport) struct SshDestination {
    pub(in crate::transport) user: Option<String>,
    pub(in crate::transport) host: String,
    pub(in crate::transport) port: Option<u16>,
}

impl SshDestination {
    /// Returns ssh's arguments for the destination. None of the values can be mistaken for another option: each is an
    /// option's argument or follows the end of the options.
    pub(super) fn args(&self) -> Vec<String> {
        let mut args = Vec::new();
        if let Some(user) = &self.user {
            args.extend(["-l".to_owned(), user.clone()]);
        }
        if let Some(port) = self.port {
            args.extend(["-p".to_owned(), port.to_string()]);
        }
        args.extend(["--".to_owned(), self.host.clone()]);
        args
    }

    /// Returns the command that a user can run to see ssh's own messages.
    pub(super) fn command(&self) -> String {
        format!("ssh {}", self.args().join(" ")).replace(" -- ", " ")
    }
}

/// Returns an ssh command with a process group of its own, so that signals to dexec's process group do not reach it.
pub(super) fn ssh() -> Command {
    let mut command = Command::new("ssh");
    command.process_group(0).kill_on_drop(true);
    command
}
