//! The requests about a terminal that an engine receives.

use dexec::{CancellationToken, DetachKeys, Endpoint, Engine, Outcome, Request, Terminal, TerminalSize};
use serde_json::{Value, json};

use crate::fake::{Answer, Fake, Script, json as answer, stream};

const SIZE: TerminalSize = TerminalSize { rows: 33, columns: 77 };

async fn run(fake: &Fake) -> Outcome {
    let terminal = Terminal::new(SIZE).detach_keys(DetachKeys::default());
    let request = Request::new("web", ["sh"]).terminal(terminal).stdin(tokio::io::empty());
    let endpoint = Endpoint::parse(&fake.host).expect("it is an address");
    let request = request.build().expect("it is valid");
    Engine::connect(&endpoint)
        .exec(request, &CancellationToken::new())
        .await
}

/// The answer to the inspection of the container, whose `Server` header identifies the engine.
fn container_of(server: &str) -> Answer {
    let body = "{\"State\":{\"Status\":\"running\",\"Running\":true}}";
    let answer = String::from_utf8(answer("200 OK", body)).expect("it is text");
    answer
        .replacen("\r\n", &format!("\r\nServer: {server}\r\n"), 1)
        .into_bytes()
        .into()
}

/// A terminal's stream that lasts for a while.
fn slow_output() -> Answer {
    Answer::ByteByByte(stream(&[vec![b'x'; 2000]]))
}

#[tokio::test(flavor = "current_thread")]
async fn terminal_requests_are_sent_to_the_engine() {
    for (server, has_keys) in [("Docker/28.5.0 (linux)", true), ("Libpod/5.8.0 (linux)", false)] {
        let fake = Fake::start(Script {
            container: container_of(server),
            start: slow_output(),
            ..Script::default()
        });
        let outcome = run(&fake).await;
        assert_eq!(outcome.stdout.into_bytes(), vec![b'x'; 2000]);
        let requests: Vec<String> = fake
            .requests()
            .iter()
            .map(|line| {
                line.split(' ')
                    .take(2)
                    .collect::<Vec<_>>()
                    .join(" ")
                    .replace(crate::fake::EXEC_ID, "ID")
            })
            .collect();
        let expected = [
            "GET /containers/web/json",
            "POST /containers/web/exec",
            "POST /exec/ID/start",
            "POST /exec/ID/resize?h=33&w=77",
            "GET /exec/ID/json",
        ];
        assert_eq!(requests, expected, "{server}");
        let bodies: Vec<Value> = fake
            .bodies()
            .iter()
            .map(|body| serde_json::from_str(body).unwrap_or_default())
            .collect();
        let create = &bodies[1];
        assert_eq!(
            (&create["Tty"], &create["ConsoleSize"], &create["AttachStdin"]),
            (&json!(true), &json!([33, 77]), &json!(true)),
            "{create}"
        );
        let keys = create["DetachKeys"].as_str();
        assert_eq!(
            keys.is_some_and(|keys| keys.starts_with("ctrl-^,")),
            has_keys,
            "{create}"
        );
        assert_eq!(bodies[2], json!({ "Detach": false, "Tty": true }));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn refused_terminal_size_is_sent_again() {
    let fake = Fake::start(Script {
        start: slow_output(),
        resize: answer("500 Internal Server Error", "{\"message\":\"not running\"}").into(),
        ..Script::default()
    });
    let outcome = run(&fake).await;
    assert_eq!(outcome.end.exit_code(), 0, "{:?}", outcome.end);
    let requests = fake.requests();
    let resizes = requests
        .iter()
        .filter(|request| request.contains("/resize?h=33&w=77 "))
        .count();
    assert!(resizes >= 3, "{requests:?}");
}
