//! What the operator allows.

use std::path::PathBuf;

use dexec::{ContainerDetails, Error, ErrorKind};
use glob::Pattern;

use crate::input::ExecInput;

#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) containers: Rules,
    pub(crate) commands: Rules,
    /// Empty: every user is allowed.
    pub(crate) users: Vec<String>,
    pub(crate) allow_privileged: bool,
    pub(crate) allow_group_add: bool,
    /// Canonical: without `..` and symbolic links.
    pub(crate) env_file_root: PathBuf,
    pub(crate) pass_env: Vec<String>,
}

/// Names that are allowed, all where there is none, and names that are refused.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The word in the options: `--allow-WORD`.
    word: &'static str,
    allow: Vec<Pattern>,
    deny: Vec<Pattern>,
}

impl Policy {
    /// Checks all that a call says by itself.
    pub(crate) fn check(&self, input: &ExecInput) -> Result<(), Error> {
        if input.privileged && !self.allow_privileged {
            return Err(refused(
                "`privileged` is not allowed: the server runs without --allow-privileged",
            ));
        }
        if !input.group_add.is_empty() && !self.allow_group_add {
            return Err(refused(
                "`groupAdd` is not allowed: the server runs without --allow-group-add",
            ));
        }
        if let Some(program) = input.command.first() {
            // A program is refused by any of its names, and allowed by the one that is going to be run.
            let bare = program.rsplit('/').next().unwrap_or(program);
            self.commands.check(&[program], &[program, bare])?;
        }
        match input.user() {
            Some(user) => self.check_user(user, "the user"),
            None => Ok(()),
        }
    }

    /// Whether it takes more than the call to know whether it is allowed.
    pub(crate) fn needs_container(&self, input: &ExecInput) -> bool {
        !self.containers.is_empty() || (!self.users.is_empty() && input.user().is_none())
    }

    /// Checks what the engine tells of the container.
    pub(crate) fn check_container(&self, input: &ExecInput, container: &ContainerDetails) -> Result<(), Error> {
        let names = [container.name.as_str(), container.id.as_str()];
        self.containers.check(&names, &names)?;
        if input.user().is_none() {
            let user = match container.user.as_str() {
                "" => "root",
                user => user,
            };
            self.check_user(user, "the container's own user")?;
        }
        Ok(())
    }

    fn check_user(&self, user: &str, whose: &str) -> Result<(), Error> {
        if self.users.is_empty() || self.users.iter().any(|allowed| allowed == user) {
            return Ok(());
        }
        Err(refused(format!(
            "{whose} `{}` is not allowed: --allow-user has {}",
            user.escape_debug(),
            self.users.join(", ")
        )))
    }
}

impl Rules {
    pub(crate) fn new(word: &'static str, allow: Vec<Pattern>, deny: Vec<Pattern>) -> Self {
        Self { word, allow, deny }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    pub(crate) fn allows(&self, names: &[&str]) -> bool {
        self.check(names, names).is_ok()
    }

    /// Something is allowed by one of some names, and refused by one of others; the first name stands in the message.
    fn check(&self, to_allow: &[&str], to_deny: &[&str]) -> Result<(), Error> {
        let word = self.word;
        let matching = |patterns: &'_ [Pattern], names: &[&str]| {
            let mut patterns = patterns.iter();
            patterns
                .find(|pattern| names.iter().any(|name| pattern.matches(name)))
                .cloned()
        };
        let name = to_deny.first().copied().unwrap_or_default().escape_debug();
        if let Some(pattern) = matching(&self.deny, to_deny) {
            return Err(refused(format!(
                "the {word} `{name}` is refused by --deny-{word} {pattern}"
            )));
        }
        if self.allow.is_empty() || matching(&self.allow, to_allow).is_some() {
            return Ok(());
        }
        let allowed: Vec<&str> = self.allow.iter().map(Pattern::as_str).collect();
        Err(refused(format!(
            "the {word} `{name}` is not allowed: --allow-{word} has {}",
            allowed.join(", ")
        )))
    }
}

pub(crate) fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::RefusedByPolicy, message)
}
