//! What to do about a failure, in terms of the command line's options.

use dexec::Remedy;

/// The sentence for a remedy, without its final period.
// Warns if a new remedy has no text of its own here.
#[warn(clippy::wildcard_enum_match_arm)]
pub(crate) fn words(remedy: &Remedy) -> String {
    let words = match remedy {
        Remedy::CheckAddress => "Check the address (-H, DOCKER_HOST)",
        Remedy::StartEngine => "Start the engine, or name its address with -H or DOCKER_HOST",
        Remedy::OtherEngines(addresses) => {
            let options: Vec<String> = addresses.iter().map(|address| format!("-H {address}")).collect();
            return format!("Another engine may answer: {}", options.join(", "));
        }
        Remedy::AddressOrContext => "Give one of -H and -c",
        Remedy::ChooseContext => {
            "Choose another context with -c or DOCKER_CONTEXT, or name the engine's address with -H"
        }
        Remedy::NameConfigDirectory => "Set HOME or DOCKER_CONFIG, or use --config",
        Remedy::UseTls => "For TLS use --tlsverify or --tls",
        Remedy::NameCa => {
            "Name the certificate of the engine's CA with --tlscacert, or set DOCKER_CERT_PATH to the directory of ca.pem"
        }
        Remedy::NameClientCertificate => {
            "Name certificate and key with --tlscert and --tlskey, or put cert.pem and key.pem into the directory \
             DOCKER_CERT_PATH"
        }
        Remedy::ChooseUser => {
            "Give a user that the container's /etc/passwd has, or numbers (-u uid:gid, each below 2147483648)"
        }
        Remedy::ChooseWorkdir => "Give a directory that exists in the container and that the user may enter (-w)",
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
