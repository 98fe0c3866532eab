//! ssh: one login per command, nothing left behind, and errors that name the cause.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use dexec::{CancellationToken, Endpoint, Engine, Request};
use serde_json::{Value, json};

use crate::sshd::{self, FarEnd, Sshd, silent_port};
use test_support::api::{self, Container};
use test_support::{Run, assert_response, code, rest_of, signal};

#[test]
fn one_command_uses_one_login() {
    // Stopping a command takes the largest number of connections that a command can need.
    let args = [
        "--timeout",
        "1",
        "dexec-shell",
        "sh",
        "-c",
        "trap '' TERM; while :; do sleep 1; done",
    ];
    let args = [&["--kill-after", "0.1"][..], &args].concat();
    for far_end in [FarEnd::Docker, FarEnd::Nothing] {
        let sshd = Sshd::start(&far_end);
        let url = match far_end {
            FarEnd::Docker => sshd.url(),
            _ => format!("{}{}", sshd.url(), api::socket()),
        };
        let response = sshd.dexec_at(&url, &args).response();
        assert_response(
            &response,
            json!({
                "exitCode": 124, "stdout": "", "stderr": "", "success": false, "timedOut": true, "signal": "SIGKILL",
            }),
        );
        assert_eq!(sshd.logins(), 1);
        sshd.assert_nothing_is_left();
    }
}

/// Starts a command that waits, in its own container, and waits until it runs.
fn started(sshd: &Sshd, container: &Container) -> Child {
    let script = "echo started; sleep 600";
    let mut child = sshd.dexec(&["--raw", &container.name, "sh", "-c", script]).spawn();
    let mut word = [0; 8];
    let stdout = child.stdout.as_mut().expect("it is a pipe");
    stdout.read_exact(&mut word).expect("it can be read");
    assert_eq!(&word, b"started\n");
    child
}

#[test]
fn no_ssh_process_is_left_however_dexec_ends() {
    let sshd = Sshd::start(&FarEnd::Docker);
    let container = Container::start("ssh-ends", &["sleep", "1000000"]);
    for name in ["TERM", "INT", "HUP", "KILL"] {
        let mut child = started(&sshd, &container);
        signal(&child, name);
        rest_of(&mut child);
        child.wait().expect("it ends");
        sshd.assert_nothing_is_left();
    }
    // The reader of the output disappears.
    let mut child = started(&sshd, &container);
    drop(child.stdout.take());
    assert_eq!(code(child.wait().expect("it ends")), 141);
    sshd.assert_nothing_is_left();
    // A failed command.
    let response = sshd.dexec(&["dexec-nosuch", "true"]).response();
    assert_eq!(response["errorKind"], "containerNotFound", "{response}");
    sshd.assert_nothing_is_left();
}

#[test]
fn signal_to_the_process_group_still_stops_the_command() {
    let sshd = Sshd::start(&FarEnd::Docker);
    let container = Container::start("ssh-group", &["sleep", "1000000"]);
    for (name, exit) in [("TERM", 143), ("INT", 130)] {
        // To the whole process group, as a terminal or timeout(1) sends it.
        let script = "echo started >&2; sleep 600";
        let mut command = sshd.dexec(&[&container.name, "sh", "-c", script]).into_command();
        let mut child = command.process_group(0).spawn().expect("it can be started");
        while container.processes().len() < 2 {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let group = format!("-{}", child.id());
        let sent = Command::new("kill").args(["-s", name, "--", &group]).status();
        assert!(sent.expect("kill can be run").success());
        let response: Value = serde_json::from_slice(&rest_of(&mut child)).expect("it answers");
        assert_eq!(
            (&response["exitCode"], &response["errorKind"], response.get("orphaned")),
            (&exit.into(), &"interrupted".into(), None),
            "{response}"
        );
        child.wait().expect("it ends");
        assert_eq!(container.processes().len(), 1, "{:?}", container.processes());
        sshd.assert_nothing_is_left();
    }
}

#[test]
fn unfinished_login_ends_when_dexec_ends() {
    let sshd = Sshd::start(&FarEnd::Nothing);
    let (listener, port) = silent_port();
    for (name, exit) in [("TERM", 143), ("KILL", 137)] {
        let url = format!("ssh://root@127.0.0.1:{port}");
        let mut child = sshd.dexec_at(&url, &["dexec-shell", "true"]).spawn();
        let _client = listener.accept().expect("dexec connects");
        signal(&child, name);
        rest_of(&mut child);
        assert_eq!(code(child.wait().expect("it ends")), exit);
        sshd.assert_nothing_is_left();
    }
}

#[test]
fn proxy_command_ends_with_the_login() {
    const PROXY: &str = "sleep 3777";

    let sshd = Sshd::start(&FarEnd::Nothing);
    sshd.configure(&format!("ProxyCommand {PROXY}"));
    for name in ["TERM", "KILL"] {
        let mut child = sshd.dexec(&["dexec-shell", "true"]).spawn();
        sshd::wait_until(|| !sshd::programs_with(PROXY).is_empty());
        signal(&child, name);
        rest_of(&mut child);
        child.wait().expect("it ends");
        sshd.assert_nothing_is_left();
        sshd::wait_until(|| sshd::programs_with(PROXY).is_empty());
    }
}

#[test]
fn hung_login_is_ended() {
    let sshd = Sshd::start(&FarEnd::Docker);
    let container = Container::start("ssh-stuck", &["sleep", "1000000"]);
    let mut child = started(&sshd, &container);
    let master = format!("{}/dexec-", sshd::path(&sshd.at("tmp")));
    for (id, line) in sshd::programs() {
        if line.contains(&master) && line.contains(" -M ") {
            sshd::run("kill", &["-s", "STOP", &id]);
        }
    }
    signal(&child, "KILL");
    rest_of(&mut child);
    child.wait().expect("it ends");
    sshd.assert_nothing_is_left();
}

#[test]
fn silent_far_end_times_out() {
    let sshd = Sshd::start(&FarEnd::Nothing);
    let (_listener, port) = silent_port();
    let url = format!("ssh://root@127.0.0.1:{port}");
    let args = ["--connect-timeout", "1", "dexec-shell", "true"];
    assert_refused(sshd.dexec_at(&url, &args), "ssh", "timed out");
    sshd.assert_nothing_is_left();
}

#[track_caller]
fn assert_refused(run: Run, kind: &str, words: &str) {
    let response = run.response();
    assert_eq!(
        (&response["exitCode"], &response["errorKind"]),
        (&1.into(), &kind.into()),
        "{response}"
    );
    let message = response["message"].as_str().expect("there is a message");
    assert!(message.contains(words) && message.lines().count() <= 2, "{message}");
}

#[test]
fn failed_login_is_reported_in_the_words_of_ssh() {
    let sshd = Sshd::start(&FarEnd::Nothing);
    let run = |url: &str| sshd.dexec_at(url, &["dexec-shell", "true"]);
    let (listener, port) = silent_port();
    drop(listener);
    assert_refused(run(&format!("ssh://127.0.0.1:{port}")), "ssh", "Connection refused");
    assert_refused(
        run("ssh://nowhere.invalid"),
        "ssh",
        "Could not resolve hostname nowhere.invalid",
    );
    assert_refused(
        run(&sshd.url()).env("PATH", sshd.at("bin")),
        "ssh",
        "install the OpenSSH client",
    );

    fs::copy(sshd.at("stranger"), sshd.at("user")).expect("it can be copied");
    assert_refused(run(&sshd.url()), "ssh", "Permission denied (publickey)");
    fs::write(sshd.at("known"), "").expect("it can be written");
    assert_refused(run(&sshd.url()), "ssh", "Host key verification failed");
    assert_eq!(sshd.logins(), 0);
    sshd.assert_nothing_is_left();
}

#[test]
fn remote_path_to_the_engine_is_shown() {
    for far_end in [FarEnd::Docker, FarEnd::OnlyDocker, FarEnd::Socket] {
        let sshd = Sshd::start(&far_end);
        let way = match far_end {
            FarEnd::Socket => sshd::path(&sshd.at("own/podman/podman.sock")).to_owned(),
            _ => "docker".to_owned(),
        };
        let told = sshd.dexec(&["--info", "--output", "json"]).run().stdout_text();
        let told: Value = serde_json::from_str(&told).expect("it is JSON");
        assert_eq!(told["farEnd"], way.as_str(), "{told}");
        let response = sshd.dexec(&["dexec-nosuch", "true"]).response();
        let message = response["message"].as_str().expect("there is a message");
        let words = format!("(The remote engine was reached through {way})");
        assert!(message.contains(&words), "{message}");
    }
}

/// Options in the user's ssh configuration that would send the login to the background, disconnect its input, or run
/// something else.
#[test]
fn ssh_configuration_of_the_user_does_not_break_the_login() {
    for option in [
        "ForkAfterAuthentication yes",
        "StdinNull yes",
        "SessionType subsystem",
        "RemoteCommand echo hello",
        "PermitLocalCommand yes\nLocalCommand echo hello",
        "StreamLocalBindMask 0777",
        "RequestTTY force",
        "ControlMaster auto\nControlPersist 600",
        "LogLevel QUIET",
        "ForwardX11 yes",
        "Tunnel yes",
        "LocalForward 127.0.0.1:PORT localhost:1\nExitOnForwardFailure yes",
    ] {
        for far_end in [FarEnd::Docker, FarEnd::Socket] {
            let sshd = Sshd::start(&far_end);
            // sshd itself uses this port.
            sshd.configure(&option.replace("PORT", &sshd.port.to_string()));
            let run = sshd
                .dexec(&["-i", "dexec-shell", "sh", "-c", "cat; exit 3"])
                .stdin("in");
            let expected = json!({ "exitCode": 3, "stdout": "in", "stderr": "", "success": false });
            assert_eq!(run.response(), expected, "{option}");
            assert_eq!(sshd.logins(), 1, "{option}");
            sshd.assert_nothing_is_left();
        }
    }
}

/// Versions of ssh before OpenSSH 8.7 fail on options that were added in 8.7.
#[test]
fn older_ssh_gets_only_options_that_it_supports() {
    let sshd = Sshd::start(&FarEnd::Docker);
    let ssh = sshd.at("wrapped/ssh");
    let wrapper = fs::read_to_string(&ssh).expect("it is there");
    let refusal = "case \" $* \" in *ForkAfterAuth*|*StdinNull*|*SessionType*) echo Bad option >&2; exit 255 ;; esac";
    let earlier = wrapper.replacen('\n', &format!("\n{refusal}\n"), 1);
    fs::write(&ssh, earlier).expect("it can be written");
    let response = sshd.dexec(&["dexec-shell", "echo", "x"]).response();
    assert_eq!(response["stdout"], "x", "{response}");
    sshd.assert_nothing_is_left();
}

#[test]
fn far_end_without_an_engine_is_reported() {
    let run = |far_end: &FarEnd, path: &str| {
        let sshd = Sshd::start(far_end);
        (
            sshd.dexec_at(&format!("{}{path}", sshd.url()), &["dexec-shell", "true"]),
            sshd,
        )
    };
    for (far_end, path, words) in [
        (FarEnd::DockerWithoutEngine, "", "/nowhere/socket"),
        (FarEnd::OnlyDockerWithoutEngine, "", "/nowhere/socket"),
        (
            FarEnd::Nothing,
            "",
            "there is no docker and no engine socket on the remote host",
        ),
        (
            FarEnd::Nothing,
            "/nowhere/socket",
            "can't connect to /nowhere/socket on the remote host",
        ),
    ] {
        let (run, sshd) = run(&far_end, path);
        assert_refused(run, "engineUnreachable", words);
        assert_eq!(sshd.logins(), 1);
        sshd.assert_nothing_is_left();
    }
}

#[test]
fn dangling_socket_link_is_reported() {
    let sshd = Sshd::start(&FarEnd::Socket);
    let dangling = sshd.at("own/docker.sock");
    std::os::unix::fs::symlink("/nowhere/socket", &dangling).expect("it can be linked");
    let words = format!("can't connect to {} on the remote host", sshd::path(&dangling));
    assert_refused(sshd.dexec(&["dexec-shell", "true"]), "engineUnreachable", &words);
    sshd.assert_nothing_is_left();
}

#[test]
fn ssh_asks_for_a_passphrase_on_the_terminal() {
    let sshd = Sshd::start(&FarEnd::Docker);
    let key = sshd.at("user");
    let args = ["-q", "-p", "-N", "open sesame", "-f", sshd::path(&key)];
    sshd::run("ssh-keygen", &args);
    let run = sshd.dexec(&["dexec-shell", "echo", "inside"]).into_command();
    let words: Vec<_> = std::iter::once(run.get_program())
        .chain(run.get_args())
        .map(|word| word.to_str().expect("it is UTF-8"))
        .collect();
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
    terminal.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = terminal
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a terminal can be made");
    let mut stdout = child.stdout.take().expect("it is a pipe");
    let mut shown = String::new();
    let mut answer = Some("open sesame\n");
    let mut bytes = [0; 1024];
    loop {
        match stdout.read(&mut bytes).expect("it can be read") {
            0 => break,
            length => shown.push_str(&String::from_utf8_lossy(&bytes[..length])),
        }
        if shown.contains("Enter passphrase")
            && let Some(answer) = answer.take()
        {
            let stdin = child.stdin.as_mut().expect("it is a pipe");
            stdin.write_all(answer.as_bytes()).expect("it is read");
        }
    }
    assert!(child.wait().expect("it ends").success(), "{shown}");
    assert!(answer.is_none() && shown.contains("inside"), "{shown}");
    sshd.assert_nothing_is_left();
}

/// The environment variable that passes sshd's address to a child process of the test below.
const OF_LIBRARY: &str = "DEXEC_TEST_SSH_URL";

#[test]
fn dropped_library_engine_leaves_no_ssh_process() {
    if let Ok(url) = std::env::var(OF_LIBRARY) {
        return use_library(&url);
    }
    let sshd = Sshd::start(&FarEnd::Docker);
    // dexec uses the ssh on the PATH, which a test can set only for a child process.
    let child = sshd.dexec(&[]).into_command();
    let path = child
        .get_envs()
        .find(|(name, _)| *name == "PATH")
        .and_then(|(_, path)| path);
    let this = std::env::current_exe().expect("a test knows its program");
    let done = Command::new(this)
        .args(["--exact", "ssh::dropped_library_engine_leaves_no_ssh_process"])
        .env("PATH", path.expect("it is set"))
        .env("TMPDIR", sshd.at("tmp"))
        .env(OF_LIBRARY, sshd.url())
        .status();
    assert!(done.expect("it can be run").success());
    assert_eq!(sshd.logins(), 1);
    sshd.assert_nothing_is_left();
}

fn use_library(url: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    runtime.block_on(async {
        let engine = Engine::connect(&Endpoint::parse(url).expect("it is an address"));
        let run = async || {
            let request = Request::new("dexec-shell", ["echo", "x"]).build();
            let request = request.expect("it is a request");
            engine.exec(request, &CancellationToken::new()).await
        };
        let (one, other) = tokio::join!(run(), run());
        assert_eq!((one.end.exit_code(), other.end.exit_code()), (0, 0));
        let directories = || {
            let temporary = std::env::temp_dir();
            fs::read_dir(temporary).expect("it can be read").count()
        };
        assert_eq!(directories(), 1);
        drop(engine);
        while directories() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
}
