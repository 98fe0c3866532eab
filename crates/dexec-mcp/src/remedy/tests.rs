#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

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
        "both the engine's address and a context are given. Start dexec-mcp with one of -H and -c"
    );
    let engine = Engine::connect(&Endpoint::parse("unix:///nonexistent/socket").unwrap());
    assert_eq!(
        message(engine.info().await.unwrap_err()),
        "can't connect to the engine at unix:///nonexistent/socket (as given): there is no such socket. Start the engine, \
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
        "argument 1 of the command is 131072 bytes, and Linux takes fewer than 131072. Send large data in `stdin` or in a \
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
