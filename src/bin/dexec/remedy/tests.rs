#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use dexec::{End, Endpoint, EndpointOptions, Engine, Error, Remedy, Request};

use super::words;

fn told(error: Error) -> String {
    End::NotRun(error).reworded(words).message().unwrap()
}

#[tokio::test]
async fn a_remedy_names_options() {
    let mut options = EndpointOptions::default();
    options.host = Some("tcp://a".to_owned());
    options.context = Some("b".to_owned());
    assert_eq!(
        told(Endpoint::from_options(&options).unwrap_err()),
        "both the engine's address and a context are given. Use either -H or -c, not both"
    );
    let engine = Engine::connect(&Endpoint::parse("unix:///nonexistent/socket").unwrap());
    assert_eq!(
        told(engine.info().await.unwrap_err()),
        "can't connect to the engine at unix:///nonexistent/socket (as given): the socket does not exist. Start the engine, \
         or set its address with -H or DOCKER_HOST"
    );
    let request = Request::new("web", ["-it", "sh"]).build();
    assert_eq!(
        told(request.unwrap_err()),
        "the command `-it` begins with `-`. Options go before the container's name"
    );
    let request = Request::new("web", ["echo".to_owned(), "x".repeat(131_072)]).build();
    assert_eq!(
        told(request.unwrap_err()),
        "argument 1 of the command is 131072 bytes, and Linux accepts fewer than 131072. Send large data on standard input \
         (-i) or in a file"
    );
}

#[test]
fn each_other_engine_is_an_option() {
    let others = Remedy::OtherEngines(vec!["unix:///a".to_owned(), "tcp://b:1".to_owned()]);
    assert_eq!(
        words(&others),
        "Another engine may be available: -H unix:///a, -H tcp://b:1"
    );
}
