//! The operator's rules.

use std::fmt;
use std::str::FromStr;

use dexec::{ContainerDetails, Error, ErrorKind};
use glob::{MatchOptions, Pattern};

use crate::environment::EnvFileRoot;
use crate::input::ExecInput;

#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) containers: Rules<ContainerRule>,
    pub(crate) commands: Rules,
    /// If empty, every user is allowed.
    pub(crate) users: Vec<String>,
    pub(crate) allow_privileged: bool,
    pub(crate) allow_group_add: bool,
    /// If `None`, no env files can be used.
    pub(crate) env_file_root: Option<EnvFileRoot>,
    pub(crate) pass_env: Vec<String>,
}

/// Rules that allow and rules that deny. Without any rule that allows, everything that is not denied is allowed.
#[derive(Debug)]
pub(crate) struct Rules<P = Pattern> {
    /// The word in the option names: `--allow-WORD`.
    word: &'static str,
    allow: Vec<P>,
    deny: Vec<P>,
}

/// A rule for containers: by name, or by the beginning of an id.
#[derive(Clone, Debug)]
pub(crate) struct ContainerRule {
    given: String,
    name: Pattern,
    /// Matches ids that begin as in the rule. If `None`, the rule matches names only.
    id: Option<Pattern>,
}

/// A rule with at least this many digits, as docker shows them, is for an id; `b*` is for names.
const SHORT_ID: usize = 12;

impl Policy {
    /// Checks everything that depends on the call alone.
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

    /// Returns whether the check needs the container's details.
    pub(crate) fn needs_container(&self, input: &ExecInput) -> bool {
        !self.containers.is_empty() || (!self.users.is_empty() && input.user().is_none())
    }

    /// Checks the container's details, as the engine reports them.
    pub(crate) fn check_container(&self, input: &ExecInput, container: &ContainerDetails) -> Result<(), Error> {
        // Errors contain only the reference that the caller gave: the container's name may be hidden from it.
        self.check_reference(&input.container, &container.name, &container.id)?;
        if input.user().is_none() {
            let user = match container.user.as_str() {
                "" => "root",
                user => user,
            };
            self.check_user(user, "the container's user")?;
        }
        Ok(())
    }

    /// Returns whether a container may be used and listed.
    pub(crate) fn allows_container(&self, name: &str, id: &str) -> bool {
        self.check_reference(name, name, id).is_ok()
    }

    fn check_reference(&self, given: &str, name: &str, id: &str) -> Result<(), Error> {
        self.containers.check(
            given,
            |allowed| allowed.allows(name, id),
            |denied| denied.denies(name, id),
        )
    }

    /// A program is denied by its path or its file name, but allowed only by the path that is executed.
    fn check_program(&self, program: &str) -> Result<(), Error> {
        let bare = program.rsplit('/').next().unwrap_or(program);
        // `/bin/*` allows only the programs directly in that directory.
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
            "{whose} `{}` is not allowed: --allow-user allows {}",
            user.escape_debug(),
            self.users.join(", ")
        )))
    }
}

impl<P: fmt::Display> Rules<P> {
    pub(crate) fn new(word: &'static str, allow: Vec<P>, deny: Vec<P>) -> Self {
        Self { word, allow, deny }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }

    fn check(
        &self,
        given: &str,
        is_allowed_by: impl Fn(&P) -> bool,
        is_denied_by: impl Fn(&P) -> bool,
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
        let allowed: Vec<String> = self.allow.iter().map(P::to_string).collect();
        Err(refused(format!(
            "the {word} `{given}` is not allowed: --allow-{word} allows {}",
            allowed.join(", ")
        )))
    }
}

impl ContainerRule {
    /// A rule for an id does not allow a container whose name looks like that id.
    fn allows(&self, name: &str, id: &str) -> bool {
        match &self.id {
            Some(beginning) => begins_as(beginning, id),
            None => self.name.matches(name),
        }
    }

    fn denies(&self, name: &str, id: &str) -> bool {
        self.name.matches(name) || self.id.as_ref().is_some_and(|beginning| begins_as(beginning, id))
    }
}

impl FromStr for ContainerRule {
    type Err = String;

    /// Rejects rules that no container can match: nobody would notice that such a deny rule has no effect.
    fn from_str(given: &str) -> Result<Self, String> {
        // `docker inspect` prints names with a leading `/`.
        let rule = given.strip_prefix('/').unwrap_or(given);
        let is_possible = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-*?[]!".contains(&byte);
        if rule.is_empty() || !rule.bytes().all(is_possible) {
            return Err(
                "no container name or id can match this pattern: use letters, digits, `_`, `.`, `-`, and the \
                        wildcards `*`, `?`, `[ab]`, `[a-z]`, `[!ab]`; repeat the option for several patterns"
                    .to_owned(),
            );
        }
        let pattern = |rule: &str| Pattern::new(rule).map_err(|error| error.to_string());
        let digits = rule.bytes().take_while(u8::is_ascii_hexdigit).count();
        let is_id = digits >= SHORT_ID && rule[digits..].bytes().next().is_none_or(|next| b"*?[".contains(&next));
        let more = if rule.ends_with('*') { "" } else { "*" };
        Ok(Self {
            given: given.to_owned(),
            name: pattern(rule)?,
            id: is_id.then(|| pattern(&format!("{rule}{more}"))).transpose()?,
        })
    }
}

impl fmt::Display for ContainerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.given)
    }
}

fn begins_as(beginning: &Pattern, id: &str) -> bool {
    let any_case = MatchOptions {
        case_sensitive: false,
        ..MatchOptions::new()
    };
    beginning.matches_with(id, any_case)
}

pub(crate) fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::RefusedByPolicy, message)
}

#[cfg(test)]
mod tests;
