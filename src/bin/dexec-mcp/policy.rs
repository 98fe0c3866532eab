//! What the operator allows.

use std::path::PathBuf;

use dexec::{ContainerDetails, Error, ErrorKind};
use glob::{MatchOptions, Pattern};

use crate::input::ExecInput;

#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) containers: Rules,
    pub(crate) commands: Rules,
    /// Empty: every user is allowed.
    pub(crate) users: Vec<String>,
    pub(crate) allow_privileged: bool,
    pub(crate) allow_group_add: bool,
    /// Without `..` and symbolic links; `None`: there are no env files.
    pub(crate) env_file_root: Option<PathBuf>,
    pub(crate) pass_env: Vec<String>,
}

/// What is allowed, everything where there is no such rule, and what is refused.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The word in the options: `--allow-WORD`.
    word: &'static str,
    allow: Vec<Pattern>,
    deny: Vec<Pattern>,
}

/// So many digits of an id are meant as one, as docker shows them; `b*` is meant as a name.
const SHORT_ID: usize = 12;

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
            self.check_program(program)?;
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
        // The name that the caller did not give may be hidden from it.
        self.check_reference(&input.container, &container.name, &container.id)?;
        if input.user().is_none() {
            let user = match container.user.as_str() {
                "" => "root",
                user => user,
            };
            self.check_user(user, "the container's own user")?;
        }
        Ok(())
    }

    /// Whether a container may be used, and seen.
    pub(crate) fn allows_container(&self, name: &str, id: &str) -> bool {
        self.check_reference(name, name, id).is_ok()
    }

    fn check_reference(&self, given: &str, name: &str, id: &str) -> Result<(), Error> {
        let is_meant = |pattern: &Pattern| pattern.matches(name) || (is_id(pattern) && pattern.matches(id));
        self.containers.check(given, is_meant, is_meant)
    }

    /// A program is refused by any of its names, and allowed by the one that is going to be run.
    fn check_program(&self, program: &str) -> Result<(), Error> {
        let bare = program.rsplit('/').next().unwrap_or(program);
        // `/bin/*` is the programs of one directory, and no way out of it.
        let one_directory = MatchOptions {
            require_literal_separator: true,
            ..MatchOptions::new()
        };
        self.commands.check(
            program,
            |allowed| allowed.matches_with(program, one_directory),
            |denied| denied.matches(program) || denied.matches(bare),
        )
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

    fn check(
        &self,
        given: &str,
        is_allowed_by: impl Fn(&Pattern) -> bool,
        is_denied_by: impl Fn(&Pattern) -> bool,
    ) -> Result<(), Error> {
        let (word, given) = (self.word, given.escape_debug());
        if let Some(pattern) = self.deny.iter().find(|pattern| is_denied_by(pattern)) {
            return Err(refused(format!(
                "the {word} `{given}` is refused by --deny-{word} {pattern}"
            )));
        }
        if self.allow.is_empty() || self.allow.iter().any(is_allowed_by) {
            return Ok(());
        }
        let allowed: Vec<&str> = self.allow.iter().map(Pattern::as_str).collect();
        Err(refused(format!(
            "the {word} `{given}` is not allowed: --allow-{word} has {}",
            allowed.join(", ")
        )))
    }
}

fn is_id(pattern: &Pattern) -> bool {
    let digits = pattern.as_str().bytes().take_while(u8::is_ascii_hexdigit);
    digits.count() >= SHORT_ID
}

pub(crate) fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::RefusedByPolicy, message)
}
