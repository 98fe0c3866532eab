//! `--info` on a real engine.

use serde_json::Value;

use crate::dexec;
use test_support::api;

fn shown_info() -> Value {
    let done = dexec(["--info", "--output", "json"]).run();
    assert_eq!((done.code, done.stderr_text().as_str()), (0, ""));
    serde_json::from_slice(&done.stdout).expect("it is JSON")
}

#[test]
fn engine_and_version_are_shown() {
    let (told, version) = (shown_info(), api::get("/version"));
    let engine = if api::is_podman() { "Podman" } else { "Docker" };
    assert_eq!(
        (
            &told["reachable"],
            &told["engine"],
            &told["version"],
            &told["apiVersion"]
        ),
        (
            &true.into(),
            &engine.into(),
            &version["Version"],
            &version["ApiVersion"]
        )
    );
    assert_eq!(told["endpoint"], format!("unix://{}", api::socket()));
    assert_eq!(
        (&told["origin"], &told["transport"]),
        (&"from DOCKER_HOST".into(), &"unix socket".into())
    );
    assert!(told["roundTripMs"].is_f64(), "{told}");

    let text = dexec(["--info"]).run().stdout_text();
    let version = version["Version"].as_str().expect("it is text");
    assert!(text.starts_with(&format!("engine      {engine} {version}\n")), "{text}");
}

/// Other tests start and stop containers at the same time.
#[test]
fn running_containers_are_counted() {
    let running = shown_info()["runningContainers"].as_u64().expect("it is a number");
    let listed = api::get("/containers/json").as_array().map_or(0, Vec::len) as u64;
    assert!(running >= 4 && running.abs_diff(listed) < 40, "{running} and {listed}");
}

#[test]
fn rootless_mode_is_shown() {
    let info = api::get("/info");
    let options = info["SecurityOptions"].as_array().cloned().unwrap_or_default();
    let is_rootless = options.contains(&"name=rootless".into()) || info["Rootless"] == true;
    assert_eq!(shown_info()["rootless"], is_rootless, "{info}");
}

#[test]
fn older_api_version_can_be_requested() {
    let run = |version: &str| {
        dexec(["dexec-shell", "echo", "hi"])
            .env("DOCKER_API_VERSION", version)
            .response()
    };
    assert_eq!(run("1.40")["stdout"], "hi");
    let refused = run("1.999");
    // Podman accepts any version.
    if !api::is_podman() {
        assert_eq!(refused["errorKind"], "engineTooOld", "{refused}");
        let message = refused["message"].as_str().expect("there is a message");
        assert!(
            message.contains("client version 1.999 is too new") && message.contains("DOCKER_API_VERSION"),
            "{message}"
        );
    }
}
