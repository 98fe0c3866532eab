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
The server speaks over standard input and output, or over HTTP with --http. It offers the tools `exec` and `containers`.
A command is stopped with all its processes when its time is over, when the client cancels the call, and when the client
goes. The engine is the one that the docker command would find with these options from this environment, else another one
of this machine; `dexec --info` tells. Whoever can call `exec` can do in the containers what their users can: use it on trusted containers only."
)]
pub(crate) struct Args {
    #[command(flatten)]
    endpoint: EndpointArgs,

    /// Serve streamable HTTP at this address, as http://ADDR/mcp, instead of standard input and output
    ///
    /// An address that other machines reach needs a bearer token.
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,

    /// The bearer token that HTTP clients have to send stands in this file [default: DEXEC_MCP_TOKEN]
    #[arg(long, value_name = "FILE", requires = "http")]
    http_token_file: Option<PathBuf>,

    /// A name by which HTTP clients may call the server, beside its address and the names of this machine's loopback
    #[arg(long, value_name = "HOST", requires = "http")]
    http_allow_host: Vec<String>,

    /// An origin, such as app://client, that requests may name, beside the server's own; answers carry no CORS headers
    #[arg(long, value_name = "ORIGIN", requires = "http")]
    http_allow_origin: Vec<String>,

    /// The most HTTP sessions at the same time
    #[arg(long, value_name = "N", default_value_t = 64, requires = "http", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    http_max_sessions: usize,

    /// Whether answers are compact unless a call says otherwise: false for a client that shows the structured part only
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    default_compact: bool,

    /// The time of a command unless a call says otherwise; 0 means no end
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    default_timeout: Duration,

    /// The most characters of each stream in an answer's text unless a call says otherwise
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    default_limit: usize,

    /// The most commands at the same time; more wait for a place, and detached ones take none
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    max_concurrent: usize,

    /// Allow only containers whose name matches, or whose id begins so (12 digits or more); may be repeated, as all rules
    #[arg(long, value_name = "GLOB", help_heading = "Policy")]
    allow_container: Vec<ContainerRule>,

    /// Refuse containers whose name matches, or whose id begins so
    #[arg(long, value_name = "GLOB", help_heading = "Policy")]
    deny_container: Vec<ContainerRule>,

    /// Allow only this user, as calls write it; a call without one has the container's
    #[arg(long, value_name = "USER", help_heading = "Policy")]
    allow_user: Vec<String>,

    /// Allow only programs that match, as calls write them: a guard and no boundary, as programs run programs
    #[arg(long, value_name = "GLOB", help_heading = "Policy")]
    allow_command: Vec<Pattern>,

    /// Refuse programs that match, as calls write them or without their directory
    #[arg(long, value_name = "GLOB", help_heading = "Policy")]
    deny_command: Vec<Pattern>,

    /// Allow calls to ask for all privileges
    #[arg(long, help_heading = "Policy")]
    allow_privileged: bool,

    /// Allow calls to add groups
    #[arg(long, help_heading = "Policy")]
    allow_group_add: bool,

    /// Env files lie below this directory [default: the working directory, unless that is /]
    #[arg(long, value_name = "DIR", help_heading = "Policy")]
    env_file_root: Option<PathBuf>,

    /// A variable of the server's environment that calls may pass on by its name alone
    #[arg(long, value_name = "NAME", help_heading = "Policy")]
    pass_env: Vec<String>,

    /// Append a JSON line to this file when a command has ended: who, when, where, what, and how it ended
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
