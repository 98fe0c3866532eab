//! What to do about a failure.

use std::fmt;

/// What to do about a failure: the last sentence of an [`Error`](crate::Error)'s text.
///
/// Its `Display` names what users of the library call. A program whose users have other names for that gives its own
/// words: [`Error::reworded`](crate::Error::reworded).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// Correct the engine's address: what answers there is no engine.
    CheckAddress,
    /// Start the engine, or name the address of another one: nothing answers.
    StartEngine,
    /// Name one of these engines, which exist and were not chosen.
    OtherEngines(Vec<String>),
    /// Name either the engine's address or a context.
    AddressOrContext,
    /// Name another context, or the engine's address.
    ChooseContext,
    /// Name docker's configuration directory.
    NameConfigDirectory,
    /// Ask for TLS.
    UseTls,
    /// Name the certificate of the authority that signed the engine's.
    NameCa,
    /// Name the client's certificate and its key.
    NameClientCertificate,
    /// Run the command as a user that the container knows.
    ChooseUser,
    /// Run the command in a directory that exists.
    ChooseWorkdir,
    /// Set a variable of the command in another way than by its first word.
    SetVariable,
    /// Set the command's working directory in another way than by `cd`.
    SetWorkdir,
    /// Begin the command with a program, which no option is.
    NameProgram,
    /// Pass large data on standard input.
    UseStdin,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CheckAddress => "Check the address (`EndpointOptions::host`, DOCKER_HOST)",
            Self::StartEngine => "Start the engine, or set its address with `EndpointOptions::host` or DOCKER_HOST",
            Self::OtherEngines(addresses) => {
                let addresses = addresses.join(", ");
                return write!(
                    f,
                    "Another engine may be available (`EndpointOptions::host`): {addresses}"
                );
            }
            Self::AddressOrContext => "Set `EndpointOptions::host` or `EndpointOptions::context`, not both",
            Self::ChooseContext => {
                "Choose another context with `EndpointOptions::context` or DOCKER_CONTEXT, or set the engine's \
                 address with `EndpointOptions::host`"
            }
            Self::NameConfigDirectory => "Set HOME, DOCKER_CONFIG or `EndpointOptions::config_dir`",
            Self::UseTls => "For TLS, set `EndpointOptions::tls_verify` or `EndpointOptions::tls`",
            Self::NameCa => {
                "Specify the certificate of the engine's CA with `EndpointOptions::tls_ca_cert`, or set \
                 DOCKER_CERT_PATH to the directory of ca.pem"
            }
            Self::NameClientCertificate => {
                "Specify a client certificate and its key with `EndpointOptions::tls_cert` and \
                 `EndpointOptions::tls_key`, or put cert.pem and key.pem into the directory DOCKER_CERT_PATH"
            }
            Self::ChooseUser => {
                "Give a user from the container's /etc/passwd, or numbers as uid:gid, each below 2147483648 \
                 (`RequestBuilder::user`)"
            }
            Self::ChooseWorkdir => {
                "Give a directory that exists in the container and that the user can access (`RequestBuilder::workdir`)"
            }
            Self::SetVariable => "Give variables with `RequestBuilder::env`, or use a shell: sh -c '…'",
            Self::SetWorkdir => "Give the directory with `RequestBuilder::workdir`, or use a shell: sh -c 'cd … && …'",
            Self::NameProgram => {
                "Begin the command with a program; if its name begins with `-`, give its path, as in ./-x"
            }
            Self::UseStdin => "Send large data on standard input (`RequestBuilder::stdin`) or in a file",
        })
    }
}
