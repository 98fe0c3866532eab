//! Whom ssh logs in as, and where.

use tokio::process::Command;

/// Whom to log in as, and where.
#[derive(Clone, Debug)]
pub(in crate::transport) struct SshDestination {
    pub(in crate::transport) user: Option<String>,
    pub(in crate::transport) host: String,
    pub(in crate::transport) port: Option<u16>,
}

impl SshDestination {
    /// ssh's own arguments. None of the words can be taken for another option: each is an option's argument or stands
    /// behind the end of the options.
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

    /// What to type to see what ssh says.
    pub(super) fn command(&self) -> String {
        format!("ssh {}", self.args().join(" ")).replace(" -- ", " ")
    }
}

/// ssh, with everything of it apart from ours: a signal to our process group is not for it.
pub(super) fn ssh() -> Command {
    let mut command = Command::new("ssh");
    command.process_group(0).kill_on_drop(true);
    command
}
