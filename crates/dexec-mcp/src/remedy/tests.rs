#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use dexec::{End, Endpoint, EndpointOptions, Engine, Error, Remedy, Request};

use super::words;

fn told(error: Error) -> String {
    End::NotRun(error).reworded(words).message().unwrap()
}

#[tokio::test]
async fn a_remedy_names_parameters_or_what_the_server_is_started_with() {
    let mut options = EndpointOptions::default();
    options.host = Some("tcp://a".to_owned());
    options.context = Some("b".to_owned());
    assert_eq!(
        told(Endpoint::from_options(&options).unwrap_err()),
        "both the engine's address and a context are given. Start dexec-mcp with either -H or -c, not both"
    );
    let engine = Engine::connect(&Endpoint::parse("unix:///nonexistent/socket").unwrap());
    assert_eq!(
        told(engine.info().await.unwrap_err()),
        "can't connect to the engine at unix:///nonexistent/socket (as given): the socket does not exist. Start the engine, \
         or start dexec-mcp with its address (-H, DOCKER_HOST)"
    );
    let request = Request::new("web", ["-it", "sh"]).build();
    assert_eq!(
        told(request.unwrap_err()),
        "the command `-it` begins with `-`. Give a program as the first item of `command`"
    );
    let request = Request::new("web", ["echo".to_owned(), "x".repeat(131_072)]).build();
    assert_eq!(
        told(request.unwrap_err()),
        "argument 1 of the command is 131072 bytes, and Linux accepts fewer than 131072. Send large data in `stdin` or in a \
         file"
    );
}

/// Calls have parameters, not options.
#[test]
fn what_a_call_can_do_is_told_by_its_parameters() {
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
