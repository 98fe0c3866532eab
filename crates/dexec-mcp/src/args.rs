//! The command line: which engine to use, how clients reach the server, and what they may do.
#![expect(clippy::doc_markdown, reason = "these docs are help texts")]
#![allow(rustdoc::bare_urls, reason = "these docs are help texts")]

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{ArgAction, Parser};
use dexec::{Endpoint, Error};
use dexec_common::duration::duration;
use dexec_common::endpoint_args::EndpointArgs;
use glob::Pattern;

use crate::answer::Answers;
use crate::audit::Audit;
use crate::endpoint;
use crate::environment::EnvFileRoot;
use crate::http::Http;
use crate::policy::{ContainerRule, Policy, Rules};
use crate::server::Settings;

/// An MCP server to run commands in running containers, without a docker binary
#[derive(Debug, Parser)]
#[command(
    name = "dexec-mcp",
    version,
    max_term_width = 100,
    after_help = "\
The server communicates over standard input and output, or over HTTP with --http. It offers the tools `exec` and \
`containers`. A command is stopped with all its processes when its timeout expires, when the client cancels the \
call, and when the client disconnects.\n\n\
The engine is the one that the docker command would use with the same options and environment. If no engine is \
configured and Docker's default socket does not exist, another engine of this machine is used; `dexec --info` \
shows which.\n\n\
Anyone who can call `exec` can do in the containers what their users can: use it on trusted containers only."
)]
pub(crate) struct Args {
    #[command(flatten)]
    endpoint: EndpointArgs,

    /// Serve streamable HTTP at http://ADDR/mcp, instead of standard input and output
    ///
    /// An address that other machines can reach requires a bearer token.
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,

    /// File with the bearer token that HTTP clients must send [default: the token in DEXEC_MCP_TOKEN]
    #[arg(long, value_name = "FILE", requires = "http")]
    http_token_file: Option<PathBuf>,

    /// Host name that HTTP clients may use for the server, besides its address and this machine's loopback names
    #[arg(long, value_name = "HOST", requires = "http")]
    http_allow_host: Vec<String>,

    /// Origin, such as app://client, that requests may have, besides the server's; responses have no CORS headers
    #[arg(long, value_name = "ORIGIN", requires = "http")]
    http_allow_origin: Vec<String>,

    /// Maximum number of HTTP sessions at the same time
    #[arg(long, value_name = "N", default_value_t = 64, requires = "http", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    http_max_sessions: usize,

    /// Parts of an answer: `both` text and structured content, each with the output, or `text` alone
    ///
    /// Parts of an answer. With `both`, the text and the structured content each have the output, because some clients show
    /// their model only one of them. With `text`, answers have no structured content, and the tools no output schema and
    /// only the usual parameters: this takes the fewest tokens.
    #[arg(
        long,
        value_name = "PARTS",
        value_enum,
        hide_possible_values = true,
        default_value = "both"
    )]
    answers: Answers,

    /// Whether a call without `compact` omits the output from structured content; clients that show only that part then
    /// show no output
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set)]
    default_compact: bool,

    /// Timeout of a command unless a call sets `timeout`; 0 means no timeout
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    default_timeout: Duration,

    /// Maximum number of characters of each stream in an answer unless a call sets `limit`
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    default_limit: usize,

    /// Maximum number of commands at the same time; others wait, and a detached command counts only until it is started
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    max_concurrent: usize,

    /// Allow only containers whose name matches, or whose id begins with GLOB (12 digits or more); rules are repeatable
    #[arg(long, value_name = "GLOB", help_heading = "Policy")]
    allow_container: Vec<ContainerRule>,

    /// Refuse containers whose name matches, or whose id begins with GLOB
    #[arg(long, value_name = "GLOB", help_heading = "Policy")]
    deny_container: Vec<ContainerRule>,

    /// Allow only this user, as written in calls; a call without `user` has the container's user
    #[arg(long, value_name = "USER", help_heading = "Policy")]
    allow_user: Vec<String>,

    /// Allow only programs that match, as written in calls; not a security boundary, as programs can run others
    #[arg(long, value_name = "GLOB", help_heading = "Policy")]
    allow_command: Vec<Pattern>,

    /// Refuse programs that match, as written in calls or without their directory
    #[arg(long, value_name = "GLOB", help_heading = "Policy")]
    deny_command: Vec<Pattern>,

    /// Allow calls to request all privileges
    #[arg(long, help_heading = "Policy")]
    allow_privileged: bool,

    /// Allow calls to add groups
    #[arg(long, help_heading = "Policy")]
    allow_group_add: bool,

    /// Directory that contains all env files that calls can use [default: the working directory, unless that is /]
    #[arg(long, value_name = "DIR", help_heading = "Policy")]
    env_file_root: Option<PathBuf>,

    /// Variable of the server's environment that calls may pass on by giving only its name
    #[arg(long, value_name = "NAME", help_heading = "Policy")]
    pass_env: Vec<String>,

    /// Append a JSON line to this file when a command has ended: caller, time, container, command and result
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
}

impl Args {
    /// Checks the remaining options, and opens the files that they name.
    pub(crate) fn into_settings(self) -> Result<(Settings, Option<Http>), Error> {
        let http = match self.http {
            Some(address) => Some(Http::new(
                address,
                self.http_token_file,
                self.http_allow_host,
                self.http_allow_origin,
                self.http_max_sessions,
            )?),
            None => None,
        };
        let env_file_root = EnvFileRoot::find(self.env_file_root.as_deref())?;
        let policy = Policy {
            containers: Rules::new("container", self.allow_container, self.deny_container),
            commands: Rules::new("command", self.allow_command, self.deny_command),
            users: self.allow_user,
            allow_privileged: self.allow_privileged,
            allow_group_add: self.allow_group_add,
            env_file_root,
            pass_env: self.pass_env,
        };
        let settings = Settings {
            endpoint: Endpoint::find(&endpoint::options(self.endpoint)?)?,
            answers: self.answers,
            default_compact: self.default_compact,
            default_timeout: Some(self.default_timeout).filter(|time| !time.is_zero()),
            default_limit: self.default_limit,
            max_concurrent: self.max_concurrent,
            policy,
            audit: self.audit.map(Audit::open).transpose()?,
        };
        Ok((settings, http))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn manual_page_is_generated() {
        test_support::manual::write(Args::command());
    }

    #[test]
    fn options_page_matches_the_options() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/mcp-options.md");
        test_support::manual::compare_options_page(Args::command(), &page);
    }
}
