//! Remedies for failures, in the terms of the server: calls have parameters, the operator has options.

use dexec::Remedy;

/// Returns the sentence for a remedy, without its full stop.
// Makes Clippy report new remedies, which need their own text here.
#[warn(clippy::wildcard_enum_match_arm)]
pub(crate) fn words(remedy: &Remedy) -> String {
    let words = match remedy {
        Remedy::CheckAddress => "Check the address that dexec-mcp is started with (-H, DOCKER_HOST)",
        Remedy::StartEngine => "Start the engine, or start dexec-mcp with its address (-H, DOCKER_HOST)",
        Remedy::OtherEngines(addresses) => {
            let options: Vec<String> = addresses.iter().map(|address| format!("-H {address}")).collect();
            return format!(
                "Another engine may be available: start dexec-mcp with {}",
                options.join(" or ")
            );
        }
        Remedy::AddressOrContext => "Start dexec-mcp with either -H or -c, not both",
        Remedy::ChooseContext => {
            "Start dexec-mcp with another context (-c, DOCKER_CONTEXT), or with the engine's address (-H)"
        }
        Remedy::NameConfigDirectory => "Set HOME or DOCKER_CONFIG for dexec-mcp, or start it with --config",
        Remedy::UseTls => "For TLS, start dexec-mcp with --tlsverify or --tls",
        Remedy::NameCa => {
            "Start dexec-mcp with the certificate of the engine's CA (--tlscacert, or ca.pem in the directory \
             DOCKER_CERT_PATH)"
        }
        Remedy::NameClientCertificate => {
            "Start dexec-mcp with a client certificate and its key (--tlscert and --tlskey, or cert.pem and key.pem \
             in the directory DOCKER_CERT_PATH)"
        }
        Remedy::ChooseUser => {
            "Give a `user` from the container's /etc/passwd, or numbers as uid:gid, each below 2147483648"
        }
        Remedy::ChooseWorkdir => "Give a `workdir` that exists in the container and that the user can access",
        Remedy::SetVariable => r#"Give variables in `env`, or use a shell: `command` ["sh", "-c", "…"]"#,
        Remedy::SetWorkdir => r#"Give the directory in `workdir`, or use a shell: `command` ["sh", "-c", "cd … && …"]"#,
        Remedy::NameProgram => "Give a program as the first item of `command`",
        Remedy::UseStdin => "Send large data in `stdin` or in a file",
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
    async fn remedy_names_parameters_or_server_options() {
        let mut options = EndpointOptions::default();
        options.host = Some("tcp://a".to_owned());
        options.context = Some("b".to_owned());
        assert_eq!(
            message(Endpoint::from_options(&options).unwrap_err()),
            "both the engine's address and a context are given. Start dexec-mcp with either -H or -c, not both"
        );
        let engine = Engine::connect(&Endpoint::parse("unix:///nonexistent/socket").unwrap());
        assert_eq!(
            message(engine.info().await.unwrap_err()),
            "can't connect to the engine at unix:///nonexistent/socket (as given): the socket does not exist. Start the engine, \
             or start dexec-mcp with its address (-H, DOCKER_HOST)"
        );
        let request = Request::new("web", ["-it", "sh"]).build();
        assert_eq!(
            message(request.unwrap_err()),
            "the command `-it` begins with `-`. Give a program as the first item of `command`"
        );
        let request = Request::new("web", ["echo".to_owned(), "x".repeat(131_072)]).build();
        assert_eq!(
            message(request.unwrap_err()),
            "argument 1 of the command is 131072 bytes, and Linux accepts fewer than 131072. Send large data in `stdin` or in a \
             file"
        );
    }

    /// Calls have parameters, not options.
    #[test]
    fn remedy_for_a_call_names_a_parameter() {
        for (remedy, parameter) in [
            (Remedy::ChooseUser, "`user`"),
            (Remedy::ChooseWorkdir, "`workdir`"),
            (Remedy::SetVariable, "`env`"),
            (Remedy::SetWorkdir, "`workdir`"),
            (Remedy::NameProgram, "`command`"),
            (Remedy::UseStdin, "`stdin`"),
        ] {
            let words = words(&remedy);
            assert!(words.contains(parameter) && !words.contains(" -"), "{words}");
        }
    }
}
