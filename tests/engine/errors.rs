//! Each error has the same kind on every engine, a helpful message, and docker's text.

use serde_json::Value;

use crate::dexec;
use test_support::api::{self, Container};
use test_support::signal;

/// The response to `true` in this container, which must fail.
#[track_caller]
fn assert_refused(container: &str, kind: &str) -> Value {
    let response = dexec([container, "true"]).response();
    assert_eq!(
        (&response["exitCode"], &response["errorKind"]),
        (&1.into(), &kind.into()),
        "{response}"
    );
    assert_eq!(response["stdout"], "", "{response}");
    let stderr = response["stderr"].as_str().expect("stderr is there");
    assert!(stderr.starts_with("Error response from daemon: "), "{stderr}");
    response
}

fn message(response: &Value) -> &str {
    response["message"].as_str().expect("there is a message")
}

#[test]
fn missing_container_error_lists_the_running_containers() {
    let response = assert_refused("dexec-shel", "containerNotFound");
    let message = message(&response);
    assert!(message.contains("Did you mean `dexec-shell`"), "{message}");
    assert!(
        message.contains("Running: ") && message.contains("dexec-static"),
        "{message}"
    );
    assert!(message.contains(&api::socket()), "{message}");
}

#[test]
fn ambiguous_id_is_reported() {
    // The ids of 17 containers can't all begin with different hexadecimal digits.
    let containers: Vec<Container> = (0..17)
        .map(|number| Container::create(&format!("ambiguous-{number}"), &["true"], "no"))
        .collect();
    let mut first_letters: Vec<String> = containers
        .iter()
        .map(|container| {
            let id = api::get(&format!("/containers/{}/json", container.name))["Id"].clone();
            id.as_str().expect("it has an id")[..1].to_owned()
        })
        .collect();
    first_letters.sort();
    let twice = first_letters
        .windows(2)
        .find(|pair| pair[0] == pair[1])
        .expect("two ids start with the same digit");
    let response = assert_refused(&twice[0], "ambiguousContainer");
    assert!(message(&response).contains("use more digits"), "{response}");
}

#[test]
fn stopped_containers_are_reported() {
    let created = Container::create("created", &["sleep", "100"], "no");
    let response = assert_refused(&created.name, "containerNotRunning");
    assert!(message(&response).contains("start it first"), "{response}");

    let stopped = Container::start("stopped", &["sleep", "100"]);
    stopped.post("kill");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while api::get(&format!("/containers/{}/json", stopped.name))["State"]["Running"] == true {
        assert!(std::time::Instant::now() < deadline, "the container does not stop");
    }
    assert_refused(&stopped.name, "containerNotRunning");
}

#[test]
fn paused_container_is_reported() {
    let paused = Container::start("paused", &["sleep", "100"]);
    paused.post("pause");
    let response = dexec([&paused.name, "true"]).response();
    paused.post("unpause");
    assert_eq!(response["errorKind"], "containerPaused", "{response}");
    assert!(message(&response).contains("unpause it first"), "{response}");
    assert_eq!(dexec([&paused.name, "true"]).run().code, 0);
}

#[test]
fn restarting_container_is_reported() {
    let container = Container::create("restarting", &["sh", "-c", "sleep 0.2; exit 1"], "always");
    container.post("start");
    // The container runs for a moment, and then restarts.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    let told = loop {
        let response = dexec([&container.name, "true"]).response();
        if response["errorKind"] == "containerRestarting" {
            break response;
        }
        // The container may stop at any time while the command runs.
        let kinds = [
            "containerStopped",
            "containerNotRunning",
            "connectionLost",
            "engineError",
            "containerNotFound",
        ];
        let kind = response["errorKind"].as_str();
        assert!(kind.is_none_or(|kind| kinds.contains(&kind)), "{response}");
        assert!(std::time::Instant::now() < deadline, "never seen restarting");
    };
    // Either the engine refused the command, or the runtime could not start it.
    assert!(matches!(told["exitCode"].as_i64(), Some(1 | 125..=128)), "{told}");
    let words = format!("`{}` is restarting: wait until it is running", container.name);
    assert!(message(&told).contains(&words), "{told}");
}

#[test]
fn missing_program_is_reported() {
    for program in ["nosuch", "/bin/nosuch"] {
        let response = dexec(["dexec-shell", program]).response();
        assert_eq!(response["errorKind"], "commandNotFound", "{response}");
        assert_eq!(response["stdout"], "", "{response}");
        assert!(
            response["stderr"].as_str().expect("stderr is there").contains(program),
            "{response}"
        );
        let is_old_docker = matches!(api::engine().as_str(), "docker" | "docker-26");
        assert_eq!(
            response["exitCode"],
            if is_old_docker { 126 } else { 127 },
            "{response}"
        );
    }
    let response = dexec(["dexec-shell", "ls -la"]).response();
    assert!(message(&response).contains("separate words"), "{response}");
}

#[test]
fn file_that_is_not_executable_is_reported() {
    for program in ["/etc/not-executable", "/etc"] {
        let response = dexec(["dexec-shell", program]).response();
        let fields = (&response["exitCode"], &response["errorKind"], &response["stdout"]);
        assert_eq!(
            fields,
            (&126.into(), &"commandNotExecutable".into(), &"".into()),
            "{response}"
        );
    }
}

#[test]
fn program_that_the_kernel_refuses_is_reported() {
    let container = Container::start("kernel", &["sleep", "1000"]);
    for (name, contents, words) in [
        ("crlf", "#!/bin/sh\\r\\necho hi\\r\\n", "CRLF"),
        ("interpreter", "#!/nosuch/python\\n", "interpreter"),
        ("bare", "echo hi\\n", "architecture"),
        (
            "arm",
            "\\177ELF\\002\\001\\001\\0\\0\\0\\0\\0\\0\\0\\0\\0\\002\\0\\267\\0",
            "architecture",
        ),
        ("data", "#!/etc/not-executable\\n", "can't execute it"),
    ] {
        let make = format!("printf '{contents}' >/srv/{name}; chmod 755 /srv/{name}");
        assert_eq!(dexec([&container.name, "sh", "-c", &make]).run().code, 0);
        let path = format!("/srv/{name}");
        for run in [
            dexec([&container.name, &path]),
            dexec(["-e", "PATH=/srv:/bin", &container.name, name]),
        ] {
            let response = run.response();
            assert_eq!(response["errorKind"], "commandNotExecutable", "{response}");
            assert!(message(&response).contains(words), "{response}");
            assert_ne!(
                (&response["exitCode"], &response["stderr"]),
                (&0.into(), &"".into()),
                "{response}"
            );
        }
        // The command's own output is not taken for a failed start.
        let script = format!("echo 'exec {path}: exec format error' >&2; exit 1");
        let response = dexec([&container.name, "sh", "-c", &script]).response();
        assert_eq!(
            (&response["exitCode"], response.get("errorKind")),
            (&1.into(), None),
            "{response}"
        );
    }
}

#[test]
fn container_that_just_stopped_is_reported() {
    for round in 0..8 {
        let container = Container::start("just-ended", &["sleep", &format!("0.{round}5")]);
        loop {
            let response = dexec([&container.name, "true"]).response();
            match response["errorKind"].as_str() {
                None => {}
                // The container stopped during the command, or before it.
                Some("containerNotRunning" | "containerStopped") => break,
                Some(_) => panic!("{response}"),
            }
        }
    }
}

#[test]
fn shell_syntax_in_the_command_is_reported() {
    for (command, words) in [
        (&["FOO=1", "ls"][..], "-e NAME=value"),
        (&["cd", "/tmp"], "-w"),
        (&["~/x"], "sh -c"),
        (&["export", "A=1"], "sh -c"),
        (&["$HOME/x"], "sh -c"),
    ] {
        let response = dexec(["dexec-shell"]).args(command).response();
        assert_eq!(response["errorKind"], "commandNotFound", "{response}");
        assert!(message(&response).contains(words), "{response}");
    }
}

#[test]
fn raw_mode_keeps_a_start_error_on_the_stream_of_the_engine() {
    let done = dexec(["--raw", "dexec-shell", "nosuch"]).run();
    let (words, rest) = if api::is_podman() {
        (&done.stderr, &done.stdout)
    } else {
        (&done.stdout, &done.stderr)
    };
    assert!(String::from_utf8_lossy(words).contains("nosuch"), "{done:?}");
    assert_eq!(String::from_utf8_lossy(rest), "", "{done:?}");
}

#[test]
fn stopping_the_container_ends_the_command() {
    for (action, event) in [("kill", "stopped"), ("stop?t=0", "stopped"), ("remove", "was removed")] {
        let container = Container::start("ends", &["sleep", "100"]);
        let child = dexec([&container.name, "sh", "-c", "echo before; sleep 50"]).spawn();
        api::wait_for_process(&container.name, "sleep 50");
        match action {
            "remove" => container.remove(),
            _ => container.post(action),
        }
        let output = child.wait_with_output().expect("it ends");
        let done = test_support::Done {
            code: test_support::code(output.status),
            stdout: output.stdout,
            stderr: output.stderr,
        };
        let response = done.response();
        assert_eq!(response["errorKind"], "containerStopped", "{action}: {response}");
        assert_eq!(response["stdout"], "before", "{action}: {response}");
        assert_eq!(response.get("orphaned"), None, "{action}: {response}");
        // If the container was removed, the exit codes of its commands may be lost.
        let exit = response["exitCode"].as_i64();
        assert!(
            exit == Some(137) || event == "was removed" && exit == Some(255),
            "{action}: {response}"
        );
    }
}

#[test]
fn killed_command_in_a_running_container_is_not_an_error() {
    let response = dexec(["dexec-shell", "sh", "-c", "kill -9 $$"]).response();
    assert_eq!(response["exitCode"], 137);
    assert_eq!(response.get("errorKind"), None, "{response}");
}

#[test]
fn permission_error_names_the_group_of_the_socket() {
    // Runs a copy of dexec as another user, which may not be able to reach the original.
    let directory = tempfile::tempdir().expect("a directory can be made");
    let copy = directory.path().join("dexec");
    std::fs::copy(env!("CARGO_BIN_EXE_dexec"), &copy).expect("it can be copied");
    let socket = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("it can be listened to");
    let chmod = |mode: &str, path: &std::path::Path| {
        assert!(
            std::process::Command::new("chmod")
                .arg(mode)
                .arg(path)
                .status()
                .expect("it runs")
                .success()
        );
    };
    chmod("755", directory.path());
    for (mode, group, hint) in [
        ("660", "daemon", "group daemon (mode 660)"),
        ("600", "daemon", "only its owner"),
    ] {
        chmod(mode, &socket);
        let status = std::process::Command::new("chgrp").arg(group).arg(&socket).status();
        assert!(status.expect("it runs").success());
        let run = test_support::program("setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        let run = run
            .args([&copy])
            .env("DOCKER_HOST", format!("unix://{}", socket.display()))
            .env("DOCKER_CONFIG", "/nonexistent/docker");
        let response = run.args(["web", "true"]).response();
        assert_eq!(
            (&response["exitCode"], &response["errorKind"]),
            (&1.into(), &"permissionDenied".into())
        );
        assert!(message(&response).contains(hint), "{response}");
    }
}

#[test]
fn signal_before_the_start_is_reported_as_interrupted() {
    // A socket whose server never answers.
    let directory = tempfile::tempdir().expect("a directory can be made");
    let socket = directory.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&socket).expect("it can be listened to");
    let child = dexec(["web", "true"])
        .env("DOCKER_HOST", format!("unix://{}", socket.display()))
        .spawn();
    // dexec handles signals before it sends anything.
    let (mut client, _) = listener.accept().expect("dexec connects");
    std::io::Read::read_exact(&mut client, &mut [0]).expect("dexec sends a request");
    signal(&child, "TERM");
    let output = child.wait_with_output().expect("it ends");
    let response: Value = serde_json::from_slice(&output.stdout).expect("it is a response");
    assert_eq!(
        (&response["exitCode"], &response["errorKind"]),
        (&143.into(), &"interrupted".into())
    );
    assert_eq!(response.get("orphaned"), None, "{response}");
}
