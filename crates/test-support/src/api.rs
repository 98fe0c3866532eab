//! A few calls to the engine's API that share no code with dexec.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

/// The name of the engine under test, as script/test sets it, such as `docker` or `podman-5.4`.
pub fn engine() -> String {
    std::env::var("DEXEC_TEST_ENGINE").expect("these tests need an engine: script/test starts it and names it")
}

pub fn is_podman() -> bool {
    engine().starts_with("podman")
}

/// The engine's socket, which `DOCKER_HOST` names.
pub fn socket() -> String {
    let host = std::env::var("DOCKER_HOST").expect("DOCKER_HOST names the engine under test");
    host.strip_prefix("unix://").expect("it is a unix socket").to_owned()
}

/// Sends a request, and returns the status and the body. HTTP/1.0 keeps the response simple.
pub fn call(method: &str, path: &str, body: &Value) -> (u16, String) {
    let mut stream = UnixStream::connect(socket()).expect("the engine answers");
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: engine\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .expect("the request can be sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the answer can be read");
    let (head, body) = answer.split_once("\r\n\r\n").expect("the answer has a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("the head has a status");
    (status, body.to_owned())
}

pub fn get(path: &str) -> Value {
    // Podman was seen to return an empty response while a process that it lists ends.
    for _ in 0..3 {
        let (status, body) = call("GET", path, &Value::Null);
        assert_eq!(status, 200, "{path}: {body}");
        if !body.is_empty() {
            return serde_json::from_str(&body).expect("the answer is JSON");
        }
    }
    panic!("{path}: the answer is empty");
}

#[track_caller]
pub fn post(path: &str) {
    let (status, body) = call("POST", path, &Value::Null);
    assert!(status < 300, "{path}: {status} {body}");
}

/// The command lines of the processes in a container, as the engine sees them from outside, without zombies.
pub fn processes(container: &str) -> Vec<String> {
    // With Docker's arguments, Podman would run the container's own ps and not split its output into columns.
    let words = if is_podman() { "pid,args" } else { "-ef" };
    let top = get(&format!("/containers/{container}/top?ps_args={words}"));
    let titles = top["Titles"].as_array().expect("it has titles");
    let column = titles.iter().position(|title| title == "CMD" || title == "COMMAND");
    let column = column.expect("one of them is the command");
    let rows = top["Processes"].as_array().expect("it has processes");
    rows.iter()
        .map(|row| row[column].as_str().expect("it is text").to_owned())
        .filter(|command| !command.starts_with('['))
        .collect()
}

/// Waits until a program with exactly this command line runs in a container.
#[track_caller]
pub fn wait_for_process(container: &str, line: &str) {
    let runs = || processes(container).iter().any(|process| process == line);
    assert!(holds_soon(runs), "`{line}` does not run in {container}");
}

/// Waits until the condition holds, for at least two minutes.
fn holds_soon(condition: impl Fn() -> bool) -> bool {
    for _ in 0..6000 {
        if condition() {
            return true;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    false
}

/// A container for one test, removed at the end of the test.
pub struct Container {
    pub name: String,
}

impl Container {
    /// Runs a command as the first process of a new container.
    pub fn start(purpose: &str, command: &[&str]) -> Self {
        let container = Self::create(purpose, command, "no");
        post(&format!("/containers/{}/start", container.name));
        container
    }

    pub fn create(purpose: &str, command: &[&str], restart: &str) -> Self {
        Self::create_with(
            purpose,
            json!({ "Cmd": command, "HostConfig": { "RestartPolicy": { "Name": restart } } }),
        )
    }

    /// Starts a new container with additional settings of the engine's API, on an engine that shares this machine's
    /// process namespace.
    pub fn start_with(purpose: &str, settings: Value) -> Self {
        let container = Self::create_with(purpose, settings);
        post(&format!("/containers/{}/start", container.name));
        // At first, the process is the runtime itself, and then a process that has no arguments yet.
        let has_started = || {
            let line = container.first_process();
            !line.is_empty() && !line.contains("runc\0init") && !line.contains("crun\0")
        };
        if !holds_soon(has_started) {
            let state = &get(&format!("/containers/{}/json", container.name))["State"];
            panic!("the first process of {} has not started: {state}", container.name);
        }
        container
    }

    fn create_with(purpose: &str, settings: Value) -> Self {
        let name = format!("dexec-own-{purpose}");
        call("DELETE", &format!("/containers/{name}?force=true"), &Value::Null);
        let limit = |name| json!({ "Name": name, "Soft": 1024, "Hard": 4096 });
        let common = json!({
            "Image": "dexec-test/shell",
            "StopSignal": "SIGKILL",
            "HostConfig": { "NetworkMode": "none", "Ulimits": [limit("nofile"), limit("nproc")] },
        });
        let config = merged(common, settings);
        let (status, body) = call("POST", &format!("/containers/create?name={name}"), &config);
        assert_eq!(status, 201, "{body}");
        Self { name }
    }

    /// The command line of the container's first process, or an empty string if there is none. In the host's process
    /// namespace, `top` on Podman 5 lists the processes of the whole machine, so it can't be used here.
    fn first_process(&self) -> String {
        let pid = &get(&format!("/containers/{}/json", self.name))["State"]["Pid"];
        std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
    }

    pub fn processes(&self) -> Vec<String> {
        processes(&self.name)
    }

    /// The container's changes to the files of its image.
    pub fn changes(&self) -> Value {
        get(&format!("/containers/{}/changes", self.name))
    }

    pub fn post(&self, action: &str) {
        post(&format!("/containers/{}/{action}", self.name));
    }

    pub fn remove(&self) {
        call("DELETE", &format!("/containers/{}?force=true", self.name), &Value::Null);
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Merges two values. Objects are merged field by field; otherwise the second value wins.
pub fn merged(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::Object(mut first), Value::Object(second)) => {
            for (name, value) in second {
                let before = first.remove(&name).unwrap_or_default();
                first.insert(name, merged(before, value));
            }
            Value::Object(first)
        }
        (_, second) => second,
    }
}
