//! What to do about a failure, in terms of the command line's options.

use dexec::Remedy;

/// The sentence for a remedy, without its final period.
// Warns if a new remedy has no text of its own here.
#[warn(clippy::wildcard_enum_match_arm)]
pub(crate) fn words(remedy: &Remedy) -> String {
    let words = match remedy {
        Remedy::CheckAddress => "Check the address (-H, DOCKER_HOST)",
        Remedy::StartEngine => "Start the engine, or set its address with -H or DOCKER_HOST",
        Remedy::OtherEngines(addresses) => {
            let options: Vec<String> = addresses.iter().map(|address| format!("-H {address}")).collect();
            return format!("Another engine may be available: {}", options.join(", "));
        }
        Remedy::AddressOrContext => "Use either -H or -c, not both",
        Remedy::ChooseContext => {
            "Choose another context with -c or DOCKER_CONTEXT, or set the engine's address with -H"
        }
        Remedy::NameConfigDirectory => "Set HOME or DOCKER_CONFIG, or use --config",
        Remedy::UseTls => "For TLS, use --tlsverify or --tls",
        Remedy::NameCa => {
            "Specify the certificate of the engine's CA with --tlscacert, or set DOCKER_CERT_PATH to the directory of \
             ca.pem"
        }
        Remedy::NameClientCertificate => {
            "Specify a client certificate and its key with --tlscert and --tlskey, or put cert.pem and key.pem into \
             the directory DOCKER_CERT_PATH"
        }
        Remedy::ChooseUser => {
            "Give a user from the container's /etc/passwd, or numbers (-u uid:gid, each below 2147483648)"
        }
        Remedy::ChooseWorkdir => "Give a directory that exists in the container and that the user can access (-w)",
        Remedy::SetVariable => "Give variables with -e NAME=value before the container, or use a shell: sh -c '…'",
        Remedy::SetWorkdir => "Give the directory with -w before the container, or use a shell: sh -c 'cd … && …'",
        Remedy::NameProgram => "Options go before the container's name",
        Remedy::UseStdin => "Send large data on standard input (-i) or in a file",
        _ => return remedy.to_string(),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests;
