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
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use dexec::{End, Endpoint, EndpointOptions, Engine, Error, Remedy, Request};

    use super::words;

    fn message(error: Error) -> String {
        End::NotRun(error).reworded(words).message().unwrap()
    }

    #[tokio::test]
    async fn remedy_names_options() {
        let mut options = EndpointOptions::default();
        options.host = Some("tcp://a".to_owned());
        options.context = Some("b".to_owned());
        assert_eq!(
            message(Endpoint::from_options(&options).unwrap_err()),
            "both the engine's address and a context are given. Use either -H or -c, not both"
        );
        let engine = Engine::connect(&Endpoint::parse("unix:///nonexistent/socket").unwrap());
        assert_eq!(
            message(engine.info().await.unwrap_err()),
            "can't connect to the engine at unix:///nonexistent/socket (as given): the socket does not exist. Start the engine, \
            or set its address with -H or DOCKER_HOST"
        );
        let request = Request::new("web", ["-it", "sh"]).build();
        assert_eq!(
            message(request.unwrap_err()),
            "the command `-it` begins with `-`. Options go before the container's name"
        );
        let request = Request::new("web", ["echo".to_owned(), "x".repeat(131_072)]).build();
        assert_eq!(
            message(request.unwrap_err()),
            "argument 1 of the command is 131072 bytes, and Linux accepts fewer than 131072. Send large data on standard input \
             (-i) or in a file"
        );
    }

    #[test]
    fn remedy_lists_other_engines_as_host_options() {
        let others = Remedy::OtherEngines(vec!["unix:///a".to_owned(), "tcp://b:1".to_owned()]);
        assert_eq!(
            words(&others),
            "Another engine may be available: -H unix:///a, -H tcp://b:1"
        );
    }
}
