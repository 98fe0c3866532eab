//! docker's options that select the engine, and the warnings about its endpoint.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::duration::duration;

// Flattened into a program's own arguments: a doc comment here would replace that program's description.
#[expect(missing_docs, reason = "clap would show them")]
#[derive(Debug, Default, clap::Args)]
pub struct EndpointArgs {
    #[arg(
        short = 'H',
        long,
        allow_hyphen_values = true,
        help = "Engine to connect to: unix:///path, tcp://host:port, ssh://user@host"
    )]
    host: Vec<OsString>,

    /// Docker context to use
    #[arg(short, long, value_name = "NAME", allow_hyphen_values = true)]
    context: Option<OsString>,

    #[arg(
        long,
        value_name = "DIR",
        allow_hyphen_values = true,
        value_parser = path(),
        hide_short_help = true,
        help = "Directory of docker's config.json and contexts [default: DOCKER_CONFIG, or ~/.docker]"
    )]
    config: Option<PathBuf>,

    /// Use TLS; without --tlsverify the server is not verified
    #[arg(long, hide_short_help = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    tls: Option<bool>,

    /// Use TLS and verify the server; with =false, use TLS without verification
    #[arg(long, hide_short_help = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    tlsverify: Option<bool>,

    #[arg(
        long,
        value_name = "FILE",
        allow_hyphen_values = true,
        value_parser = path(),
        hide_short_help = true,
        help = "CA certificates to trust for TLS [default: ca.pem in DOCKER_CERT_PATH, else in docker's config directory]"
    )]
    tlscacert: Option<PathBuf>,

    /// Client certificate for TLS [default: cert.pem in the same directory]
    #[arg(long, hide_short_help = true, value_name = "FILE", allow_hyphen_values = true, value_parser = path())]
    tlscert: Option<PathBuf>,

    /// Client key for TLS [default: key.pem in the same directory]
    #[arg(long, hide_short_help = true, value_name = "FILE", allow_hyphen_values = true, value_parser = path())]
    tlskey: Option<PathBuf>,

    /// Time limit for connecting to the engine [default: 10s]
    #[arg(long, hide_short_help = true, value_name = "DURATION", allow_hyphen_values = true, value_parser = some_time)]
    connect_timeout: Option<Duration>,
}

/// A path that may be empty, which docker treats as absent.
pub fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// The values of the options. The fields are those of `dexec::EndpointOptions`, which documents them.
#[expect(missing_docs, reason = "each has its meaning there")]
#[derive(Debug, Default)]
pub struct EndpointValues {
    pub host: Option<String>,
    pub context: Option<String>,
    pub config_dir: Option<PathBuf>,
    pub tls: Option<bool>,
    pub tls_verify: Option<bool>,
    pub tls_ca_cert: Option<PathBuf>,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub connect_timeout: Option<Duration>,
}

impl EndpointArgs {
    /// # Errors
    ///
    /// Returns a message that names the option with an invalid value.
    pub fn into_values(self) -> Result<EndpointValues, String> {
        let mut hosts = self.host.into_iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            return Err("specify only one -H".to_owned());
        }
        Ok(EndpointValues {
            host: host.map(|host| text(host, "--host")).transpose()?,
            context: self.context.map(|name| text(name, "--context")).transpose()?,
            config_dir: self.config,
            tls: self.tls,
            tls_verify: self.tlsverify,
            tls_ca_cert: self.tlscacert.map(without_quotes),
            tls_cert: self.tlscert.map(without_quotes),
            tls_key: self.tlskey.map(without_quotes),
            connect_timeout: self.connect_timeout,
        })
    }
}

/// Returns the warnings about an endpoint, one line each, for standard error: those that the library `found`, and one
/// if the connection to the address `exposed` is unencrypted. `DEXEC_ALLOW_PLAIN_TCP` disables the latter.
#[must_use]
pub fn warnings(found: &[String], exposed: Option<&dyn Display>) -> Vec<String> {
    let mut warnings: Vec<String> = found.iter().map(|fault| format!("WARNING: {fault}")).collect();
    let is_allowed = std::env::var_os("DEXEC_ALLOW_PLAIN_TCP").is_some_and(|value| !value.is_empty());
    if let Some(address) = exposed
        && !is_allowed
    {
        warnings.push(format!(
            "WARNING: the connection to {address} is unencrypted, and anyone who can reach that port has root access \
             to that machine: use TLS or ssh://, or set DEXEC_ALLOW_PLAIN_TCP=1 to disable this warning"
        ));
    }
    warnings
}

/// Parses the values that Go's `strconv.ParseBool` accepts.
///
/// # Errors
///
/// Returns Go's error message.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("the time limit must be greater than zero: write 90, 1.5, 90s or 2m 30s".to_owned()),
        time => Ok(time),
    }
}

fn text(value: OsString, option: &str) -> Result<String, String> {
    value
        .into_string()
        .map_err(|_| format!("the value of {option} is not UTF-8"))
}

/// docker removes a pair of quotes around the names of these files.
fn without_quotes(path: PathBuf) -> PathBuf {
    let unquoted = path.to_str().and_then(|text| {
        let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
        inner('"').or_else(|| inner('\''))
    });
    match unquoted {
        Some(unquoted) => PathBuf::from(unquoted),
        None => path,
    }
}
