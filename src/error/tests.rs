use super::*;

#[test]
fn the_remedies_are_the_last_sentences() {
    let error = Error::invalid("it went wrong")
        .with_remedies([Remedy::UseStdin])
        .with_hint("It is an old fault")
        .with_remedies([Remedy::NameProgram]);
    assert_eq!(error.remedies(), [Remedy::UseStdin, Remedy::NameProgram]);
    assert_eq!(error.cause(), "it went wrong. It is an old fault");
    let text = format!("{}. {}. {}", error.cause(), Remedy::UseStdin, Remedy::NameProgram);
    assert_eq!(error.to_string(), text);
    assert_eq!(error.docker_text(), text);
}

#[test]
fn a_program_has_its_own_words() {
    let words = |remedy: &Remedy| format!("Do {remedy:?}");
    let error = Error::invalid("it went wrong")
        .with_remedies([Remedy::UseStdin, Remedy::UseTls])
        .with_docker_text("wrong");
    let error = error.reworded(words).reworded(words);
    assert_eq!(error.to_string(), "it went wrong. Do UseStdin. Do UseTls");
    assert_eq!(error.docker_text(), "wrong");
    assert_eq!(
        Error::invalid("it went wrong").reworded(words).to_string(),
        "it went wrong"
    );
}

/// As the tests of the programs have the same failures.
#[tokio::test]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
async fn a_remedy_names_what_users_of_the_library_call() {
    use crate::{Endpoint, EndpointOptions, Engine, Request};

    let options = EndpointOptions {
        host: Some("tcp://a".to_owned()),
        context: Some("b".to_owned()),
        ..EndpointOptions::default()
    };
    assert_eq!(
        Endpoint::from_options(&options).unwrap_err().to_string(),
        "both the engine's address and a context are given. Set `EndpointOptions::host` or `EndpointOptions::context`, \
         not both"
    );
    let engine = Engine::connect(&Endpoint::parse("unix:///nonexistent/socket").unwrap());
    assert_eq!(
        engine.info().await.unwrap_err().to_string(),
        "can't connect to the engine at unix:///nonexistent/socket (as given): the socket does not exist. Start the engine, \
         or set its address with `EndpointOptions::host` or DOCKER_HOST"
    );
    let request = Request::new("web", ["-it", "sh"]).build();
    assert_eq!(
        request.unwrap_err().to_string(),
        "the command `-it` begins with `-`. Begin the command with a program; if its name begins with `-`, \
         give its path, as in ./-x"
    );
    let request = Request::new("web", ["echo".to_owned(), "x".repeat(131_072)]).build();
    assert_eq!(
        request.unwrap_err().to_string(),
        "argument 1 of the command is 131072 bytes, and Linux accepts fewer than 131072. Send large data on standard input \
         (`RequestBuilder::stdin`) or in a file"
    );
}
