//! The same commands over every transport to the engine.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use serde_json::json;

use crate::dexec;
use crate::pty::OnTerminal as _;
use crate::sshd::{FarEnd, Sshd};
use test_support::api;
use test_support::{Run, assert_response, noise};

/// Runs all cases over one transport; `name` makes its files in the container unique.
pub fn every_case(name: &str, dexec: impl Fn(&[&str]) -> Run) {
    let response = dexec(&["dexec-shell", "sh", "-c", "echo out; echo err >&2; exit 3"]).response();
    assert_response(
        &response,
        json!({ "exitCode": 3, "stdout": "out", "stderr": "err", "success": false }),
    );

    // The end of standard input arrives, and output after it is returned.
    let script = "cat; sleep 0.2; echo after; exit 4";
    let response = dexec(&["-i", "dexec-shell", "sh", "-c", script])
        .stdin("in\n")
        .response();
    assert_response(
        &response,
        json!({ "exitCode": 4, "stdout": "in\nafter", "stderr": "", "success": false }),
    );

    let bytes = noise(50_000_000);
    let done = dexec(&["--raw", "-i", "dexec-shell", "cat"]).stdin(bytes.clone()).run();
    assert_eq!((done.code, done.stderr_text().as_str()), (0, ""));
    assert!(done.stdout == bytes, "{} bytes came back", done.stdout.len());

    // A terminal's bytes are not split into frames, even if they look like frames.
    let script = "stty raw -echo; printf '\\001\\000\\000\\000\\000\\000\\000\\003abc'; sleep 0.2; \
                  printf '\\002\\000'; sleep 0.2; printf '\\000\\377'";
    let done = dexec(&["-t", "dexec-shell", "sh", "-c", script]).run();
    let bytes = b"\x01\0\0\0\0\0\0\x03abc\x02\0\0\xff";
    assert!(done.code == 0 && done.stdout == bytes, "{}", done.stdout.escape_ascii());
    let script = format!("{script}; exec head -c 4");
    let mut session = dexec(&["-it", "dexec-shell", "sh", "-c", &script]).on_terminal();
    session.wait_for(bytes);
    for key in *b"\x00\x01\x02\xff" {
        session.type_in([key]);
        session.wait_for([key]);
    }
    assert_eq!(session.end().0, 0);

    let file = format!("/data/transport-{name}");
    let response = dexec(&["-d", "dexec-shell", "touch", &file]).response();
    assert!(response["execId"].is_string(), "{response}");
    let wait = format!("while [ ! -e {file} ]; do sleep 0.1; done; rm {file}");
    assert_eq!(
        dexec(&["--timeout", "30", "dexec-shell", "sh", "-c", &wait]).run().code,
        0
    );

    let script = "echo started; sleep 600";
    let response = dexec(&["--timeout", "1", "dexec-shell", "sh", "-c", script]).response();
    assert_response(
        &response,
        json!({
            "exitCode": 124, "stdout": "started", "stderr": "", "success": false, "timedOut": true, "signal": "SIGTERM",
        }),
    );
}

#[test]
fn common_cases_pass_over_a_unix_socket() {
    every_case("unix", |args| dexec(args));
}

/// An engine uses TLS on all of its ports or on none, so plain TCP connections are forwarded to its socket.
#[test]
fn common_cases_pass_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("it can be listened to");
    let host = format!("tcp://{}", listener.local_addr().expect("it has an address"));
    thread::spawn(move || {
        for client in listener.incoming() {
            forward(client.expect("it can be accepted"));
        }
    });
    every_case("tcp", |args| dexec(["-H", &host]).args(args));
}

fn forward(client: TcpStream) {
    let engine = UnixStream::connect(api::socket()).expect("the engine answers");
    let (mut from_engine, mut to_client) = (
        engine.try_clone().expect("it can be shared"),
        client.try_clone().expect("it can be shared"),
    );
    let (mut from_client, mut to_engine) = (client, engine);
    // An early disconnect is not an error.
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_engine);
        let _ = to_engine.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut from_engine, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
}

#[test]
fn common_cases_pass_over_tls() {
    let socket = api::socket();
    let files = Path::new(&socket).with_file_name("tls");
    let Ok(host) = std::fs::read_to_string(files.join("host")) else {
        assert!(api::is_podman(), "script/engines gives Docker a port with TLS");
        eprintln!("left out: Podman's service speaks no TLS");
        return;
    };
    every_case("tls", |args| {
        dexec(["-H", host.trim()])
            .args(args)
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", &files)
    });
}

#[test]
fn common_cases_pass_over_ssh_with_docker() {
    let sshd = Sshd::start(&FarEnd::Docker);
    every_case("ssh-docker", |args| sshd.dexec(args));
    sshd.assert_nothing_is_left();
}

#[test]
fn common_cases_pass_over_ssh_with_only_docker() {
    let sshd = Sshd::start(&FarEnd::OnlyDocker);
    every_case("ssh-only-docker", |args| sshd.dexec(args));
    sshd.assert_nothing_is_left();
}

#[test]
fn common_cases_pass_over_ssh_without_docker() {
    let sshd = Sshd::start(&FarEnd::Socket);
    every_case("ssh-bare", |args| sshd.dexec(args));
    sshd.assert_nothing_is_left();
}

#[test]
fn common_cases_pass_over_ssh_to_a_given_socket() {
    let sshd = Sshd::start(&FarEnd::Nothing);
    let url = format!("{}{}", sshd.url(), api::socket());
    every_case("ssh-socket", |args| sshd.dexec_at(&url, args));
    sshd.assert_nothing_is_left();
    // A socket that does not exist.
    let response = sshd.dexec_at(&format!("{}/nowhere", sshd.url()), &["dexec-shell", "true"]);
    let response = response.response();
    assert_eq!(response["errorKind"], "engineUnreachable", "{response}");
}
