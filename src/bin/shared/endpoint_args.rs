//! The options that say where the engine is, which are docker's, and what is to be said of it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use dexec::{Endpoint, EndpointOptions, Error, ErrorKind};

use crate::duration::duration;

// To be flattened into a program's own arguments, whose description a comment for rustdoc would replace.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct EndpointArgs {
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

/// A path that may be empty, which docker takes to be none.
pub(crate) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

impl EndpointArgs {
    pub(crate) fn into_options(self) -> Result<EndpointOptions, Error> {
        let mut hosts = self.host.into_iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            return Err(Error::new(ErrorKind::InvalidRequest, "specify only one -H"));
        }
        let mut options = EndpointOptions::default();
        options.host = host.map(|host| text(host, "--host")).transpose()?;
        let context = self.context.map(|name| text(name, "--context"));
        options.context = context.transpose()?;
        options.config_dir = self.config;
        options.tls = self.tls;
        options.tls_verify = self.tlsverify;
        options.tls_ca_cert = self.tlscacert.map(without_quotes);
        options.tls_cert = self.tlscert.map(without_quotes);
        options.tls_key = self.tlskey.map(without_quotes);
        options.connect_timeout = self.connect_timeout;
        Ok(options)
    }
}

/// What is not as it should be about an endpoint, one line for each, for standard error.
pub(crate) fn warnings(endpoint: &Endpoint) -> Vec<String> {
    let faults = endpoint.warnings().iter();
    let mut warnings: Vec<String> = faults.map(|fault| format!("WARNING: {fault}")).collect();
    let is_allowed = std::env::var_os("DEXEC_ALLOW_PLAIN_TCP").is_some_and(|value| !value.is_empty());
    if endpoint.is_exposed() && !is_allowed {
        warnings.push(format!(
            "WARNING: the connection to {} is unencrypted, and whoever can reach that port is root there: use TLS or \
             ssh://, or set DEXEC_ALLOW_PLAIN_TCP=1 to be told no more",
            endpoint.address()
        ));
    }
    warnings
}

/// The words that Go's `strconv.ParseBool` takes.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("no connection is made in no time: write 90, 1.5, 90s or 2m 30s".to_owned()),
        time => Ok(time),
    }
}

fn text(value: OsString, option: &str) -> Result<String, Error> {
    let refused = |_| Error::new(ErrorKind::InvalidRequest, format!("the value of {option} is not UTF-8"));
    value.into_string().map_err(refused)
}

/// docker takes a pair of quotes away from the names of these files.
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
