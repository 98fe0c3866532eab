//! Adds groups, for which the engines' exec API has no field.
//!
//! dexec's own [helper](super::helper) is run as root. It sets the command's user, that user's groups and the added
//! ones, and starts the command. The user and its groups are first determined in the container, as that user, so that
//! the command finds everything else as it would without the added groups.
//!
//! No program of the container is run as root: the caller may control the container's programs, search path and loader
//! variables. The helper is static, is called by its full path, and reads from the environment only what it passes on.

use crate::api::Api;
use crate::error::{Error, ErrorKind};
use crate::outcome::End;
use crate::output::Capture;
use crate::request::ExecSpec;

use super::helper::Helper;
use super::own;

/// Larger than any identity.
const MAX_IDENTITY_LEN: usize = 256 * 1024;

#[derive(Debug, Default, PartialEq, Eq)]
struct Identity {
    uid: String,
    gid: String,
    groups: Vec<String>,
    home: String,
}

/// Returns the same command with the added groups, and the helper that was put into the container for it. The helper
/// removes itself when the command is started.
pub(super) async fn with_groups(api: &Api, spec: ExecSpec) -> Result<(ExecSpec, Helper), Error> {
    let helper = match Helper::put(api, &spec.container).await {
        Ok(helper) => helper,
        Err(error) if is_of_the_place(error.kind()) => return Err(unsupported(&spec, error.cause())),
        Err(error) => return Err(error),
    };
    match by_helper(api, spec, helper.path()).await {
        Ok(spec) => Ok((spec, helper)),
        Err(error) => {
            // The original error is more important than a failure here.
            let _ = helper.remove(api).await;
            Err(error)
        }
    }
}

/// Whether the helper can't be put into the container because of the container itself.
fn is_of_the_place(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::EngineError | ErrorKind::UnsupportedInContainer)
}

async fn by_helper(api: &Api, spec: ExecSpec, helper: &str) -> Result<ExecSpec, Error> {
    let asked = ask(api, &spec, &[helper, "identity"]).await?;
    let identity = Identity::parse(&asked).ok_or_else(|| {
        unsupported(
            &spec,
            &format!("unexpected output from the helper: `{}`", first_line(&asked)),
        )
    })?;
    let groups = identity.and(&spec.groups);
    let prefix = [helper, "groups", &identity.uid, &identity.gid, &groups];
    let mut spec = ExecSpec {
        user: Some("0:0".to_owned()),
        ..spec
    };
    // This is a test run: the helper's error messages can't be distinguished from those of the command.
    ask(api, &spec, &prefix).await?;
    spec.env.push(format!("HOME={}", identity.home));
    spec.command.splice(0..0, prefix.iter().map(|&word| word.to_owned()));
    Ok(spec)
}

/// Returns what a command prints in the container of `spec`, run as its user and with its environment.
async fn ask(api: &Api, spec: &ExecSpec, command: &[&str]) -> Result<String, Error> {
    let question = ExecSpec {
        command: command.iter().map(|&word| word.to_owned()).collect(),
        groups: Vec::new(),
        workdir: Some("/".to_owned()),
        is_detached: false,
        terminal: None,
        ..spec.clone()
    };
    let mut capture = Capture::with_limit(MAX_IDENTITY_LEN);
    let end = own::run(api, &question, &mut capture).await?;
    let (stdout, stderr) = capture.finish();
    match end {
        End::Exited { code: 0 } => Ok(String::from_utf8_lossy(&stdout.into_bytes()).into_owned()),
        End::Exited { .. } | End::ExitedUnsealed { .. } => {
            let stderr = stderr.into_bytes();
            Err(unsupported(spec, first_line(&String::from_utf8_lossy(&stderr))))
        }
        End::StartFailed { error, .. }
            if matches!(
                error.kind(),
                ErrorKind::CommandNotFound | ErrorKind::CommandNotExecutable
            ) =>
        {
            Err(unsupported(spec, error.cause()))
        }
        End::StartFailed { error, .. }
        | End::ContainerStopped { error, .. }
        | End::ConnectionLost { error, .. }
        | End::NotRun(error)
        | End::Cancelled(error) => Err(error),
        End::Stopped { .. } | End::Detached { .. } | End::LeftRunning { .. } => {
            Err(unsupported(spec, "the helper did not finish"))
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn unsupported(spec: &ExecSpec, reason: &str) -> Error {
    Error::new(
        ErrorKind::UnsupportedInContainer,
        format!(
            "groups can't be added in the container `{}`: {reason}. This requires a root directory that only root can \
             write to, groups that the container knows (or numbers), and root's capability to set groups; nothing was \
             run",
            spec.container
        ),
    )
}

impl Identity {
    /// Returns the identity's groups and `more`, separated by commas.
    fn and(&self, more: &[String]) -> String {
        [self.groups.as_slice(), more].concat().join(",")
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let groups = field("Supplementary groups")?;
        Some(Self {
            uid: field("euid")?.to_owned(),
            gid: field("egid")?.to_owned(),
            groups: groups
                .split(',')
                .filter(|group| group.bytes().all(|byte| byte.is_ascii_digit()) && !group.is_empty())
                .map(str::to_owned)
                .collect(),
            home: field("home")?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_is_parsed() {
        let said = "euid: 1000\negid: 1001\nSupplementary groups: 1001,2000\nhome: /home/app\n";
        assert_eq!(
            Identity::parse(said),
            Some(Identity {
                uid: "1000".to_owned(),
                gid: "1001".to_owned(),
                groups: vec!["1001".to_owned(), "2000".to_owned()],
                home: "/home/app".to_owned(),
            })
        );
        let without_groups = said.replace("1001,2000", "[none]");
        assert_eq!(
            Identity::parse(&without_groups).map(|identity| identity.groups),
            Some(vec![])
        );
        assert_eq!(Identity::parse("euid: 1000\n"), None);
    }
}
