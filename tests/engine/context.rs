//! The command runs in the container, and the container is left unchanged.

use std::fs;
use std::time::{Duration, Instant};

use crate::dexec;
use test_support::api;

fn inside(script: &str) -> String {
    let response = dexec(["dexec-shell", "sh", "-c", script]).response();
    assert_eq!(response["exitCode"], 0, "{response}");
    response["stdout"].as_str().expect("stdout is there").to_owned()
}

fn status_line(status: &str, name: &str) -> String {
    status
        .lines()
        .find(|line| line.starts_with(name))
        .expect("the line is there")
        .to_owned()
}

/// An engine started in a plain chroot runs every exec in the host's root; only this test would fail then.
#[test]
fn command_runs_in_the_container() {
    let host = |path: &str| fs::read_to_string(path).expect("it can be read");

    assert_eq!(inside("hostname"), "dexec-shell");
    assert_ne!(inside("hostname"), host("/proc/sys/kernel/hostname").trim());

    assert_eq!(inside("tr '\\0' ' ' </proc/1/cmdline").split(' ').next(), Some("sleep"));
    assert_ne!(inside("cat /proc/1/cmdline"), host("/proc/1/cmdline"));

    assert_eq!(inside("cat /data/file"), "from-the-volume");
    assert!(!fs::exists("/data/file").expect("it can be looked for"));
    assert_eq!(
        inside("ls -d /bin/wait /etc/debian_version 2>/dev/null; true"),
        "/bin/wait"
    );

    for namespace in ["mnt", "pid", "net", "uts", "ipc"] {
        let link = fs::read_link(format!("/proc/self/ns/{namespace}")).expect("it can be read");
        assert_ne!(
            inside(&format!("readlink /proc/self/ns/{namespace}")),
            link.to_string_lossy(),
            "{namespace}"
        );
    }
    assert_eq!(inside("ls /sys/class/net"), "lo");

    // Its control group is that of the container's first process, and not the host's.
    let own = inside("cat /proc/self/cgroup");
    assert_eq!(own, inside("cat /proc/1/cgroup"));
    let id = api::get("/containers/dexec-shell/json")["Id"]
        .as_str()
        .expect("it has an id")
        .to_owned();
    let is_namespaced = own.lines().all(|line| line.ends_with(":/"));
    assert!(own.contains(&id) || is_namespaced, "{own}");

    let status = inside("cat /proc/self/status");
    let first = inside("cat /proc/1/status");
    assert_eq!(status_line(&status, "CapBnd:"), status_line(&first, "CapBnd:"));
    assert_ne!(
        status_line(&status, "CapBnd:"),
        status_line(&host("/proc/self/status"), "CapBnd:")
    );
}

#[test]
fn user_environment_and_directory_are_inherited() {
    assert_eq!(inside("echo $GREETING"), "hello from the container");
    assert_eq!(inside("pwd"), "/srv");
    assert_eq!(inside("id -u; echo $HOME"), "0\n/root");

    let response = dexec(["dexec-nonroot", "sh", "-c", "id -un; id -gn; echo $HOME"]).response();
    assert_eq!(response["stdout"], "app\napp\n/home/app");
    // dexec does not pass on its own environment.
    let response = dexec(["dexec-shell", "env"]).env("LEAKED", "yes").response();
    assert!(!response["stdout"].as_str().expect("stdout is there").contains("LEAKED"));
}

#[test]
fn a_container_without_a_shell_runs_its_program() {
    let response = dexec(["dexec-static", "/bin/wait", "echo", "no", "shell"]).response();
    assert_eq!(response["stdout"], "no shell");
    assert_eq!(dexec(["dexec-static", "/bin/wait", "exit", "7"]).run().code, 7);
    assert_eq!(
        dexec(["-i", "dexec-static", "/bin/wait", "cat"]).stdin("in").response()["stdout"],
        "in"
    );
}

#[test]
fn a_read_only_container_runs_commands() {
    let response = dexec(["dexec-readonly", "sh", "-c", "echo yes; touch /x"]).response();
    assert_eq!(response["stdout"], "yes");
    assert!(
        response["stderr"]
            .as_str()
            .expect("stderr is there")
            .contains("Read-only file system")
    );
}

#[test]
fn container_can_be_named_by_id() {
    let id = api::get("/containers/dexec-shell/json")["Id"]
        .as_str()
        .expect("it has an id")
        .to_owned();
    for name in [&id[..], &id[..12], "/dexec-shell"] {
        assert_eq!(dexec([name, "hostname"]).response()["stdout"], "dexec-shell", "{name}");
    }
}

/// script/test runs this after all other tests.
#[test]
#[ignore = "looks at what the other tests have left"]
fn tests_leave_the_containers_unchanged() {
    for name in ["shell", "static", "nonroot", "setpriv"] {
        let changes = api::get(&format!("/containers/dexec-{name}/changes"));
        let paths = changes
            .as_array()
            .into_iter()
            .flatten()
            .map(|change| change["Path"].as_str());
        // Podman itself creates files in /etc when it starts a container.
        let own: Vec<_> = paths
            .filter(|path| !(api::is_podman() && *path == Some("/etc")))
            .collect();
        assert!(own.is_empty(), "{name}: {own:?}");
    }
    // Wait for commands that the tests left running on purpose. Podman also lists zombie processes.
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let listed = api::get("/containers/dexec-shell/top");
        let processes = listed["Processes"].as_array().expect("there is a list");
        let is_dead = |process: &&serde_json::Value| {
            let text = process.to_string();
            text.contains(" [") || text.contains("<defunct>")
        };
        let living: Vec<_> = processes.iter().filter(|process| !is_dead(process)).collect();
        if living.len() == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "{living:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
