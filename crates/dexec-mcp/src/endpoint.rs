//! The engine's endpoint, from the command line options.

use std::fmt::Display;

use dexec::{Endpoint, EndpointOptions, Error, ErrorKind};
use dexec_common::endpoint_args::{self, EndpointArgs};

/// Converts the options to those of the library.
pub(crate) fn options(args: EndpointArgs) -> Result<EndpointOptions, Error> {
    let values = args
        .into_values()
        .map_err(|reason| Error::new(ErrorKind::InvalidRequest, reason))?;
    let mut options = EndpointOptions::default();
    options.host = values.host;
    options.context = values.context;
    options.config_dir = values.config_dir;
    options.tls = values.tls;
    options.tls_verify = values.tls_verify;
    options.tls_ca_cert = values.tls_ca_cert;
    options.tls_cert = values.tls_cert;
    options.tls_key = values.tls_key;
    options.connect_timeout = values.connect_timeout;
    Ok(options)
}

/// Prints warnings about an endpoint to standard error.
pub(crate) fn warn(endpoint: &Endpoint) {
    let address: &dyn Display = endpoint.address();
    for warning in endpoint_args::warnings(endpoint.warnings(), endpoint.is_plaintext_remote().then_some(address)) {
        log!("{warning}");
    }
}
