//! Podman's API call that ends a command, used when dexec's own agent can't run.

use super::*;

fn by(server: &str, answer: &[u8]) -> Answer {
    let text = String::from_utf8(answer.to_vec()).expect("it is text");
    Answer::Bytes(
        text.replacen("\r\n", &format!("\r\nServer: {server}\r\n"), 1)
            .into_bytes(),
    )
}

fn created_by(server: &str) -> Answer {
    by(server, &json("201 Created", &format!("{{\"Id\":\"{EXEC_ID}\"}}")))
}

/// An engine that refuses to create the agent.
fn engine_without_agents(server: &str) -> Script {
    Script {
        create: created_by(server),
        own_create: json("403 Forbidden", "{\"message\":\"no more processes\"}").into(),
        kill: by(server, &json("200 OK", "")),
        ..Script::default()
    }
}

/// The requests that end the command or ask whether it has ended; each kind is listed once.
fn ending(ran: &Ran) -> Vec<String> {
    let mut requests: Vec<String> = ran
        .requests
        .iter()
        .filter(|request| request.contains("/libpod/") || request.starts_with("GET /exec/"))
        .map(|request| request.replace(EXEC_ID, "ID").replace(" HTTP/1.1", ""))
        .map(|request| {
            request
                .find("/libpod/")
                .map_or(request.clone(), |at| format!("POST {}", &request[at..]))
        })
        .collect();
    requests.dedup();
    requests
}

const TERM: &str = "POST /libpod/exec/ID/kill?signal=SIGTERM";
const KILL: &str = "POST /libpod/exec/ID/kill?signal=SIGKILL";
const ASK: &str = "GET /exec/ID/json";

#[test]
fn command_that_ignores_sigterm_is_killed() {
    let ran = run_stopped(engine_without_agents("Libpod/9.0 (linux)"));
    ran.assert_orphaned("no more processes");
    assert_eq!(ran.response["signal"], "SIGKILL");
    assert_eq!(ending(&ran), [ASK, TERM, ASK, KILL]);
}

#[test]
fn agent_is_created_again_when_the_engine_is_busy() {
    let ran = run_stopped(Script {
        own_create: json("500 Oops", "{\"message\":\"resource temporarily unavailable\"}").into(),
        ..engine_without_agents("Libpod/9.0 (linux)")
    });
    ran.assert_orphaned("resource temporarily unavailable");
    assert_eq!(ran.response["signal"], "SIGKILL");
    assert_eq!(ending(&ran), [ASK, TERM, ASK, KILL]);
    let creates = ran
        .requests
        .iter()
        .filter(|request| request.starts_with("POST /containers/"));
    assert!(creates.count() > 2, "{:?}", ran.requests);
}

#[test]
fn command_that_ends_on_sigterm_is_not_killed() {
    let script = Script {
        start: Answer::Silent(stream(&[])),
        ..engine_without_agents("Libpod/9.0 (linux)")
    };
    let ran = run_with(script, &["--timeout=0.1", "--kill-after=9"]);
    ran.assert_orphaned("no more processes");
    assert_eq!(ran.response["signal"], "SIGTERM");
    assert_eq!(ending(&ran), [ASK, TERM, ASK]);
}

#[test]
fn failed_kill_call_reports_no_signal() {
    let cases = [
        ("not found", Answer::Bytes(json("404 Not Found", "Not Found\n"))),
        ("nothing", Answer::Bytes(Vec::new())),
    ];
    let cases = [&cases[..], &bad_heads(), &endless_bodies(), &broken_bodies()].concat();
    test_each(cases, |kill| {
        let ran = run_stopped(Script {
            kill,
            ..engine_without_agents("Libpod/9.0 (linux)")
        });
        ran.assert_orphaned("no more processes");
        assert_eq!(ran.response["signal"], Value::Null, "{}", ran.response);
        assert_eq!(ending(&ran), [ASK, TERM]);
        ran.assert_little_memory();
        ran
    });
}

#[test]
fn kill_call_is_sent_only_to_podman() {
    let ran = run_stopped(engine_without_agents("Docker/99.0 (linux)"));
    ran.assert_orphaned("no more processes");
    assert_eq!(ending(&ran), [ASK]);
}
