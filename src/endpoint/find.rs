//! docker's precedence of options and environment, and the fallback to other engines.

use crate::error::{Error, Remedy, sanitize_line};

use super::address::Address;
use super::config::Config;
use super::context::Store;
use super::environment::Environment;
use super::options::EndpointOptions;
use super::origin::Origin;
use super::places::places;
use super::tls::Tls;
use super::{CONNECT_TIMEOUT, Endpoint, headers};

/// The name that means "no context". It is never looked up.
const DEFAULT_CONTEXT: &str = "default";

/// Follows docker/cli, `cli/command/cli.go`.
pub(super) fn find(options: &EndpointOptions, environment: &Environment<'_>) -> Result<Endpoint, Error> {
    let given_context = options.context.as_deref().filter(|context| !context.is_empty());
    if given_context.is_some() && options.host.is_some() {
        let conflict = Error::invalid("both the engine's address and a context are given")
            .with_remedies([Remedy::AddressOrContext])
            .with_docker_text("conflicting options: cannot specify both --host and --context");
        return Err(conflict);
    }
    let config_dir = options
        .config_dir
        .clone()
        .filter(|directory| !directory.as_os_str().is_empty());
    let config_dir = config_dir.or_else(|| environment.config_dir());
    let config = config_dir.as_deref().map(Config::load).unwrap_or_default();

    let docker_host = match options.host {
        Some(_) => None,
        None => environment.text("DOCKER_HOST")?,
    };
    let (context, chosen) = if let Some(context) = given_context {
        (context.to_owned(), "as given")
    } else if options.host.is_some() || docker_host.is_some() {
        (String::new(), "")
    } else if let Some(context) = environment.text("DOCKER_CONTEXT")? {
        (context, "from DOCKER_CONTEXT")
    } else {
        (config.current_context, "from config.json")
    };
    let mut endpoint = match context.as_str() {
        "" | DEFAULT_CONTEXT => without_context(options, docker_host, environment)?,
        name => {
            let Some(config_dir) = config_dir else {
                return Err(Error::invalid(format!(
                    "docker's context `{}` ({chosen}) can't be looked up without HOME or DOCKER_CONFIG",
                    sanitize_line(name, 100)
                ))
                .with_remedies([Remedy::NameConfigDirectory]));
            };
            Store::below(&config_dir).read(name, chosen)?
        }
    };
    if !matches!(endpoint.address, Address::Tcp { .. }) {
        endpoint.tls = None;
    }
    endpoint.headers = match environment.text("DOCKER_CUSTOM_HEADERS")? {
        Some(text) => headers::checked(headers::from_variable(&text)?, "DOCKER_CUSTOM_HEADERS")?,
        None => headers::checked(config.headers, "docker's config.json")?,
    };
    endpoint.api_version = environment
        .text("DOCKER_API_VERSION")?
        .as_deref()
        .map(api_version)
        .transpose()?;
    endpoint.connect_time = options.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
    endpoint.detach_keys = config.detach_keys;
    endpoint.warnings.extend(config.warning);
    Ok(endpoint)
}

fn without_context(
    options: &EndpointOptions,
    docker_host: Option<String>,
    environment: &Environment<'_>,
) -> Result<Endpoint, Error> {
    let tls = Tls::from_options(options, environment)?;
    let (host, origin) = match (&options.host, docker_host) {
        (Some(host), _) => (host.clone(), Origin::Given),
        (None, Some(host)) => (host, Origin::DockerHost),
        (None, None) => (String::new(), Origin::Default),
    };
    let mut endpoint = if !host.trim().is_empty() {
        Endpoint::at(&host, origin)?
    } else if tls.is_some() {
        Endpoint::new(Address::default_tls_place(), origin)
    } else if origin == Origin::Default {
        anywhere(environment)?
    } else {
        Endpoint::new(Address::default_place(), origin)
    };
    endpoint.tls = tls;
    Ok(endpoint)
}

/// Returns the first place that exists, or Docker's default if none does.
fn anywhere(environment: &Environment<'_>) -> Result<Endpoint, Error> {
    let places = places(environment)?;
    let chosen = places.iter().find(|place| place.exists).or(places.first());
    let (address, origin, base_path) = match chosen {
        Some(place) => (place.address.clone(), place.origin.clone(), place.base_path.clone()),
        None => (Address::default_place(), Origin::Default, String::new()),
    };
    Ok(Endpoint {
        base_path,
        places,
        ..Endpoint::new(address, origin)
    })
}

/// Returns the version without its optional `v` prefix. The version becomes part of every request path.
fn api_version(text: &str) -> Result<String, Error> {
    let version = text.strip_prefix('v').unwrap_or(text);
    let is_number = |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    match version.split_once('.') {
        Some((major, minor)) if is_number(major) && is_number(minor) => Ok(version.to_owned()),
        _ => Err(Error::invalid(format!(
            "DOCKER_API_VERSION is `{}`, which is not a version: write it as 1.41, or unset it to let the engine \
             choose",
            sanitize_line(text, 100)
        ))),
    }
}

#[cfg(test)]
mod tests;
