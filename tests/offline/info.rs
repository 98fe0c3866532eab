//! `--info`: which engine is reachable, or why none is.

use std::fs;

use serde_json::{Value, json};

use crate::dexec;
use crate::fake::{self, Fake, Script};

#[test]
fn info_shows_the_engine() {
    let answers = Script {
        version: fake::json(
            "200 OK",
            "{\"Version\":\"1.2.3\",\"ApiVersion\":\"1.41\",\"Arch\":\"amd64\",\"Components\":[{\"Name\":\"Some Engine\",\"Version\":\"1.2.3\"}]}",
        )
        .into(),
        container: fake::json(
            "200 OK",
            "{\"ContainersRunning\":7,\"SecurityOptions\":[\"name=seccomp\",\"name=rootless\"]}",
        )
        .into(),
        ..Script::default()
    };
    let fake = Fake::start(answers.clone());
    let done = dexec(["-H", &fake.host, "--info"]).run();
    assert_eq!((done.code, done.stderr_text().as_str()), (0, ""));
    let text = done.stdout_text();
    for line in [
        "engine      Some Engine 1.2.3",
        "API version 1.41",
        &format!("endpoint    {} (as given)", fake.host),
        "transport   unix socket",
        "rootless    yes",
        "running     7",
    ] {
        assert!(text.lines().any(|told| told == line), "{line}: {text}");
    }
    for run in [
        dexec(["-H", &fake.host, "--info", "--output", "json"]),
        dexec(["-H", &fake.host, "--info"]).env("DEXEC_OUTPUT", "json"),
    ] {
        let done = run.run();
        let mut told: Value = serde_json::from_slice(&done.stdout).expect("it is JSON");
        assert!(
            told.as_object_mut()
                .expect("it is an object")
                .remove("roundTripMs")
                .is_some_and(|ms| ms.is_f64())
        );
        let expected = json!({
            "reachable": true, "endpoint": fake.host, "origin": "as given", "transport": "unix socket",
            "engine": "Some Engine", "version": "1.2.3", "apiVersion": "1.41", "rootless": true, "runningContainers": 7,
        });
        assert_eq!((done.code, told), (0, expected));
    }
    // A proxy may refuse some of the requests.
    let guarded = Fake::start(Script {
        container: fake::json("403 Forbidden", "<html>").into(),
        ..answers
    });
    let told = dexec(["-H", &guarded.host, "--info"]).run();
    assert!(
        told.stdout_text().contains("rootless    unknown (denied by policy)"),
        "{}",
        told.stdout_text()
    );
}

#[test]
fn info_reports_why_the_engine_is_unreachable() {
    let missing = "unix:///nonexistent/podman.sock";
    let done = dexec(["--info"]).env("DOCKER_HOST", missing).run();
    assert_eq!((done.code, done.stdout_text().as_str()), (1, ""));
    let text = done.stderr_text();
    for words in [
        missing,
        "from DOCKER_HOST",
        "the socket does not exist",
        "systemctl --user enable --now podman.socket",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let done = dexec(["--info", "--output", "json", "-H", missing]).run();
    let told: Value = serde_json::from_slice(&done.stdout).expect("it is JSON");
    assert_eq!((done.code, done.stderr_text().as_str()), (1, ""));
    assert_eq!(
        (&told["reachable"], &told["endpoint"], &told["errorKind"]),
        (&false.into(), &missing.into(), &"engineUnreachable".into())
    );
    assert!(told["message"].is_string() && told["fix"].is_string(), "{told}");

    let done = dexec(["--info", "--output=json", "-c", "nope"]).run();
    let told: Value = serde_json::from_slice(&done.stdout).expect("it is JSON");
    assert_eq!((done.code, &told["errorKind"]), (1, &"invalidRequest".into()));
    let done = dexec(["--info", "web"]).run();
    assert_eq!((done.code, done.stdout_text().as_str()), (125, ""));
}

#[test]
fn info_tries_every_socket_if_none_answers() {
    let home = tempfile::tempdir().expect("a directory can be made");
    for (directory, is_there) in [(".rd", true), (".colima/default", true), (".orbstack/run", false)] {
        fs::create_dir_all(home.path().join(directory)).expect("it can be made");
        if is_there {
            let socket = home.path().join(directory).join("docker.sock");
            drop(std::os::unix::net::UnixListener::bind(socket).expect("it can be listened to"));
        }
    }
    let run = dexec(["--info", "--output", "json"])
        .env("HOME", home.path())
        .env("DOCKER_HOST", "");
    let run = run.env("XDG_RUNTIME_DIR", "/nonexistent/runtime");
    let done = run.without_engines().run();
    let told: Value = serde_json::from_slice(&done.stdout).expect("it is JSON");
    assert_eq!(done.code, 1);
    assert!(
        told["origin"]
            .as_str()
            .is_some_and(|origin| origin.starts_with("Colima's socket")),
        "{told}"
    );
    let said = |path: &str| {
        let others = told["others"].as_array().expect("there are others");
        let other = others
            .iter()
            .find(|other| other["endpoint"].as_str().is_some_and(|text| text.ends_with(path)));
        other
            .and_then(|other| other["said"].as_str())
            .expect("it said something")
            .to_owned()
    };
    assert!(
        said("/.rd/docker.sock").contains("nothing listens at this address"),
        "{told}"
    );
    for path in [
        "/.orbstack/run/docker.sock",
        "/var/run/docker.sock",
        "/nonexistent/runtime/podman/podman.sock",
    ] {
        assert_eq!(said(path), "the socket does not exist", "{told}");
    }
}
