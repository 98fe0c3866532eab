//! Commands with a terminal, run on a terminal.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::dexec;
use crate::pty::{OnTerminal as _, SIZE, Session, signal};
use test_support::api::{self, Container};
use test_support::{docker_clis, program};

const DETACH: &[u8] = b"\x10\x11";

/// Waits in the container until the terminal has its size; some engines set it only a moment after the start.
const SIZED: &str = "until [ \"$(stty size 2>/dev/null)\" = '33 77' ]; do sleep 0.05; done";

/// A session of a command in the shared container.
fn session(options: &[&str], command: &[&str]) -> Session {
    dexec([options, &["-it", "dexec-shell"], command].concat()).on_terminal()
}

fn shell(script: &str) -> Session {
    session(&[], &["sh", "-c", script])
}

/// Runs a command in the shared container without a terminal, and returns its output.
fn output_of(command: &[&str]) -> String {
    dexec([&["--raw", "dexec-shell"], command].concat()).run().stdout_text()
}

/// A directory with docker's config.json.
fn config(text: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory can be made");
    std::fs::write(directory.path().join("config.json"), text).expect("it can be written to");
    directory
}

/// Waits until a file exists in the shared container, and removes it.
fn wait_for_file(file: &str) {
    let wait = format!("while [ ! -e {file} ]; do sleep 0.1; done; rm {file}");
    let done = dexec(["--timeout", "30", "dexec-shell", "sh", "-c", &wait]).run();
    assert_eq!(done.code, 0, "{}", done.stdout_text());
}

#[test]
fn command_has_a_terminal() {
    let (code, shown) = shell("test -t 0 && test -t 1 && test -t 2 && tty; echo err >&2; exit 3").end();
    let shown = String::from_utf8(shown).expect("it is text");
    assert_eq!(code, 3, "{shown}");
    assert!(
        shown.starts_with("/dev/pts/") && shown.ends_with("\r\nerr\r\n"),
        "{shown:?}"
    );
    assert_eq!(shell("echo $TERM").end(), (0, b"xterm\r\n".to_vec()));
}

#[test]
fn tty_without_interactive_needs_no_local_terminal() {
    let done = dexec([
        "-t",
        "dexec-shell",
        "sh",
        "-c",
        "test -t 1; echo $?; echo err >&2; exit 4",
    ])
    .run();
    assert_eq!(
        (done.code, done.stdout_text().as_str(), done.stderr_text().as_str()),
        (4, "0\r\nerr\r\n", "")
    );
}

/// Without `-i`, the local terminal keeps its modes: it translates each newline again, and Ctrl-C interrupts dexec.
#[test]
fn tty_without_interactive_does_not_change_the_local_terminal() {
    let mut session = dexec(["-t", "dexec-shell", "sh", "-c", "echo begun; exec sleep 600"]).on_terminal();
    session.wait_for("begun\r\r\n");
    assert!(session.is_restored());
    session.type_in("\x03");
    let (code, shown) = session.end();
    assert_eq!(code, 130, "{}", shown.escape_ascii());
}

#[test]
fn interactive_without_tty_reads_lines() {
    let script = "test -t 0 || echo no terminal; read line; echo [$line]; exec sleep 600";
    let options = ["--raw", "--detach-keys", "i,g", "-i"];
    let mut session = dexec(options).args(["dexec-shell", "sh", "-c", script]).on_terminal();
    session.wait_for("no terminal\r\n");
    assert!(session.is_restored());
    session.type_in("wrong\x15right\r");
    session.wait_for("[right]");
    session.type_in("\x03");
    let (code, shown) = session.end();
    assert_eq!(code, 130, "{}", shown.escape_ascii());
}

#[test]
fn detached_command_can_have_a_terminal() {
    let file = "/data/detached-terminal";
    let script = format!("test -t 1 && touch {file}");
    let response = dexec(["-dit", "dexec-shell", "sh", "-c", &script]).response();
    assert!(response["execId"].is_string(), "{response}");
    wait_for_file(file);
}

#[test]
fn terminal_size_is_set_and_updated() {
    let script = "while :; do size=$(stty size 2>/dev/null); [ \"$size\" = \"$before\" ] || echo $size; before=$size; \
                  sleep 0.05; done";
    let mut session = shell(script);
    session.wait_for("33 77\r\n");
    for (rows, columns) in [(44, 99), (10, 200)] {
        session.resize((rows, columns));
        session.wait_for(format!("{rows} {columns}\r\n"));
    }
    session.type_in("\x03");
    assert_eq!(session.end().0, 130);
}

#[test]
fn terminal_size_is_set_before_the_start() {
    let version = api::get("/version")["ApiVersion"]
        .as_str()
        .expect("it is text")
        .to_owned();
    if api::is_podman() || version == "1.41" {
        eprintln!("left out: this engine takes no size before the start");
        return;
    }
    let (rows, columns) = SIZE;
    for _ in 0..5 {
        let (code, shown) = session(&[], &["stty", "size"]).end();
        let expected = format!("{rows} {columns}\r\n");
        assert_eq!((code, shown), (0, expected.into_bytes()));
    }
}

#[test]
fn every_byte_is_passed_in_both_directions() {
    let bytes: Vec<u8> = (0..=255).collect();
    let command = ["sh", "-c", "stty raw -echo; echo ready; exec head -c 768"];
    let mut session = session(&["--detach-keys", "DEL,DEL,DEL"], &command);
    session.wait_for("ready\n");
    session.type_in(&bytes);
    session.wait_for(&bytes);
    // One byte at a time, as a user types.
    for byte in &bytes {
        session.type_in([*byte]);
    }
    session.wait_for(&bytes);
    session.type_in(&bytes);
    session.wait_for(&bytes);
    assert_eq!(session.end().0, 0);
}

/// Docker's own search for detach keys duplicates a byte if they are split like this.
#[test]
fn input_split_within_a_detach_sequence_arrives_unchanged() {
    let command = ["sh", "-c", "stty raw -echo; echo ready; exec head -c 4 | od -An -tx1"];
    let mut session = session(&[], &command);
    session.wait_for("ready\n");
    session.type_in(b"\x1e");
    thread::sleep(Duration::from_millis(300));
    session.type_in(b"\0ab");
    session.wait_for("1e 00 61 62");
    assert_eq!(session.end().0, 0);
}

#[test]
fn each_key_is_sent_immediately() {
    let command = ["sh", "-c", "stty raw -echo; echo ready; exec head -c 126"];
    let mut session = session(&[], &command);
    session.wait_for("ready\n");
    // Docker and dexec each hold back the first byte of their own detach keys.
    for key in (0..=0x7f).filter(|key| ![0x10, 0x1e].contains(key)) {
        session.type_in([key]);
        session.wait_for([key]);
    }
    assert_eq!(session.end().0, 0);
}

#[test]
fn lines_end_with_carriage_return_and_newline() {
    let (code, shown) = shell("printf 'a\\nb\\n'").end();
    assert_eq!((code, shown), (0, b"a\r\nb\r\n".to_vec()));
}

#[test]
fn control_characters_reach_the_command() {
    for (key, code) in [("\x03", 130), ("\x1c", 131)] {
        let mut session = shell("echo begun; exec sleep 600");
        session.wait_for("begun");
        session.type_in(key);
        assert_eq!(session.end().0, code, "{}", key.escape_debug());
    }
    let mut session = session(&[], &["cat"]);
    session.wait_until_raw();
    session.type_in("line\r");
    session.wait_for("line\r\nline\r\n");
    session.type_in("\x04");
    assert_eq!(session.end(), (0, b"line\r\nline\r\n".to_vec()));
}

#[test]
fn shell_in_the_container_suspends_its_commands() {
    let mut session = session(&[], &["sh"]);
    session.wait_for("# ");
    session.type_in("sh -c 'printf be; printf gun; exec sleep 600'\r");
    session.wait_for("begun");
    session.type_in("\x1a");
    session.wait_for("Stopped");
    session.type_in("fg\r");
    session.wait_for("sleep 600");
    thread::sleep(Duration::from_millis(300));
    session.type_in("\x03");
    session.wait_for("# ");
    session.type_in("exit 5\r");
    assert_eq!(session.end().0, 5);
}

#[test]
fn detach_keys_leave_the_command_running() {
    let directory = config("{\"detachKeys\":\"ctrl-x,y\"}");
    let directory = directory.path().to_str().expect("it is text");
    let cases = [
        ("whole", &[][..], &[DETACH][..]),
        ("split", &[], &[b"\x10", b"\x11"]),
        ("twice", &[], &[b"\x10", b"\x10", b"\x11"]),
        ("with-more", &[], &[b"abc\x10\x11def"]),
        ("own", &["--detach-keys", "ctrl-a,d"], &[DETACH, b"\x01", b"d"]),
        ("configured", &["--config", directory], &[DETACH, b"\x18y"]),
        (
            "own-and-configured",
            &["--config", directory, "--detach-keys=q"],
            &[b"\x18y", b"q"],
        ),
        ("empty", &["--detach-keys", ""], &[DETACH]),
    ];
    thread::scope(|scope| {
        for (name, options, keys) in cases {
            scope.spawn(move || assert_detached(name, options, keys));
        }
    });
}

/// The output may still wait for its reader, but the user has detached from the terminal.
#[test]
fn stalled_reader_does_not_block_detaching() {
    let file = "/data/stalled";
    let script = format!("touch {file}; exec head -c 4000000 /dev/zero");
    let line = "\"$0\" -it dexec-shell sh -c \"$1\" | sleep 600";
    let mut session = program("sh")
        .args(["-c", line, env!("CARGO_BIN_EXE_dexec"), &script])
        .on_terminal();
    wait_for_file(file);
    session.wait_until_raw();
    // By then the pipe is full.
    thread::sleep(Duration::from_secs(1));
    session.type_in(DETACH);
    session.wait_until(Session::is_restored);
    assert!(!session.has_ended());
    session.type_in("\x03");
    session.end();
}

fn assert_detached(name: &str, options: &[&str], keys: &[&[u8]]) {
    let file = format!("/data/left-{name}");
    let script = format!("stty raw -echo; echo begun; sleep 2; touch {file}");
    let mut session = session(options, &["sh", "-c", &script]);
    session.wait_for("begun");
    for keys in keys {
        session.type_in(keys);
        thread::sleep(Duration::from_millis(20));
    }
    let (code, shown) = session.end();
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert_eq!((code, shown.as_str()), (1, "begun\nread escape sequence\r\n"), "{name}");
    wait_for_file(&file);
}

#[test]
fn partial_detach_keys_are_passed_on() {
    let command = ["sh", "-c", "stty raw -echo; echo begun; exec head -c 8 | od -An -c"];
    let mut session = session(&[], &command);
    session.wait_for("begun");
    for keys in [&b"\x10"[..], b"x", b"\x10y", b"\x11", b"\x11\x10", b"z"] {
        session.type_in(keys);
        thread::sleep(Duration::from_millis(20));
    }
    session.wait_for("020   x 020   y 021 021 020   z");
    assert_eq!(session.end().0, 0);
}

#[test]
fn invalid_detach_keys_are_refused() {
    let done = dexec(["--detach-keys", "Ctrl-a", "-t", "dexec-shell", "true"]).run();
    let stderr = done.stderr_text();
    let text = "invalid detach keys (Ctrl-a): Unknown character: 'Ctrl-a'. Give ";
    assert!(done.code == 1 && stderr.starts_with(text), "{stderr}");
    let done = dexec([
        "--detach-keys",
        "foo",
        "--env-file",
        "/nope",
        "-t",
        "dexec-shell",
        "true",
    ])
    .run();
    assert_eq!(done.stderr_text(), "open /nope: no such file or directory\n");
    let response = dexec(["--detach-keys", "foo", "dexec-shell", "true"]).response();
    assert_eq!(response["errorKind"], "invalidRequest", "{response}");
    let directory = config("{\"detachKeys\":\"foo\"}");
    let configured = |options: &[&str]| {
        dexec(options)
            .env("DOCKER_CONFIG", directory.path())
            .args(["dexec-shell", "true"])
            .run()
    };
    let done = configured(&["-t"]);
    let stderr = done.stderr_text();
    let is_told = stderr.starts_with("invalid detach keys (foo)") && stderr.contains("config.json");
    assert!(done.code == 1 && is_told, "{stderr}");
    // Without a terminal, invalid keys are ignored.
    assert_eq!(configured(&[]).code, 0);
}

/// Node and many other programs set `O_NONBLOCK` on a terminal that they share with dexec.
#[test]
fn nonblocking_terminal_is_supported() {
    let script = "import os, sys; os.set_blocking(0, False); os.execv(sys.argv[1], sys.argv[1:])";
    let mut session = program("python3")
        .args(["-c", script, env!("CARGO_BIN_EXE_dexec"), "-it", "dexec-shell", "cat"])
        .on_terminal();
    session.wait_until_raw();
    session.type_in("typed\r");
    session.wait_for("typed\r\ntyped\r\n");
    session.type_in("\x04");
    assert_eq!(session.end().0, 0);
}

/// docker checks the container first, and creates nothing.
#[test]
fn interactive_tty_without_a_local_terminal_is_refused() {
    let run = |args: &[&str]| {
        let done = dexec(args).run();
        (done.code, done.stdout_text(), done.stderr_text())
    };
    let refused = "the input device is not a TTY\n".to_owned();
    assert_eq!(
        run(&["-it", "dexec-shell", "true"]),
        (1, String::new(), refused.clone())
    );
    let stopped = Container::create("stopped-terminal", &["true"], "no");
    assert_eq!(run(&["-it", &stopped.name, "true"]), (1, String::new(), refused));
    let (code, _, stderr) = run(&["-it", "dexec-nosuch", "true"]);
    assert!(
        code == 1 && stderr.to_lowercase().contains("no such container"),
        "{stderr}"
    );
    let (code, _, stderr) = run(&["-it", "--env-file", "/nope", "dexec-nosuch", "true"]);
    assert!(code == 1 && stderr.contains("/nope"), "{stderr}");
    let execs = api::get("/containers/dexec-own-stopped-terminal/json")["ExecIDs"].clone();
    assert!(execs.is_null() || execs == Value::Array(Vec::new()), "{execs}");
}

#[test]
fn slow_terminal_gets_ten_megabytes_unchanged() {
    let command = ["-it", "dexec-shell", "seq", "1", "1300000"];
    let session = dexec(command).on_terminal_read_slowly(Duration::from_micros(500));
    let (code, shown) = session.end();
    let mut expected = (1..=1_300_000)
        .map(|number| number.to_string())
        .collect::<Vec<_>>()
        .join("\r\n");
    expected.push_str("\r\n");
    assert_eq!(code, 0);
    assert!(
        shown == expected.as_bytes(),
        "{} bytes of {}",
        shown.len(),
        expected.len()
    );
}

/// Opens a file in busybox's vi, types a line and captures the screen; then writes the file and quits.
fn edit(mut session: Session) -> (String, String) {
    let opened = session.wait_for_screen(|screen| screen.contains("~\n~") && screen.contains("1/1"));
    session.type_in("ihello from vi");
    session.wait_for_screen(|screen| screen.contains("hello from vi"));
    session.type_in("\x1b");
    thread::sleep(Duration::from_millis(300));
    session.type_in("yyp");
    let edited = session.wait_for_screen(|screen| screen.matches("hello from vi").count() == 2);
    session.type_in(":wq\r");
    assert_eq!(session.end().0, 0);
    (opened, edited)
}

#[test]
fn full_screen_program_is_shown_correctly() {
    let file = "/data/edited";
    let script = format!("rm -f {file}; {SIZED}; exec vi {file}");
    let (_, edited) = edit(shell(&script));
    let lines: Vec<&str> = edited.lines().map(str::trim_end).collect();
    assert_eq!(&lines[..2], ["hello from vi", "hello from vi"], "{edited}");
    assert_eq!(lines.len(), usize::from(SIZE.0), "{edited}");
    assert!(lines[2..lines.len() - 1].iter().all(|line| *line == "~"), "{edited}");
    assert_eq!(output_of(&["cat", file]), "hello from vi\nhello from vi\n");
    assert_eq!(output_of(&["rm", file]), "");
}

#[test]
fn terminal_is_restored_after_every_kind_of_end() {
    for (options, command, codes, words) in [
        (&[][..], "exit 7", &[7][..], ""),
        (&[], "echo rest; kill -9 $$", &[137], "rest"),
        (
            &["--timeout", "1"],
            "printf begun; sleep 600",
            &[124],
            "begun\r\ndexec: the --timeout expired. The command was stopped\r\n",
        ),
        (&["--group-add", "video"], "id; exit 8", &[8], "3000(video)"),
        // Some engines refuse the user when the exec is created.
        (&["-u", "nosuch"], "true", &[1, 126], "nosuch"),
    ] {
        let (code, shown) = session(options, &["sh", "-c", command]).end();
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert!(
            codes.contains(&code) && shown.contains(words),
            "{code}, {command}: {shown}"
        );
    }
    for (container, command) in [("dexec-nosuch", "true"), ("dexec-shell", "nosuch")] {
        let (code, shown) = dexec(["-it", container, command]).on_terminal().end();
        assert!([1, 126, 127].contains(&code), "{}", shown.escape_ascii());
    }
}

#[test]
fn signal_restores_the_terminal_and_stops_the_command() {
    thread::scope(|scope| {
        for (signal, code) in [("TERM", 143), ("HUP", 129), ("INT", 130), ("QUIT", 131), ("USR1", 138)] {
            scope.spawn(move || assert_stopped_by(signal, code));
        }
    });
}

fn assert_stopped_by(signal: &str, code: u32) {
    let container = Container::start(&format!("terminal-{}", signal.to_lowercase()), &["sleep", "1000000"]);
    let script = "trap '' TERM; echo begun; while :; do sleep 0.1; done";
    let args = ["--kill-after", "3", "-it", &container.name, "sh", "-c", script];
    let mut session = dexec(args).on_terminal();
    session.wait_for("begun");
    session.wait_until_raw();
    session.signal(signal);
    session.wait_until(Session::is_restored);
    assert!(!session.has_ended(), "{signal}: the command has its grace");
    let (ended, shown) = session.end();
    assert_eq!(ended, code, "{signal}");
    let shown = String::from_utf8_lossy(&shown).into_owned();
    let words = "begun\r\ndexec: dexec was interrupted. The command was stopped\r\n";
    assert!(shown.ends_with(words), "{signal}: {shown:?}");
    let left = container.processes();
    let is_left = left.iter().any(|process| process.contains("begun"));
    assert!(!is_left, "{signal}: {left:?}");
}

#[test]
fn terminal_hangup_stops_the_command() {
    let container = Container::start("terminal-gone", &["sleep", "1000000"]);
    let mut session = dexec([
        "-it",
        &container.name,
        "sh",
        "-c",
        "while echo begun; do sleep 0.1; done",
    ])
    .on_terminal();
    session.wait_for("begun");
    session.hang_up();
    let deadline = Instant::now() + Duration::from_secs(120);
    while container.processes().iter().any(|process| process.contains("begun")) {
        assert!(Instant::now() < deadline, "the command runs on");
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn dexec_can_be_suspended() {
    // A shell that resumes dexec each time a line is typed.
    let line =
        "\"$0\" \"$@\"; code=$?; while [ $code -gt 140 ]; do echo suspended; read -r; fg; code=$?; done; exit $code";
    let command = [
        "-it",
        "dexec-shell",
        "sh",
        "-c",
        "stty raw -echo; echo begun; exec head -c 10",
    ];
    let mut session = program("bash")
        .args(["-mc", line, env!("CARGO_BIN_EXE_dexec")])
        .args(command)
        .on_terminal();
    session.wait_for("begun");
    session.wait_until_raw();
    let dexec = only_child(session.pid());
    for _ in 0..2 {
        signal(dexec, "TSTP");
        session.wait_for("suspended");
        assert!(is_stopped(dexec) && session.is_restored());
        session.type_in("\r");
        session.wait_until_raw();
        session.type_in("typed");
        session.wait_for("typed");
    }
    assert_eq!(session.end().0, 0);
}

/// A shell that resumes a process after SIGSTOP may have changed the terminal's modes.
#[test]
fn resumed_dexec_sets_raw_mode_again() {
    let mut session = shell("stty raw -echo; echo begun; exec head -c 5");
    session.wait_for("begun");
    session.wait_until_raw();
    session.signal("STOP");
    session.wait_until(|session| is_stopped(session.pid()));
    session.set_modes("sane");
    session.signal("CONT");
    session.wait_until_raw();
    session.type_in("typed");
    session.wait_for("typed");
    assert_eq!(session.end().0, 0);
}

/// Without a shell, nothing could resume dexec.
#[test]
fn dexec_without_a_shell_is_not_suspended() {
    let mut session = dexec(["-t", "dexec-shell", "sh", "-c", "echo begun; exec sleep 600"]).on_terminal();
    session.wait_for("begun");
    session.type_in("\x1a");
    thread::sleep(Duration::from_millis(300));
    session.type_in("\x03");
    assert_eq!(session.end().0, 130);

    let mut session = shell("stty raw -echo; echo begun; exec head -c 5");
    session.wait_for("begun");
    session.wait_until_raw();
    session.signal("TSTP");
    thread::sleep(Duration::from_millis(300));
    session.wait_until_raw();
    session.type_in("typed");
    session.wait_for("typed");
    assert_eq!(session.end().0, 0);
}

fn only_child(pid: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it runs");
    children.trim().parse().expect("it has one child")
}

fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    stat.rsplit(") ").next().expect("it has a state").starts_with('T')
}

/// The same keys through `docker exec -it` produce the same screen.
#[test]
fn docker_exec_produces_the_same_screen() {
    let host = std::env::var("DOCKER_HOST").expect("it names the engine");
    for cli in docker_clis() {
        let on = |name: &str, script: &str| {
            let command = ["exec", "-it", "dexec-shell", "sh", "-c", script];
            let docker = program(&cli).env("DOCKER_HOST", &host).args(command).on_terminal();
            let dexec = dexec(&command[1..]).on_terminal();
            (name.to_owned(), docker, dexec)
        };
        let script = format!(
            "{SIZED}; echo out; echo err >&2; stty -a; read line; echo [$line]; cat; printf 'no newline'; exit 9"
        );
        let (name, docker, dexec) = on("lines", &script);
        let screens = [docker, dexec].map(|mut session| {
            session.wait_for("-extproc\r\n");
            session.type_in("a line\x15another\r");
            session.wait_for("[another]");
            session.type_in("caf\u{e9} \x7f\x7f!\r\x04");
            session.wait_for("no newline");
            let screen = session.screen();
            (screen, session.end())
        });
        assert_eq!(screens[0], screens[1], "{name} by {}", cli.display());

        let file = "/data/side-by-side";
        let script = format!("{SIZED}; exec vi {file}");
        let (name, docker, dexec) = on("vi", &script);
        let screens = [docker, dexec].map(|session| {
            let screens = edit(session);
            assert_eq!(output_of(&["rm", "-f", file]), "");
            screens
        });
        assert_eq!(screens[0], screens[1], "{name} by {}", cli.display());

        let (name, docker, dexec) = on("detach", "echo begun; exec sleep 3");
        let ends = [docker, dexec].map(|mut session| {
            session.wait_for("begun");
            session.type_in(DETACH);
            session.end()
        });
        assert_eq!(ends[0], ends[1], "{name} by {}", cli.display());
    }
}
